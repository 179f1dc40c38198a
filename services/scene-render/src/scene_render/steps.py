"""The steps between `scene.requested` and `scene.rendered`: messages this service sends to itself."""

from uuid import UUID

from scene_render.animatic_order import AnimaticOrder
from shared.contracts.events import Event


class SlotOffered(Event):
    """A scene waits, or a slot is free: whoever's turn it is may start. `video_id` is who caused it."""

    name = "scene-render.slot.offered"

    provider: str


class SubmissionOverdue(Event):
    """By now an attempt should have its task id; if it has none, nobody may know whether it was paid."""

    name = "scene-render.submission.overdue"

    attempt_id: UUID


class CheckDue(Event):
    """It is time to ask the provider how an attempt is doing."""

    name = "scene-render.check.due"

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
