"""The steps between `scene.requested` and `scene.rendered`: messages this service sends to itself."""

from uuid import UUID

from scene_render.providers.animatic_order import AnimaticOrder
from shared.contracts.messages import InternalMessage
from shared.contracts.story import SceneNumber


class SlotOffered(InternalMessage):
    """A scene waits, or a slot is free: the scene whose turn it is may start. `video_id`: the video that caused it."""

    name = "scene-render.slot.offered"

    video_id: UUID | None = None
    provider: str

    @property
    def ordering_key(self) -> str:
        """The provider."""
        return self.provider[:36]


class AttemptMessage(InternalMessage):
    """A message about one attempt at a scene of a video."""

    video_id: UUID
    attempt_id: UUID

    @property
    def ordering_key(self) -> str:
        """The attempt."""
        return str(self.attempt_id)


class SubmissionOverdue(AttemptMessage):
    """By now an attempt should have its task id; if it has none, nobody may know whether it was paid.

    `asked`: its provider was asked before, and could not say.
    """

    name = "scene-render.submission.overdue"

    asked: bool = False


class SceneOverdue(InternalMessage):
    """By now a scene should have had its turn: if its provider takes nothing, it is given up."""

    name = "scene-render.scene.overdue"

    video_id: UUID
    scene_number: SceneNumber

    @property
    def ordering_key(self) -> str:
        """The video."""
        return str(self.video_id)


class CheckDue(AttemptMessage):
    """It is time to ask the provider how an attempt is doing. A `hint` asks once, beside the regular looks.

    `queued`: at the last look the provider had not begun, or did not say.
    """

    name = "scene-render.check.due"

    hint: bool = False
    queued: bool = False


class CallbackReceived(AttemptMessage):
    """Whoever knows an attempt's secret address says that its task, by this id, has changed: a hint, no more."""

    name = "scene-render.callback.received"

    task_id: str | None


class CancelDue(AttemptMessage):
    """Nobody wants what this attempt renders: end it where that saves money."""

    name = "scene-render.cancel.due"


class UnknownOverdue(AttemptMessage):
    """No task of this provider goes on for so long: an attempt that is still unknown gives its slot back."""

    name = "scene-render.unknown.overdue"


class PayAgainDue(AttemptMessage):
    """Nobody has settled an unknown attempt for a while: its scene may be ordered once more, if the policy says so."""

    name = "scene-render.pay-again.due"


class ClipReady(AttemptMessage):
    """The provider has finished an attempt: its clip can be collected."""

    name = "scene-render.clip.ready"


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
