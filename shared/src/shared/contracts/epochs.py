"""Whether a video has failed or goes on, for whoever hears of it in any order.

A video begins in epoch 0, and each resume begins a new one. A failure belongs to the epoch it happened in. Of two
standings the one with the higher epoch counts, and within one epoch a failure outweighs the resume that began it. So
all who hear the same events end with the same standing, in whatever order they hear them.
"""

from typing import NamedTuple

from shared.contracts.events import SceneFailed, VideoFailed, VideoResumed


class Standing(NamedTuple):
    """The latest epoch of a video, and whether it has failed in it. The greater one of two counts."""

    epoch: int
    failed: bool

    def after(self, event: SceneFailed | VideoFailed | VideoResumed) -> "Standing":
        """Return the standing after this event: the same one where the event is out of date."""
        return max(self, Standing(event.epoch, not isinstance(event, VideoResumed)))
