"""The order of an attempt: what its row requested, and the length that is not rendered yet."""

import math
from typing import Any

from scene_render.models import Render
from shared.catalogue.models import Model
from shared.contracts.events import CastRequested, SceneRequested
from shared.contracts.media import FRAME_RATE
from shared.contracts.story import DEFAULT_NICHE, CastMember


def request_of(render: Render) -> SceneRequested:
    """Return the event that requested this scene."""
    return SceneRequested.model_validate(render.request)


def cast_of(render: Render) -> tuple[CastMember, CastRequested]:
    """Return the member of the cast that this reference picture shows, and the request."""
    request = CastRequested.model_validate(render.request)
    return request.cast[0], request


def providers_of(render: Render) -> tuple[str, ...]:
    """Return the providers that were requested."""
    return tuple(render.request.get("providers") or ())


def without_text(request: dict[str, Any]) -> dict[str, Any]:
    """Remove all text and pictures from a request; the facts about the order and its cost stay."""
    if "cast" in request and "scene" not in request:
        return {**request, "cast": [], "style": ""}
    event = SceneRequested.model_validate(request)
    scene = event.scene.model_copy(update={"description": "", "action": ""})
    nothing: dict[str, Any] = {"first_frame": None, "own_clip": None, "post_id": None, "cast": ()}
    erased = event.model_copy(update={"scene": scene, "shot_prompt": "", "niche": DEFAULT_NICHE, **nothing})
    return erased.model_dump(mode="json")


def seconds_left(render: Render) -> float:
    """Return how much of the scene is not rendered yet, in seconds."""
    return frames_left(render) / FRAME_RATE


def frames_left(render: Render) -> int:
    """Return how many frames of the scene are not rendered yet."""
    return request_of(render).clip_frames - sum(int(part["frames"]) for part in render.parts)


def seconds_to_order(render: Render, model: Model | None) -> int:
    """Return the length of the next clip to order: all that is left, or the first part of it. None: the free model."""
    left = seconds_left(render)
    return math.ceil(left) if model is None else model.tariff.split(left)[0]
