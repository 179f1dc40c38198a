"""The ids by which callers name stored media: nobody can name an object of the storage by its key."""

import contextlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal
from uuid import NAMESPACE_URL, UUID, uuid5

from shared.contracts.media import UPLOADS_PREFIX, MediaReference
from shared.contracts.story import Storyboard

MediaKind = Literal["picture", "clip"]


@dataclass(frozen=True)
class NamedMedia:
    """Media that a request names. `path`: the field, beginning with the part of the request."""

    path: tuple[str, ...]
    media_id: UUID
    kind: MediaKind


def media_id(media: MediaReference) -> UUID:
    """Return the id of stored media: of an upload, its own; of media that another service brought, a derived one."""
    if media.key.startswith(UPLOADS_PREFIX):
        with contextlib.suppress(ValueError):
            return UUID(PurePosixPath(media.key).stem)
    return uuid5(NAMESPACE_URL, media.key)


def media_of(storyboard: Storyboard) -> dict[UUID, MediaReference]:
    """Return the media of a storyboard by their ids."""
    shown = [one for scene in storyboard.scenes for one in (scene.image, scene.clip)]
    shown += [member.image for member in storyboard.cast]
    return {media_id(media): media for media in shown if media is not None}


def with_uploads_only(storyboard: Storyboard) -> Storyboard:
    """Return a storyboard for another video, which must not refer to the stored media of this one."""

    def kept(media: MediaReference | None) -> MediaReference | None:
        return media if media is not None and media.key.startswith(UPLOADS_PREFIX) else None

    scenes = tuple(
        scene.model_copy(update={"image": kept(scene.image), "clip": kept(scene.clip)}) for scene in storyboard.scenes
    )
    cast = tuple(member.model_copy(update={"image": kept(member.image)}) for member in storyboard.cast)
    return storyboard.model_copy(update={"scenes": scenes, "cast": cast})
