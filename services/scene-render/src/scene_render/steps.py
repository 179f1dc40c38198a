"""The steps between `scene.requested` and `scene.rendered`: messages this service sends to itself."""

from uuid import UUID

from scene_render.animatic_order import AnimaticOrder
from shared.contracts.events import Event
from shared.contracts.story import SceneNumber


class SlotOffered(Event):
    """A scene waits, or a slot is free: whoever's turn it is may start. `video_id` is who caused it."""

    name = "scene-render.slot.offered"

    provider: str


class SubmissionOverdue(Event):
    """By now an attempt should have its task id; if it has none, nobody may know whether it was paid.

    `asked`: its provider was asked before, and could not say.
    """

    name = "scene-render.submission.overdue"

    attempt_id: UUID
    asked: bool = False


class SceneOverdue(Event):
    """By now a scene should have had its turn: if its provider takes nothing, it is given up."""

    name = "scene-render.scene.overdue"

    scene_number: SceneNumber


class CheckDue(Event):
    """It is time to ask the provider how an attempt is doing. A `hint` asks once, beside the regular looks.

    `queued`: at the last look the provider had not begun, or did not say.
    """

    name = "scene-render.check.due"

    attempt_id: UUID
    hint: bool = False
    queued: bool = False


class CallbackReceived(Event):
    """Whoever knows an attempt's secret address says that its task, by this id, has changed: a hint, no more."""

    name = "scene-render.callback.received"

    attempt_id: UUID
    task_id: str | None


class CancelDue(Event):
    """Nobody wants what this attempt renders: end it where that saves money."""

    name = "scene-render.cancel.due"

    attempt_id: UUID


class UnknownOverdue(Event):
    """No task of this provider goes on for so long: an attempt that is still unknown gives its slot back."""

    name = "scene-render.unknown.overdue"

    attempt_id: UUID


class PayAgainDue(Event):
    """Nobody has settled an unknown attempt for a while: its scene may be ordered once more, if the policy says so."""

    name = "scene-render.pay-again.due"

    attempt_id: UUID


class ClipReady(Event):
    """The provider has finished an attempt: its clip can be collected."""

    name = "scene-render.clip.ready"

    attempt_id: UUID


class AnimaticOrdered(Event):
    """The animatic renderer was asked for a clip."""

    name = "scene-render.animatic.ordered"

    task_id: UUID
    order: AnimaticOrder
