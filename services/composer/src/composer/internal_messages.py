"""The messages that the composer sends to itself, from the first `scene.rendered` to `video.previewed`."""

from typing import ClassVar
from uuid import UUID

from composer.film.parts import Part
from composer.stream.plan import StreamPart
from shared.contracts.messages import InternalMessage


class FilmMessage(InternalMessage):
    """A message about the film of one video."""

    video_id: UUID

    @property
    def ordering_key(self) -> str:
        """The video."""
        return str(self.video_id)


class PartDue(FilmMessage):
    """The clips of a part of a film have arrived: the part can be made."""

    name = "composer.part.due"

    part: Part


class ClipsCollected(FilmMessage):
    """All clips of a video have arrived, and all parts of its film are made: the film can be joined."""

    name = "composer.clips.collected"


class StreamPieceDue(InternalMessage):
    """The clips and the transition of a piece of a stream are there: the piece can be made."""

    name = "composer.stream.piece.due"
    fails_video: ClassVar[bool] = False

    video_id: UUID
    part: StreamPart

    @property
    def ordering_key(self) -> str:
        """The video."""
        return str(self.video_id)


class PreviewsDue(InternalMessage):
    """A film is stored: its pictures can be made. The film is complete without them."""

    name = "composer.previews.due"
    fails_video: ClassVar[bool] = False

    video_id: UUID

    @property
    def ordering_key(self) -> str:
        """The video."""
        return str(self.video_id)
