"""Checks what a message claims, before its handler gets it."""

from collections.abc import Iterator
from typing import TypeVar

from pydantic import BaseModel

from shared.contracts.media import UPLOADS_PREFIX, MediaReference, media_prefix
from shared.contracts.messages import Message
from shared.messaging.errors import MessageMalformed

E = TypeVar("E", bound=Message)


def checked(event: E, user: str | None) -> E:
    """Return the event, with its publisher as the owner if it names none.

    `user` is the broker user that published the message, verified by RabbitMQ; None: unknown.

    Raises:
        MessageMalformed: it refers to media of another video, or names another owner than its publisher.
    """
    video_id = getattr(event, "video_id", None)
    for path, reference in _references(event):
        # The gateway has checked that an upload belongs to the person who used it; its key cannot be guessed.
        own = (media_prefix(video_id), UPLOADS_PREFIX)
        if video_id is None or not reference.key.startswith(own) or "/." in reference.key:
            raise MessageMalformed(f"{path}: {reference.key!r} is not media of video {video_id}")
    owner = getattr(event, "owner", None)
    if user is None or owner is None:
        return event
    if "owner" not in event.model_fields_set:
        return event.model_copy(update={"owner": user})
    if owner != user:
        raise MessageMalformed(f"owner: {owner!r} is not {user!r}, the user that published the message")
    return event


def _references(value: object, path: str = "") -> Iterator[tuple[str, MediaReference]]:
    """Yield all media references in a message, with their paths."""
    match value:
        case MediaReference():
            yield path, value
        case BaseModel():
            for name, field in type(value).model_fields.items():
                yield from _references(getattr(value, name), f"{path}.{field.alias or name}".lstrip("."))
        case list() | tuple():
            for n, item in enumerate(value):
                yield from _references(item, f"{path}.{n}")
        case dict():
            for key, item in value.items():
                yield from _references(item, f"{path}.{key}")
