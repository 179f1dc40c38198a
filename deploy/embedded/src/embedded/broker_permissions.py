"""Writes what each user of RabbitMQ may do: `python -m embedded.broker_permissions [--check] FILE`.

It follows from the contracts, which name the publishers of each event, and from what each service hears.
"""

import json
import sys
from collections.abc import Set as AbstractSet
from pathlib import Path

from embedded.asyncapi import HEARD_BY
from shared.contracts.events import EVENTS as STORY
from shared.contracts.events import OPERATOR, PRODUCER, Event
from shared.messaging.broker_users import Topics, User
from shared.messaging.topology import DEAD, DELAYS, EVENTS, RETURN

LISTENER = "listener"
"""Any service of the factory that wants to know what becomes of videos."""
NOTHING = "^$"


def users() -> list[User]:
    """Every user and its permissions."""
    return [*map(_service, HEARD_BY), _producer(), _listener(), _operator()]


def published_by(user: str) -> set[str]:
    """The events that a user may publish."""
    return {event.name for event in STORY if user in event.publishers}


def _service(name: str) -> User:
    internal = HEARD_BY[name] - {event.name for event in STORY}
    own, waiting = _matching(prefix=name), [exchange.name for exchange in (DEAD, RETURN, *DELAYS)]
    reach = _matching(EVENTS.name, *waiting, prefix=name)
    topics: list[Topics] = [{"exchange": exchange, "write": own, "read": own} for exchange in waiting]
    topics.append(_events(write=published_by(name) | internal, read=HEARD_BY[name]))
    return {"name": name, "tags": "", "configure": reach, "write": reach, "read": reach, "topics": topics}


def _producer() -> User:
    """Publishes requests. It has no queue: through dead letters of its own queue it could publish anything."""
    write = _matching(EVENTS.name)
    topics = [_events(write=published_by(PRODUCER))]
    return {"name": PRODUCER, "tags": "", "configure": NOTHING, "write": write, "read": NOTHING, "topics": topics}


def _listener() -> User:
    """Has queues of its own, and binds them to what the services say of videos. It publishes nothing."""
    own = _matching(prefix=LISTENER)
    read = _matching(EVENTS.name, prefix=LISTENER)
    topics = [_events(read={event.name for event in STORY if _is_public(event)})]
    return {"name": LISTENER, "tags": "", "configure": own, "write": own, "read": read, "topics": topics}


def _operator() -> User:
    """Administers the broker, and puts dead letters back."""
    write = _matching(EVENTS.name, RETURN.name)
    read = _matching(*(f"{service}.dead" for service in HEARD_BY))
    topics: list[Topics] = [
        {"exchange": RETURN.name, "write": ".*", "read": NOTHING},
        _events(write=published_by(OPERATOR)),
    ]
    tags = "administrator"
    return {"name": OPERATOR, "tags": tags, "configure": NOTHING, "write": write, "read": read, "topics": topics}


def _is_public(event: type[Event]) -> bool:
    """What becomes of a video, but not what others have asked for."""
    return event.name.startswith("video.") and PRODUCER not in event.publishers


def _events(write: AbstractSet[str] = frozenset(), read: AbstractSet[str] = frozenset()) -> Topics:
    return {"exchange": EVENTS.name, "write": _matching(*sorted(write)), "read": _matching(*sorted(read))}


def _matching(*names: str, prefix: str | None = None) -> str:
    """A pattern of exactly these names, and of all that begin with `prefix` and a dot."""
    choices = [name.replace(".", r"\.") for name in names]
    choices += [rf"{prefix}\..*"] if prefix else []
    return f"^({'|'.join(choices)})$" if choices else NOTHING


def main() -> None:
    """Write the file, or with `--check` fail when it is stale."""
    path = Path(sys.argv[-1])
    text = json.dumps(users(), indent=2) + "\n"
    if "--check" in sys.argv:
        if not path.exists() or path.read_text() != text:
            sys.exit(f"{path} is stale: run `make permissions`.")
        return
    path.write_text(text)


if __name__ == "__main__":
    main()
