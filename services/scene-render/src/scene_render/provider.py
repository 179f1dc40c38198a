"""What every renderer of scenes, paid or free, must be able to do; and the ways that can end."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from shared.contracts.events import SceneRequested


class SubmissionRefused(Exception):
    """The provider surely did not take the task, and never will: asking again would not help."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


class SubmissionPutOff(Exception):
    """The provider surely did not take the task this time; in `seconds` it may."""

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(reason)
        self.reason = reason
        self.seconds = seconds


class ProviderSilent(Exception):
    """The provider did not answer a free question (not a submission); the task goes on all the same."""


@dataclass(frozen=True)
class Running:
    """The task goes on. `percent` 0-100; `eta` and `check_after` in seconds."""

    percent: float
    eta: float
    check_after: float


@dataclass(frozen=True)
class Succeeded:
    """The task has ended well and its clip can be fetched. `cost` in USD is what the provider says it took."""

    cost: Decimal


@dataclass(frozen=True)
class Failed:
    """The task has ended without a clip. `again`: another attempt may go better."""

    kind: str
    reason: str
    cost: Decimal
    again: bool


@dataclass(frozen=True)
class Found:
    """The provider has a task of this attempt."""

    task_id: str


@dataclass(frozen=True)
class Absent:
    """The provider surely has no task of this attempt."""


@dataclass(frozen=True)
class Unknowable:
    """Nobody can tell whether the provider has a task of this attempt."""


class Provider(Protocol):
    """A renderer of scenes. Only `submit` may cost money; everything else is free and may be repeated."""

    name: str
    concurrency: int
    """How many tasks it works on at once for us."""
    submit_seconds: float
    """The longest a submission takes; what has no answer by then is unknown."""
    attempt_seconds: float
    """The longest an attempt takes from submission to its end."""

    def price(self, request: SceneRequested) -> Decimal:
        """What one attempt will cost at most, in USD."""
        ...

    def expects(self, request: SceneRequested) -> Running:
        """How long an attempt usually takes, and when to look at it first."""
        ...

    async def submit(self, attempt_id: str, request: SceneRequested) -> str:
        """Ask for the scene, exactly once, marked with the attempt's id. Returns the provider's task id.

        Raises:
            SubmissionRefused: surely not taken, for good.
            SubmissionPutOff: surely not taken, for now.
            Exception: anything else leaves it unknown whether it was taken.
        """
        ...

    async def find(self, attempt_id: str) -> Found | Absent | Unknowable:
        """Look for the task of an attempt whose submission had no answer."""
        ...

    async def check(self, task_id: str) -> Running | Succeeded | Failed:
        """How a task is doing. Raises `ProviderSilent` when there is no answer."""
        ...

    async def fetch(self, task_id: str, target: Path) -> None:
        """Fetch the clip of a task that succeeded."""
        ...

    async def cancel(self, task_id: str) -> bool:
        """Ask to end a task. Returns whether it has surely ended."""
        ...
