"""The step between the last `scene.rendered` and `video.composed`: a message this service sends to itself."""

from uuid import UUID

from shared.contracts.messages import InternalMessage


class ClipsCollected(InternalMessage):
    """All clips of a video are stored: its film can be composed."""

    name = "composer.clips.collected"

    video_id: UUID

    @property
    def ordering_key(self) -> str:
        """The video."""
        return str(self.video_id)
