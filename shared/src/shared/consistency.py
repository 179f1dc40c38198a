"""The checks and findings of `doctor`. A service's own checks are in its `doctor.py`."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from shared.persistence.database import Database
from shared.storage.base import Storage

MOST_EXAMPLES = 3


@dataclass(frozen=True)
class Examined:
    """The service that is examined.

    `queues`: how many messages are ready in each of its queues; None in the embedded mode, which has no broker.
    `is_running`: its processes should be running; otherwise messages and videos may wait.
    """

    database: Database
    storage: Storage | None = None
    queues: Mapping[str, int] | None = None
    is_running: bool = True

    def is_queue_empty(self, queue: str) -> bool:
        """Return whether no message is ready in a queue."""
        return not (self.queues or {}).get(queue)


@dataclass(frozen=True)
class Finding:
    """An inconsistency.

    `fix` repairs it and returns how many were repaired; without `fix`, `todo` says what a person can do.
    """

    what: str
    count: int
    todo: str
    examples: Sequence[object] = ()
    fix: Callable[[], Awaitable[int]] | None = None

    def __str__(self) -> str:
        """Return one line: what it is, how many there are, what --fix would do."""
        examples = [str(example) for example in self.examples[:MOST_EXAMPLES]]
        more = ["..."] if len(self.examples) > MOST_EXAMPLES else []
        shown = f" ({', '.join(examples + more)})" if examples else ""
        does = f"--fix would {self.todo}" if self.fix else f"--fix does nothing: {self.todo}"
        return f"{self.what}: {self.count}{shown}; {does}."


@dataclass(frozen=True)
class Check:
    """A check; `what` completes "Could not check ...". `find` yields what differs and changes nothing."""

    what: str
    find: Callable[[Examined], AsyncIterator[Finding]]


def found(
    what: str, examples: Sequence[object], todo: str, fix: Callable[[], Awaitable[int]] | None = None
) -> list[Finding]:
    """Return the finding about these, or nothing if there are none."""
    return [Finding(what, len(examples), todo, examples, fix)] if examples else []
