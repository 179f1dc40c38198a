"""What the requests to all providers have in common: fields that follow from a model of the catalogue."""

import base64
import hashlib
from typing import Any

from scene_render.providers.base import Order, Picture, PictureOrder, Shot, SubmissionRefused
from shared.catalogue.models import Model


def model_of(order: Order) -> Model:
    """Return the model of an order. Raises `SubmissionRefused` if it has none, or cannot render this order."""
    model = order.model
    if model is None:
        raise _refused("No model is named for the order.")
    if isinstance(order, PictureOrder) and len(order.references) > model.references:
        raise _refused(f"{model.key} takes at most {model.references} references.")
    return model


def endpoint_of(order: Order) -> str:
    """Return the endpoint of an order. Raises `SubmissionRefused` if its model has none for it."""
    model = model_of(order)
    pictures = order.references if isinstance(order, PictureOrder) else order.first_frame
    endpoint = model.from_picture if pictures else model.from_text
    if endpoint is None:
        raise _refused(f"{model.key} cannot render {'with' if pictures else 'without'} a picture to start from.")
    return endpoint


def ratio_of(order: Order) -> str | None:
    """Return how the aspect ratio of an order is written; None: it must not be sent."""
    if isinstance(order, Shot):
        return model_of(order).ratio(order.request.aspect_ratio, with_picture=order.first_frame is not None)
    return model_of(order).ratio(order.aspect_ratio, with_picture=bool(order.references))


def length_of(shot: Shot) -> int | str:
    """Return how the length of a shot is written."""
    match model_of(shot).seconds_as:
        case "integer":
            return shot.seconds
        case "string":
            return str(shot.seconds)
        case "suffixed":
            return f"{shot.seconds}s"


def sound_of(shot: Shot) -> dict[str, Any]:
    """Return the field that turns the sound of a clip on or off; empty if its model has none."""
    model = model_of(shot)
    if model.sound_field is None:
        return {}
    return {model.sound_field: model.sound == "by request" and shot.request.clip_sound != "drop"}


def makes_sound(shot: Shot) -> bool:
    """Return whether a clip has sound that is going to be heard."""
    return model_of(shot).sound != "never" and shot.request.clip_sound != "drop"


def seed_of(order: Order, attempt_id: str) -> dict[str, int]:
    """Return the seed of an attempt, which is the same each time; empty if its model takes none.

    Attempts at the same scene differ: one with the seed of a rejected result would render that again.
    """
    digest = hashlib.sha256(attempt_id.encode()).digest()
    return {"seed": int.from_bytes(digest[:4]) >> 1} if model_of(order).seed else {}


def base64_of(picture: Picture) -> str:
    """Return the content of a picture in base64."""
    return base64.b64encode(picture.path.read_bytes()).decode()


def data_uri(picture: Picture) -> str:
    """Return a picture as a data URI."""
    return f"data:{picture.content_type};base64,{base64_of(picture)}"


def _refused(reason: str) -> SubmissionRefused:
    return SubmissionRefused("invalid_request", reason, asked=False)
