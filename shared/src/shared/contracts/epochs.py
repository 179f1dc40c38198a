"""Whether a video has failed or continues, independent of the order in which events arrive.

A video starts in epoch 0, and each resume starts a new epoch. A failure belongs to the epoch it happened in. The
standing with the higher epoch wins; within one epoch, a failure wins over the resume that started it. So all consumers
of the same events arrive at the same standing.
"""

from typing import NamedTuple

from shared.contracts.events import SceneFailed, VideoFailed, VideoResumed


class Standing(NamedTuple):
    """The latest epoch of a video, and whether the video has failed in it. The greater of two standings wins."""

    epoch: int
    failed: bool

    def after(self, event: SceneFailed | VideoFailed | VideoResumed) -> "Standing":
        """Return the standing after this event; an outdated event changes nothing."""
        return max(self, Standing(event.epoch, not isinstance(event, VideoResumed)))
