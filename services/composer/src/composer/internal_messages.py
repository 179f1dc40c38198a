"""The message that the composer sends to itself between the last `scene.rendered` and `video.composed`."""

from uuid import UUID

from shared.contracts.messages import InternalMessage


class ClipsCollected(InternalMessage):
    """All clips of a video have arrived; its film can be composed."""

    name = "composer.clips.collected"

    video_id: UUID

    @property
    def ordering_key(self) -> str:
        """The video."""
        return str(self.video_id)
