"""When each scene is on screen, in frames. Storyboard and composer both use this rule.

Scene durations add up to exactly the film's. A transition overlaps two scenes, and the first scene's clip has the extra
frames: a clip is as long as its scene plus the overlap that follows it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.contracts.media import FRAME_RATE
from shared.contracts.story import Scene, Transition

OVERLAP_SECONDS: dict[Transition, float] = {"cut": 0.0, "fade": 0.5, "dissolve": 0.75, "wipe": 0.5}
"""Length of each transition, if both scenes are long enough."""


@dataclass(frozen=True)
class Slot:
    """The position of one scene in the film. All values are frames at `FRAME_RATE`.

    `lead` is the overlap with the scene before, `overlap` that with the scene after.
    """

    scene: Scene
    start: int
    frames: int
    lead: int
    overlap: int

    @property
    def clip_frames(self) -> int:
        """The length of the clip: the scene and the overlap after it."""
        return self.frames + self.overlap


def timeline(scenes: Sequence[Scene]) -> tuple[Slot, ...]:
    """Place scenes one after the other.

    Scene starts are rounded to whole frames from the start of the film, so that rounding errors do not accumulate: the
    last scene ends at `round(total * FRAME_RATE)`. An overlap is at most half as long as either neighbour; the last
    scene has none.
    """
    ends = [round(sum(scene.duration for scene in scenes[: n + 1]) * FRAME_RATE) for n in range(len(scenes))]
    starts = [0, *ends[:-1]]
    lengths = [end - start for start, end in zip(starts, ends, strict=True)]
    slots: list[Slot] = []
    for n, scene in enumerate(scenes):
        overlap = 0
        if n + 1 < len(scenes):
            wanted = round(OVERLAP_SECONDS[scene.transition] * FRAME_RATE)
            overlap = min(wanted, lengths[n] // 2, lengths[n + 1] // 2)
        lead = slots[-1].overlap if slots else 0
        slots.append(Slot(scene, starts[n], lengths[n], lead, overlap))
    return tuple(slots)


def boundaries(clip_frames: int, lead: int, tail: int) -> tuple[int, ...]:
    """Return the frames of a clip at which the overlap before it ends (`lead`) and the one after it begins (`tail`)."""
    return tuple(sorted({frame for frame in (lead, clip_frames - tail) if 0 < frame < clip_frames}))


def total_frames(slots: Sequence[Slot]) -> int:
    """Return the number of frames of the film."""
    return slots[-1].start + slots[-1].frames
