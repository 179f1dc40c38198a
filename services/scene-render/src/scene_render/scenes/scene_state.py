"""The states of a scene, and the only code that changes them.

    waiting ──a slot is free──▶ running ──▶ rendered | failed | cancelled
     ▲ │ ▲                         │ │
     │ │ └──another part, picture or attempt──┘
     │ └─needs reference pictures─▶ planned ──they are stored──▶ waiting
     └──approved─────────────────── review ◀── its first frame is stored

The caller has locked the row. The waiting scenes of a failed video are paused: they have no `available_at`, so the
schedulers ignore them until the video is resumed.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from scene_render.models import FIRST_REFERENCE, Attempt, Product, Render, RenderState
from scene_render.scenes.cast import StoredPicture
from scene_render.scenes.order import without_text
from shared.contracts.events import CastRequested, SceneRequested
from shared.persistence.database import now


class SceneTransitionInvalid(RuntimeError):
    """The scene's state does not allow this transition."""

    def __init__(self, render: Render, state: RenderState) -> None:
        super().__init__(f"scene {render.scene_number} of video {render.video_id}: {render.state} to {state}")


def planned(event: SceneRequested, *, cancelled: bool) -> Render:
    """Return the row of a requested scene: waiting, or cancelled if its video is."""
    return Render(
        video_id=str(event.video_id),
        scene_number=event.scene.scene_number,
        state="cancelled" if cancelled else "waiting",
        request=without_text(event.model_dump(mode="json")) if cancelled else event.model_dump(mode="json"),
        owner=event.owner,
        batch=event.priority == "batch",
        provider="",
        tried=[],
        available_at=now(),
        requested_at=now(),
    )


def planned_reference(event: CastRequested, place: int) -> Render:
    """Return the row of the reference picture of one member of the cast, by its place: waiting, or done if it has one.

    The row is stored with the member's name, which the scenes use.
    """
    member = event.cast[place]
    return Render(
        video_id=str(event.video_id),
        scene_number=FIRST_REFERENCE + place,
        state="waiting" if member.image is None else "rendered",
        product="reference",
        picture=None if member.image is None else StoredPicture(media=member.image).model_dump(mode="json"),
        request=event.model_copy(update={"cast": (member,)}).model_dump(mode="json"),
        owner=event.owner,
        batch=event.priority == "batch",
        provider="",
        tried=[],
        available_at=now(),
        requested_at=now(),
    )


@dataclass(frozen=True)
class SceneTransitions:
    """Every change of a scene's state."""

    render: Render

    def start(self, product: Product) -> None:
        """Start the scene, for which an attempt was saved."""
        self._move(("waiting",), "running")
        self.render.product = product
        self.render.attempts += 1

    def wait(self, seconds: float = 0.0) -> None:
        """Queue the scene again, for a start in `seconds` at the earliest."""
        self._move(("planned", "running", "review", "failed"), "waiting")
        self.render.available_at = now(seconds)
        self.render.failure_kind = self.render.failure_reason = None

    def plan(self) -> None:
        """Let the scene wait for its reference pictures."""
        self._move(("waiting",), "planned")

    def review(self) -> None:
        """Let the scene wait for a person, before its clip is ordered."""
        self._move(("waiting", "running"), "review")

    def resume(self) -> None:
        """Set the scene to running again, because the task of an UNKNOWN attempt was found."""
        self._move(("waiting", "failed"), "running")
        self.render.failure_kind = self.render.failure_reason = None

    def finish(self, clip: dict[str, Any]) -> None:
        """Save the clip of the scene."""
        self._move(("running",), "rendered")
        self.render.clip = clip

    def finish_picture(self, picture: dict[str, Any]) -> None:
        """Save the reference picture."""
        self._move(("running",), "rendered")
        self.render.picture = picture

    def fail(self, kind: str, reason: str) -> None:
        """Fail the scene."""
        self._move(("planned", "waiting", "running", "review"), "failed")
        self.render.failure_kind, self.render.failure_reason = kind, reason

    def cancel(self) -> None:
        """Cancel the scene."""
        self._move(("planned", "waiting", "running", "review", "failed"), "cancelled")

    def pause(self) -> None:
        """Hide a waiting scene of a failed video from the schedulers."""
        self.render.available_at = self.render.give_up_at = None

    def unpause(self, give_up_after: float) -> None:
        """Queue a paused scene again. A delayed one fails after `give_up_after` seconds."""
        self.render.available_at = now()
        self.render.give_up_at = now(give_up_after) if self.render.delayed_by is not None else None

    def _move(self, before: tuple[RenderState, ...], state: RenderState) -> None:
        if self.render.state not in before:
            raise SceneTransitionInvalid(self.render, state)
        self.render.state = state


def needs(render: Render, attempt: Attempt) -> bool:
    """Return whether the scene runs and the attempt was ordered for what the scene needs next."""
    is_next = attempt.part == len(render.parts) and attempt.product == render.product
    return render.state == "running" and is_next


async def has_stopped(session: AsyncSession, render: Render) -> bool:
    """Return whether the scene runs, but no attempt is left that could deliver what it needs next."""
    if render.state != "running":
        return False
    alive = select(Attempt.id).where(
        Attempt.video_id == render.video_id,
        Attempt.scene_number == render.scene_number,
        Attempt.part == len(render.parts),
        Attempt.product == render.product,
        Attempt.state.in_(("INTENT", "SUBMITTED", "SUCCEEDED")),
    )
    return (await session.execute(alive.limit(1))).first() is None
