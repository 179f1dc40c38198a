"""Writes the permissions of RabbitMQ's users: `python -m embedded.broker_permissions [--check] FILE`.

They follow from the contracts, which name the publishers of each event, and from the subscriptions of each service.
"""

import json
import sys
from collections.abc import Set as AbstractSet
from pathlib import Path

from embedded.asyncapi import CONSUMED_BY
from shared.contracts.events import EVENTS as CONTRACTS
from shared.contracts.events import OPERATOR, PRODUCER, Event
from shared.messaging.broker_users import Topics, User
from shared.messaging.topology import DEAD, DELAYS, EVENTS, RETURN

LISTENER = "listener"
"""Any other service that follows videos."""
NOTHING = "^$"


def users() -> list[User]:
    """Return all users with their permissions."""
    return [*map(_service, CONSUMED_BY), _producer(), _listener(), _operator()]


def published_by(user: str) -> set[str]:
    """Return the events that a user may publish."""
    return {event.name for event in CONTRACTS if user in event.publishers}


def _service(name: str) -> User:
    internal = CONSUMED_BY[name] - {event.name for event in CONTRACTS}
    own, waiting = _matching(prefix=name), [exchange.name for exchange in (DEAD, RETURN, *DELAYS)]
    reach = _matching(EVENTS.name, *waiting, prefix=name)
    topics: list[Topics] = [{"exchange": exchange, "write": own, "read": own} for exchange in waiting]
    topics.append(_events(write=published_by(name) | internal, read=CONSUMED_BY[name]))
    return {"name": name, "tags": "", "configure": reach, "write": reach, "read": reach, "topics": topics}


def _producer() -> User:
    """May publish requests, and has no queue: by dead-lettering from its own queue it could publish anything."""
    write = _matching(EVENTS.name)
    topics = [_events(write=published_by(PRODUCER))]
    return {"name": PRODUCER, "tags": "", "configure": NOTHING, "write": write, "read": NOTHING, "topics": topics}


def _listener() -> User:
    """May bind queues of its own to the events about videos, and publish nothing."""
    own = _matching(prefix=LISTENER)
    read = _matching(EVENTS.name, prefix=LISTENER)
    topics = [_events(read={event.name for event in CONTRACTS if _is_public(event)})]
    return {"name": LISTENER, "tags": "", "configure": own, "write": own, "read": read, "topics": topics}


def _operator() -> User:
    """Administers the broker, and requeues dead letters."""
    write = _matching(EVENTS.name, RETURN.name)
    read = _matching(*(f"{service}.dead" for service in CONSUMED_BY))
    topics: list[Topics] = [
        {"exchange": RETURN.name, "write": ".*", "read": NOTHING},
        _events(write=published_by(OPERATOR)),
    ]
    tags = "administrator"
    return {"name": OPERATOR, "tags": tags, "configure": NOTHING, "write": write, "read": read, "topics": topics}


def _is_public(event: type[Event]) -> bool:
    """Return whether an event tells of a video, and is not a request."""
    return event.name.startswith("video.") and PRODUCER not in event.publishers


def _events(write: AbstractSet[str] = frozenset(), read: AbstractSet[str] = frozenset()) -> Topics:
    return {"exchange": EVENTS.name, "write": _matching(*sorted(write)), "read": _matching(*sorted(read))}


def _matching(*names: str, prefix: str | None = None) -> str:
    """Return a pattern that matches these names, and all names that begin with `prefix` and a dot."""
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
