"""What every renderer of scenes, paid or free, must be able to do; and the ways that can end."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Protocol

from shared.contracts.events import SceneRequested
from shared.messaging.errors import StepFailed
from shared.money.prices import Tariff

DeferralKind = Literal["outage", "rate_limit", "auth", "credits"]


class SubmissionRefused(Exception):
    """The provider surely did not take the task, and never will: asking it again would not help.

    `asked`: it said so itself; else we knew before anything was sent.
    """

    def __init__(self, kind: str, reason: str, *, asked: bool = True) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.asked = asked


class SubmissionDeferred(Exception):
    """The provider surely did not take the task, and takes no other either, for `seconds` if it said so.

    `reason` is for everybody; `detail`, in the provider's own words, may be about the account: for the log only.
    """

    def __init__(self, kind: DeferralKind, reason: str, seconds: float | None = None, *, detail: str = "") -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.seconds = seconds
        self.detail = detail


class ProviderSilent(Exception):
    """The provider did not answer a free question (not a submission); the task goes on all the same."""


class ProviderUnreachable(StepFailed):
    """There is an attempt at a paid provider, and no key to ask it with. Redriven when there is one, it goes on."""

    def __init__(self, provider: str) -> None:
        setting = f"{provider.upper()}_API_KEY"
        super().__init__(
            "key_missing", f"{provider} works on a scene, and there is no key for it: {setting} is not set."
        )


class ClipUnusable(Exception):
    """What the provider delivers cannot become a part of the film.

    `again`: another order may be delivered better; False: it would be delivered alike, and must not be paid again.
    The text is for people; `detail` is for the log.
    """

    def __init__(self, reason: str, *, again: bool = True, detail: str = "") -> None:
        super().__init__(reason)
        self.again = again
        self.detail = detail


class ClipUnreadable(ClipUnusable):
    """What was fetched cannot be read. Fetching it once more is free and may bring the clip."""


class ClipOutOfReach(Exception):
    """The clip lies where we do not fetch from. It is not lost: an operator can allow the place.

    The text is for people; `detail` is for the log.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.detail = detail or reason


@dataclass(frozen=True)
class FirstFrame:
    """The picture a clip begins with: the file, a link to it that the world reaches, the task it is the end of."""

    path: Path
    content_type: str
    link: str | None
    task_id: str | None = None


@dataclass(frozen=True)
class Shot:
    """What one attempt renders: a scene, or the part of it that one clip holds. `seconds` is a length we can order."""

    request: SceneRequested
    seconds: int
    first_frame: FirstFrame | None = None


@dataclass(frozen=True)
class Running:
    """The task goes on. `percent` 0-100 and `eta` in seconds where the provider tells.

    `queued`: it does not work on it yet. `check_after`: when to look again, in seconds, where it should not be left to
    what is usual.
    """

    percent: float | None = None
    eta: float | None = None
    queued: bool = False
    check_after: float | None = None


@dataclass(frozen=True)
class Succeeded:
    """The task has ended well and its clip can be fetched. `cost` in USD as the provider says; None: as its tariff."""

    cost: Decimal | None


@dataclass(frozen=True)
class Failed:
    """The task has surely ended, without a clip. `again`: another attempt may go better. `cost` as in `Succeeded`."""

    kind: str
    reason: str
    cost: Decimal | None
    again: bool


@dataclass(frozen=True)
class Lost:
    """The provider does not know the task, which it had taken: too early to know it, or another account's."""


@dataclass(frozen=True)
class Found:
    """The provider has a task of this attempt."""

    task_id: str


@dataclass(frozen=True)
class Absent:
    """The provider surely has no task of this attempt."""


@dataclass(frozen=True)
class NotYet:
    """It cannot be told yet whether the provider has a task of this attempt: look again in `look_after` seconds.

    `until`: so many seconds after the order it can be told at the latest; None: once the provider answers.
    """

    look_after: float
    until: float | None = None


@dataclass(frozen=True)
class Unknowable:
    """Nobody can tell whether the provider has a task of this attempt."""


@dataclass(frozen=True)
class Ended:
    """A task was ended before its time. `cost` as in `Succeeded`."""

    cost: Decimal | None


class Provider(Protocol):
    """A renderer of scenes. Only `submit` may cost money; everything else is free and may be repeated."""

    name: str
    tariff: Tariff | None
    """What it delivers and charges; None: any length, for free."""
    concurrency: int
    """How many tasks it works on at once for us."""
    submit_seconds: float
    """The longest a submission takes; what has no answer by then is unknown."""
    usual_seconds: float
    """A first guess at how long a task is worked on."""
    check_seconds: float
    """The least time between two looks at a task."""
    attempt_seconds: float
    """The longest a task is worked on, the time in the provider's queue not counted."""

    @property
    def can_reconcile(self) -> bool:
        """Whether it can be learnt from it, by asking or by its callback, what became of an order without an answer."""
        ...

    async def submit(self, attempt_id: str, shot: Shot) -> str:
        """Order the shot, exactly once, marked with the attempt's id. Returns the provider's task id.

        Raises:
            SubmissionRefused: surely not taken, for good.
            SubmissionDeferred: surely not taken, for now.
            Exception: anything else leaves it unknown whether it was taken.
        """
        ...

    async def find(self, attempt_id: str, age: float) -> Found | Absent | NotYet | Unknowable:
        """Look for the task of an attempt whose submission had no answer, `age` seconds after it was intended.

        Raises:
            ProviderSilent: there is no answer.
        """
        ...

    async def check(self, task_id: str) -> Running | Succeeded | Failed | Lost:
        """How a task is doing. Raises `ProviderSilent` when there is no answer."""
        ...

    async def fetch(self, task_id: str, target: Path) -> None:
        """Fetch the clip of a task that succeeded.

        Raises:
            ClipUnusable: there is none, or not one that may be used.
            ClipOutOfReach: it lies where we do not fetch from.
            ProviderSilent: there is no answer.
        """
        ...

    async def cancel(self, task_id: str) -> Ended | None:
        """End a task that goes on. None: it was not ended by this; the next look says whether it goes on.

        Raises:
            ProviderSilent: there is no answer.
        """
        ...

    async def cancel_if_free(self, task_id: str) -> Ended | None:
        """End a task if that surely costs nothing; else let it go on and return None."""
        ...

    def task_of_callback(self, body: Mapping[str, Any]) -> str | None:
        """The task a callback of this provider is about; None where it does not say."""
        ...
