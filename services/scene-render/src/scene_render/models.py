"""The tables of the scene-render service."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from sqlalchemy import JSON, Boolean, ForeignKeyConstraint, Index, Integer, Numeric, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.money.budget import budget_table
from shared.persistence.database import Moment, identifier
from shared.persistence.inbox import inbox_table
from shared.persistence.outbox import outbox_table

RenderState = Literal["planned", "waiting", "running", "review", "rendered", "failed", "cancelled"]
AttemptState = Literal["INTENT", "SUBMITTED", "SUCCEEDED", "FAILED", "CANCELLED", "UNKNOWN"]
Product = Literal["clip", "first_frame", "reference"]
"""What an attempt makes: a clip of a scene, its first frame, or the reference picture of a cast member."""
FIRST_REFERENCE = 101
"""Reference pictures are rows beside the scenes: member 1 of the cast has this scene number."""
ChargeState = Literal["held", "unknown", "settled"]
TaskState = Literal["drawing", "done", "failed", "cancelled"]


class Base(DeclarativeBase):
    """The schema of this service."""


inbox = inbox_table(Base.metadata)
outbox = outbox_table(Base.metadata)
budgets = budget_table(Base.metadata)


class Render(Base):
    """A requested scene, or a requested reference picture of a cast member (from scene number `FIRST_REFERENCE`).

    The rows are the queue: no message represents a waiting scene. `planned`: it waits for reference pictures.
    `review`: its first frame awaits a person.
    """

    __tablename__ = "renders"
    __table_args__ = (
        Index("ix_renders_turn", "state", "provider", "available_at"),
        Index("ix_renders_give_up", "state", "give_up_at"),
    )

    video_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    scene_number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    state: Mapped[RenderState] = mapped_column(String(20))
    request: Mapped[dict[str, Any]] = mapped_column(JSON)
    owner: Mapped[str] = mapped_column(identifier(255))
    batch: Mapped[bool] = mapped_column(Boolean)
    provider: Mapped[str] = mapped_column(identifier(50))
    tried: Mapped[list[str]] = mapped_column(JSON, default=list, nullable=True)
    """The providers that were tried for this scene and failed."""
    delayed_by: Mapped[str | None] = mapped_column(identifier(50), default=None)
    """The provider of the last `scene.delayed`: one that accepts no tasks."""
    delayed_since: Mapped[datetime | None] = mapped_column(Moment, default=None)
    give_up_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    """When a delayed scene fails, unless a provider has accepted a task by then."""
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    failures: Mapped[int] = mapped_column(Integer, default=0)
    """Failed attempts at the current provider."""
    paid_again: Mapped[bool] = mapped_column(Boolean, default=False)
    """Whether it was ordered again although an earlier attempt may have been paid."""
    parts: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list, nullable=True)
    """The finished clips of a long scene: media, frames, provider and task id."""
    parts_stored_at: Mapped[datetime | None] = mapped_column(Moment, default=None, index=True)
    """When the last part was stored. None: there are no parts, or they were removed."""
    product: Mapped[Product] = mapped_column(String(20), default="clip")
    """What its latest attempt makes, or the next one must make."""
    picture: Mapped[dict[str, Any] | None] = mapped_column(JSON, default=None)
    """The first frame of the scene, or the reference picture."""
    approved: Mapped[bool] = mapped_column(Boolean, default=False)
    """Whether a person has approved its first frame."""
    clip: Mapped[dict[str, Any] | None] = mapped_column(JSON, default=None)
    cost_usd: Mapped[Decimal] = mapped_column(Numeric(10, 4), default=Decimal(0))
    failure_kind: Mapped[str | None] = mapped_column(String(50), default=None)
    failure_reason: Mapped[str | None] = mapped_column(Text, default=None)
    available_at: Mapped[datetime | None] = mapped_column(Moment)
    """The earliest start of a waiting scene. None: it is paused, because its video has failed."""
    requested_at: Mapped[datetime] = mapped_column(Moment)

    @property
    def is_reference(self) -> bool:
        """Whether it is a reference picture of a cast member."""
        return self.scene_number >= FIRST_REFERENCE


class Attempt(Base):
    """One try at a scene, or at one of its pictures, that may cost money.

    INTENT: saved before anything is sent. SUBMITTED: the provider accepted it as `task_id`. UNKNOWN: it may have been
    paid; its money stays reserved until a person settles it.
    """

    __tablename__ = "attempts"
    __table_args__ = (
        ForeignKeyConstraint(["video_id", "scene_number"], ["renders.video_id", "renders.scene_number"]),
        Index("ix_attempts_video", "video_id", "state"),
        Index("ix_attempts_ended", "provider", "state", "ended_at"),
        Index("ix_attempts_ended_at", "ended_at"),
        Index("ix_attempts_next_check", "next_check_at", "provider"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    video_id: Mapped[str] = mapped_column(String(36))
    scene_number: Mapped[int] = mapped_column(Integer)
    number: Mapped[int] = mapped_column(Integer)
    provider: Mapped[str] = mapped_column(identifier(50))
    state: Mapped[AttemptState] = mapped_column(String(20), index=True)
    task_id: Mapped[str | None] = mapped_column(identifier(255), default=None)
    model: Mapped[str | None] = mapped_column(identifier(100), default=None)
    """The model of its provider that renders it. None: its provider has none, or it is older than this column."""
    product: Mapped[Product] = mapped_column(String(20), default="clip")
    seconds: Mapped[int] = mapped_column(Integer, default=0)
    """The ordered length in seconds; 0 for a picture."""
    part: Mapped[int | None] = mapped_column(Integer, default=0)
    """How many parts its scene had at the order. None: those parts were removed, so its clip cannot be used."""
    failure_kind: Mapped[str | None] = mapped_column(String(50), default=None)
    failure_reason: Mapped[str | None] = mapped_column(Text, default=None)
    intended_at: Mapped[datetime] = mapped_column(Moment)
    submitted_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    next_check_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    """When to check the submission or the task. The checking process moves it ahead, so that no other process checks
    the attempt at the same time; see `attempts.lease`."""
    looked_for: Mapped[bool] = mapped_column(Boolean, default=False)
    """Whether its provider was asked for the task and had no answer yet."""
    maybe_queued: Mapped[bool] = mapped_column(Boolean, default=False)
    """Whether the task may have been in the provider's queue at the last check."""
    release_slot_at: Mapped[datetime | None] = mapped_column(Moment, default=None, index=True)
    """When an UNKNOWN attempt frees its slot: no task of its provider runs longer."""
    pay_again_at: Mapped[datetime | None] = mapped_column(Moment, default=None, index=True)
    """When the scene of an UNKNOWN attempt is ordered again, if the policy still allows it."""
    posts: Mapped[int] = mapped_column(Integer, default=1)
    """How often it was sent. It is sent again only if the provider certainly did not receive it."""
    running_since: Mapped[datetime | None] = mapped_column(Moment, default=None)
    """When it was first seen out of the provider's queue."""
    ended_at: Mapped[datetime | None] = mapped_column(Moment, default=None)

    @property
    def shown_scene(self) -> int | None:
        """The number of its scene for events; None: it makes a reference picture."""
        return None if self.product == "reference" else self.scene_number


class ProviderSlot(Base):
    """A concurrency slot of a provider. An attempt holds it from INTENT until the provider's task has ended."""

    __tablename__ = "provider_slots"

    provider: Mapped[str] = mapped_column(identifier(50), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    attempt_id: Mapped[str | None] = mapped_column(String(36), unique=True, default=None)


class ProviderState(Base):
    """The circuit breaker of a provider: open until `open_until`, then one scene probes it. NULL: closed."""

    __tablename__ = "provider_states"

    provider: Mapped[str] = mapped_column(identifier(50), primary_key=True)
    failures: Mapped[int] = mapped_column(Integer, default=0)
    """Consecutive deferred submissions."""
    failing_since: Mapped[datetime | None] = mapped_column(Moment, default=None)
    """When the first of these was deferred. None: the last submission was accepted."""
    kind: Mapped[str | None] = mapped_column(String(50), default=None)
    reason: Mapped[str | None] = mapped_column(Text, default=None)
    open_until: Mapped[datetime | None] = mapped_column(Moment, default=None)


class Spend(Base):
    """The money of one attempt, in USD: `reserved` from INTENT until settled, `booked` what the provider took."""

    __tablename__ = "spend"

    attempt_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    video_id: Mapped[str] = mapped_column(String(36), index=True)
    owner: Mapped[str] = mapped_column(identifier(255))
    provider: Mapped[str] = mapped_column(identifier(50))
    day: Mapped[str] = mapped_column(String(10), default="")
    """The UTC date of the budgets that it counts against."""
    reserved_usd: Mapped[Decimal] = mapped_column(Numeric(10, 4))
    booked_usd: Mapped[Decimal] = mapped_column(Numeric(10, 4), default=Decimal(0))
    reserved_at: Mapped[datetime] = mapped_column(Moment, index=True)
    simulated: Mapped[bool] = mapped_column(Boolean, default=False)
    state: Mapped[ChargeState] = mapped_column(String(20), default="held")
    revision: Mapped[int] = mapped_column(Integer, default=0)
    """The number of `scene.charged` events published."""


class VideoStanding(Base):
    """Whether a video has failed, which keeps its scenes from starting. See `shared.contracts.epochs`."""

    __tablename__ = "video_standings"

    video_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    epoch: Mapped[int] = mapped_column(Integer, default=0)
    failed: Mapped[bool] = mapped_column(Boolean, default=False)
    release_scenes_at: Mapped[datetime | None] = mapped_column(Moment, default=None, index=True)
    """When to release its paused scenes, because it was resumed."""


class CancelledVideo(Base):
    """A cancelled video. Scenes that are requested later do not start either."""

    __tablename__ = "cancelled_videos"

    video_id: Mapped[str] = mapped_column(String(36), primary_key=True)


class AnimaticTask(Base):
    """A task of the built-in renderer. `percent` is 0-100."""

    __tablename__ = "animatic_tasks"

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    state: Mapped[TaskState] = mapped_column(String(20))
    frames: Mapped[int] = mapped_column(Integer)
    percent: Mapped[int] = mapped_column(Integer, default=0)
    media: Mapped[dict[str, Any] | None] = mapped_column(JSON, default=None)
    reason: Mapped[str | None] = mapped_column(Text, default=None)
