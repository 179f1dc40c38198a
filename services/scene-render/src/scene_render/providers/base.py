"""The interface of all renderers of scenes, paid or free, and the outcomes of their calls."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Protocol

from shared.catalogue.models import Model, ProviderModels
from shared.contracts.base import AspectRatio
from shared.contracts.events import SceneRequested
from shared.contracts.story import CastMember
from shared.messaging.errors import StepFailed

DeferralKind = Literal["outage", "rate_limit", "auth", "credits"]


class SubmissionRefused(Exception):
    """The provider certainly did not accept the task, and would not accept it later.

    `asked`: the provider said so; otherwise nothing was sent.
    """

    def __init__(self, kind: str, reason: str, *, asked: bool = True) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.asked = asked


class SubmissionDeferred(Exception):
    """The provider certainly did not accept the task, and accepts none for now: for `seconds`, if it said how long.

    `reason` is safe to show; `detail` quotes the provider, may concern the account, and is for the log only.
    """

    def __init__(self, kind: DeferralKind, reason: str, seconds: float | None = None, *, detail: str = "") -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.seconds = seconds
        self.detail = detail


class ProviderSilent(Exception):
    """The provider did not answer a free request (not a submission); the task continues."""


class ProviderUnreachable(StepFailed):
    """The provider of a running attempt has no API key. Once it has, the message can be requeued."""

    def __init__(self, provider: str) -> None:
        setting = f"{provider.upper().replace('-', '_')}_API_KEY"
        super().__init__("key_missing", f"{provider} is rendering a scene, but its API key is missing: set {setting}.")


class ClipUnusable(Exception):
    """The delivered clip cannot be used in the film.

    `again`: a new order may deliver a usable one; False: it would not, and must not be paid. The message is safe to
    show; `detail` is for the log only.
    """

    def __init__(self, reason: str, *, again: bool = True, detail: str = "") -> None:
        super().__init__(reason)
        self.again = again
        self.detail = detail


class ClipUnreadable(ClipUnusable):
    """The downloaded file cannot be read. Downloading it again is free and may help."""


class ClipOutOfReach(Exception):
    """The clip is on a host that downloads are not allowed from; an operator can allow it.

    The message is safe to show; `detail` is for the log only.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.detail = detail or reason


@dataclass(frozen=True)
class Picture:
    """A stored picture as providers take it: its file, a public link to it, and the task that it comes from.

    `task_id`: the task of this provider that made it, or whose clip ends with it; None: another one did.
    """

    path: Path
    content_type: str
    link: str | None
    task_id: str | None = None


@dataclass(frozen=True)
class Reference:
    """The reference picture of a member of the cast."""

    member: CastMember
    picture: Picture


@dataclass(frozen=True)
class Shot:
    """What one attempt renders: a scene, or one part of a long scene. `seconds` is a duration that can be ordered.

    `model`: None: its provider has none.
    """

    request: SceneRequested
    seconds: int
    first_frame: Picture | None = None
    model: Model | None = None


@dataclass(frozen=True)
class PictureOrder:
    """The picture that one attempt makes: the first frame of a scene, or the reference picture of a cast member.

    `style`: that of the story, for a reference picture; the prompt of a scene contains it.
    """

    subject: SceneRequested | CastMember
    model: Model
    aspect_ratio: AspectRatio
    references: tuple[Reference, ...] = ()
    style: str = ""


Order = Shot | PictureOrder


@dataclass(frozen=True)
class Running:
    """The task is not finished. `percent` is 0-100, `eta` in seconds; None: the provider does not say.

    `queued`: work has not started. `check_after`: seconds until the next check, instead of the usual interval.
    """

    percent: float | None = None
    eta: float | None = None
    queued: bool = False
    check_after: float | None = None


@dataclass(frozen=True)
class Succeeded:
    """The task succeeded and its result can be downloaded. `cost`: USD; None: as the catalogue says."""

    cost: Decimal | None


@dataclass(frozen=True)
class Failed:
    """The task ended without a clip. `again`: another attempt may succeed. `cost` as in `Succeeded`."""

    kind: str
    reason: str
    cost: Decimal | None
    again: bool


@dataclass(frozen=True)
class Lost:
    """The provider does not know a task that it accepted: it is not listed yet, or belongs to another account."""


@dataclass(frozen=True)
class Found:
    """The provider has a task of this attempt."""

    task_id: str


@dataclass(frozen=True)
class Absent:
    """The provider certainly has no task of this attempt."""


@dataclass(frozen=True)
class NotYet:
    """It is not known yet whether the provider has a task of this attempt: search again in `look_after` seconds.

    `until`: the seconds after the submission at which it is known; None: as soon as the provider answers.
    """

    look_after: float
    until: float | None = None


@dataclass(frozen=True)
class Unknowable:
    """It cannot be found out whether the provider has a task of this attempt."""


@dataclass(frozen=True)
class Ended:
    """A task was cancelled. `cost` as in `Succeeded`."""

    cost: Decimal | None


class Provider(Protocol):
    """A renderer of scenes. Only `submit` may cost money; all other methods are free and may be repeated."""

    name: str
    models: ProviderModels | None
    """What it renders with; None: it is free, and renders any duration."""
    concurrency: int
    """How many tasks of this account it runs at once."""
    submit_seconds: float
    """The time limit of a submission; without an answer by then its outcome is unknown."""
    usual_seconds: float
    """A first estimate of the rendering time."""
    check_seconds: float
    """The shortest interval between two checks of a task."""
    attempt_seconds: float
    """The time limit of a task, not counting the time in the provider's queue."""

    @property
    def can_reconcile(self) -> bool:
        """Whether a search or a callback can tell what became of a submission without an answer."""
        ...

    async def submit(self, attempt_id: str, order: Order) -> str:
        """Submit the order exactly once, marked with the attempt's id, and return the provider's task id.

        Raises:
            SubmissionRefused: certainly not accepted, and never will be.
            SubmissionDeferred: certainly not accepted for now.
            Exception: anything else leaves open whether it was accepted.
        """
        ...

    async def find(self, attempt_id: str, age: float) -> Found | Absent | NotYet | Unknowable:
        """Search for the task of an unanswered submission, `age` seconds after its INTENT.

        Raises:
            ProviderSilent: the provider does not answer.
        """
        ...

    async def check(self, task_id: str) -> Running | Succeeded | Failed | Lost:
        """Return the state of a task. Raises `ProviderSilent` if the provider does not answer."""
        ...

    async def fetch(self, task_id: str, target: Path) -> None:
        """Download the clip or picture of a task that succeeded.

        Raises:
            ClipUnusable: there is none, or it must not be used.
            ClipOutOfReach: it is on a host that downloads are not allowed from.
            ProviderSilent: the provider does not answer.
        """
        ...

    async def cancel(self, task_id: str) -> Ended | None:
        """Cancel a running task. None: it was not cancelled; the next check tells its state.

        Raises:
            ProviderSilent: the provider does not answer.
        """
        ...

    async def cancel_if_free(self, task_id: str) -> Ended | None:
        """Cancel a task if that is certainly free; otherwise let it run and return None."""
        ...

    def task_of_callback(self, body: Mapping[str, Any]) -> str | None:
        """Return the task id in the body of a callback; None if there is none."""
        ...

    def task_id_of(self, said: str, model: str | None) -> str:
        """Return the task id of this interface for one that the provider, or a person, named; `model` is its key."""
        ...
