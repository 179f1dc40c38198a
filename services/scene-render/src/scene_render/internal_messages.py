"""The steps between `scene.requested` and `scene.rendered`: messages this service sends to itself."""

from uuid import UUID

from scene_render.providers.animatic_order import AnimaticOrder
from shared.contracts.messages import InternalMessage


class AttemptMessage(InternalMessage):
    """A message about one attempt at a scene of a video."""

    video_id: UUID
    attempt_id: UUID

    @property
    def ordering_key(self) -> str:
        """The attempt."""
        return str(self.attempt_id)


class CallbackReceived(AttemptMessage):
    """Whoever knows an attempt's secret address says that its task, by this id, has changed: a hint, no more."""

    name = "scene-render.callback.received"

    task_id: str | None


class CancelDue(AttemptMessage):
    """Nobody wants what this attempt renders: end it where that saves money."""

    name = "scene-render.cancel.due"


class ClipReady(AttemptMessage):
    """The provider has finished an attempt: its clip can be collected."""

    name = "scene-render.clip.ready"


class OwnClipDue(InternalMessage):
    """A scene brings its own clip, to be checked and stored."""

    name = "scene-render.own-clip.due"

    video_id: UUID
    scene_number: int

    @property
    def ordering_key(self) -> str:
        """The video."""
        return str(self.video_id)


class AnimaticOrdered(InternalMessage):
    """The animatic renderer was asked for a clip."""

    name = "scene-render.animatic.ordered"

    video_id: UUID
    task_id: UUID
    order: AnimaticOrder

    @property
    def ordering_key(self) -> str:
        """The task."""
        return str(self.task_id)
