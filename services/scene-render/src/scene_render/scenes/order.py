"""The order of an attempt: the request of its scene, and the length that is not rendered yet."""

import math

from scene_render.models import Render
from scene_render.providers.base import Provider
from shared.contracts.events import SceneRequested
from shared.contracts.media import FRAME_RATE
from shared.contracts.story import DEFAULT_NICHE


def request_of(render: Render) -> SceneRequested:
    """Return the event that requested this scene."""
    return SceneRequested.model_validate(render.request)


def without_text(event: SceneRequested) -> SceneRequested:
    """Remove all text from a request; the facts about the order and its cost stay."""
    scene = event.scene.model_copy(update={"description": "", "action": ""})
    return event.model_copy(
        update={"scene": scene, "shot_prompt": "", "niche": DEFAULT_NICHE, "first_frame": None, "post_id": None},
    )


def frames_left(render: Render) -> int:
    """Return how many frames of the scene are not rendered yet."""
    return request_of(render).clip_frames - sum(int(part["frames"]) for part in render.parts)


def seconds_to_order(render: Render, provider: Provider) -> int:
    """Return the length of the next clip to order: all that is left, or the first part of it."""
    left = frames_left(render) / FRAME_RATE
    return math.ceil(left) if provider.tariff is None else provider.tariff.split(left)[0]
