"""When each scene is on screen, in frames: the rule that storyboard and composer both keep.

Scene durations sum to the film exactly. A transition overlaps two scenes; its frames are filmed on top of the first
one, so the clip of a scene is as long as the scene itself plus the overlap that follows it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.contracts.media import FRAME_RATE
from shared.contracts.story import Scene, Transition

OVERLAP_SECONDS: dict[Transition, float] = {"cut": 0.0, "fade": 0.5, "dissolve": 0.75, "wipe": 0.5}
"""How long each transition lasts where both scenes are long enough for it."""


@dataclass(frozen=True)
class Slot:
    """The place of one scene in the film. All figures are frames at `FRAME_RATE`."""

    scene: Scene
    start: int
    frames: int
    overlap: int

    @property
    def clip_frames(self) -> int:
        """How long the clip must be: the scene and the overlap after it."""
        return self.frames + self.overlap


def timeline(scenes: Sequence[Scene]) -> tuple[Slot, ...]:
    """Place scenes one after the other.

    Cuts between scenes are rounded to whole frames from the start of the film, so that rounding never adds up: the
    last scene ends at `round(total * FRAME_RATE)`. An overlap is never longer than half of either neighbour; the last
    scene has none.
    """
    ends = [round(sum(scene.duration for scene in scenes[: n + 1]) * FRAME_RATE) for n in range(len(scenes))]
    starts = [0, *ends[:-1]]
    lengths = [end - start for start, end in zip(starts, ends, strict=True)]
    slots = []
    for n, scene in enumerate(scenes):
        overlap = 0
        if n + 1 < len(scenes):
            wanted = round(OVERLAP_SECONDS[scene.transition] * FRAME_RATE)
            overlap = min(wanted, lengths[n] // 2, lengths[n + 1] // 2)
        slots.append(Slot(scene, starts[n], lengths[n], overlap))
    return tuple(slots)


def total_frames(slots: Sequence[Slot]) -> int:
    """How many frames the film has."""
    return slots[-1].start + slots[-1].frames
