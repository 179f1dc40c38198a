"""The step between the last `scene.rendered` and `video.composed`: a message this service sends to itself."""

from shared.contracts.events import Event


class ClipsCollected(Event):
    """All clips of a video are stored: its film can be composed."""

    name = "composer.clips.collected"
