"""Decides which frames of a film are copied and which are encoded. Rules without I/O; all numbers are frames.

Only transitions have to be encoded: a window of the frames that overlap, extended to the nearest places where both
clips can be cut. All other frames are copied, bit by bit. A scene is planned as soon as its clip exists, a transition
as soon as both of its clips do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from composer.film.segments import Copied, Encoded, Excerpt, Segment
from shared.contracts.media import FRAME_RATE, LONGEST_FREEZE_FRAMES, Clip, CutPoints
from shared.contracts.story import ClipSound
from shared.contracts.timeline import Slot
from shared.messaging.errors import StepFailed

SHORTEST_COPY = 6
"""A shorter run is encoded with its neighbours."""
FARTHEST_IDR = 48
"""If a clip has no IDR picture so soon after its transition, it waits for the end of the transition ("hold")."""

NEIGHBOUR = FRAME_RATE
"""Frames on each side of a transition that are decoded with it."""
FARTHEST_NEIGHBOUR = 3 * FRAME_RATE
"""If decoding would have to begin earlier than this, the frames before the transition are not decoded again."""

Holds = Literal["auto", "never"]


class ClipTooShort(StepFailed):
    """A clip is so short that freezing its last frame would be visible."""

    def __init__(self, scene_number: int, frames: int, wanted: int) -> None:
        reason = f"the clip of scene {scene_number} has {frames} frames; {wanted} are needed"
        super().__init__("clip_too_short", reason)
        self.scene_number = scene_number
        self.frames = frames
        self.wanted = wanted


@dataclass(frozen=True)
class Rules:
    """How films are planned.

    `parameter_sets`: the digest of the parameter sets that may be copied, by their number. `copies`: whether anything
    may be copied. `clip_sound`: what becomes of the sound of the clips.
    """

    parameter_sets: Mapping[int, str]
    copies: bool = True
    holds: Holds = "auto"
    clip_sound: ClipSound = "keep"

    def cut_points(self, clip: Clip) -> CutPoints | None:
        """Return where a clip can be cut; None if it cannot be copied into this film."""
        points = clip.cut_points
        if not self.copies or points is None:
            return None
        known = self.parameter_sets.get(points.parameter_set_id, points.parameter_sets)
        return points if known == points.parameter_sets else None


@dataclass(frozen=True)
class ScenePlan:
    """What becomes of one clip.

    Its first `intro` frames belong to the transition before, and its frames from `outro` on, up to `end`, to the
    transition after; between them are the `segments`. `held`: during the transition before, the clip stands still on
    its first frame, so it is `held` frames late.
    """

    slot: Slot
    clip: Clip
    points: CutPoints | None
    intro: int
    outro: int
    end: int
    held: int
    segments: tuple[Segment, ...]


def plan_scene(slot: Slot, clip: Clip, rules: Rules) -> ScenePlan:
    """Plan one scene.

    Raises:
        ClipTooShort: the clip is more than `LONGEST_FREEZE_FRAMES` too short.
    """
    if clip.frames < slot.clip_frames - LONGEST_FREEZE_FRAMES:
        raise ClipTooShort(slot.scene.scene_number, clip.frames, slot.clip_frames)
    points = rules.cut_points(clip)
    held = slot.lead if points and _holds(slot, points, rules.holds) else 0
    # The frames of the clip that are shown by this scene alone.
    first, end = (0, slot.frames - held) if held else (slot.lead, slot.frames)
    run = _run(slot, clip, points, first, end) if points else None
    if run is None:
        body = Encoded(excerpts=(_excerpt(slot, clip, first, end),))
        return ScenePlan(slot, clip, None, first, end, end + slot.overlap, held, (body,))
    begin, stop = run
    copied = Copied(
        scene_number=slot.scene.scene_number,
        media=clip.media,
        first=begin,
        frames=stop - begin,
    )
    segments: list[Segment] = [copied]
    if not slot.overlap and stop < end:  # the clip is too short: freeze its last frame
        segments.append(Encoded(excerpts=(_excerpt(slot, clip, stop, end),)))
    return ScenePlan(slot, clip, points, begin, stop, end + slot.overlap, held, tuple(segments))


def plan_transition(before: ScenePlan, after: ScenePlan) -> Encoded | None:
    """Return the window of the transition between two scenes; None for a cut."""
    overlap = before.slot.overlap
    if not overlap:
        return None
    outgoing = _excerpt(before.slot, before.clip, before.outro, before.end)
    incoming = _excerpt(after.slot, after.clip, 0, 1 if after.held else after.intro)
    if after.held:
        incoming = incoming.model_copy(update={"freeze": overlap - 1})
    return Encoded(
        excerpts=(outgoing, incoming),
        transition=before.slot.scene.transition,
        overlap=overlap,
        before=_copied_before(before),
        after=_copied_after(after),
    )


def plan_parts(slots: Sequence[Slot], clips: Mapping[int, Clip], rules: Rules) -> list[Encoded]:
    """Return all that can be encoded with the `clips` that exist so far, by scene number.

    Raises:
        ClipTooShort: see `plan_scene`.
    """
    plans = {
        slot.scene.scene_number: plan_scene(slot, clip, rules)
        for slot in slots
        if (clip := clips.get(slot.scene.scene_number)) is not None
    }
    parts = [segment for plan in plans.values() for segment in plan.segments if isinstance(segment, Encoded)]
    for one, other in pairwise(slots):
        before, after = plans.get(one.scene.scene_number), plans.get(other.scene.scene_number)
        if before and after and (window := plan_transition(before, after)):
            parts.append(window)
    return parts


def plan_film(slots: Sequence[Slot], clips: Mapping[int, Clip], rules: Rules) -> list[Segment]:
    """Return the segments of the whole film in order."""
    return [segment for piece in plan_pieces(slots, clips, rules) for segment in piece]


def plan_pieces(slots: Sequence[Slot], clips: Mapping[int, Clip], rules: Rules) -> list[list[Segment]]:
    """Return the segments of each scene, each with the transition before it.

    `clips` may end early: the pieces do so as well.
    """
    pieces: list[list[Segment]] = []
    before: ScenePlan | None = None
    for slot in slots:
        clip = clips.get(slot.scene.scene_number)
        if clip is None:
            break
        plan = plan_scene(slot, clip, rules)
        window = plan_transition(before, plan) if before else None
        pieces.append([*([window] if window else []), *plan.segments])
        before = plan
    return pieces


def _holds(slot: Slot, points: CutPoints, holds: Holds) -> bool:
    near = any(slot.lead <= frame <= slot.lead + FARTHEST_IDR for frame in points.idr_frames)
    return holds == "auto" and slot.lead > 0 and not near


def _run(slot: Slot, clip: Clip, points: CutPoints, first: int, end: int) -> tuple[int, int] | None:
    """Return the frames that can be copied of those from `first` to `end`; None if there are too few."""
    begin = next((frame for frame in points.idr_frames if frame >= first), None)
    if begin is None:
        return None
    if not slot.overlap and clip.frames >= end:
        # Before a cut, the first packets of the clip do: no frame after them is shown.
        stop = end
    else:
        # The frame that is frozen has to be decoded.
        latest = min(end, clip.frames - 1)
        stop = max((clean for clean in points.clean_ends if clean <= latest), default=0)
    return (begin, stop) if stop - begin >= SHORTEST_COPY else None


def _copied_before(plan: ScenePlan) -> Copied | None:
    """Return the last frames that are copied before a transition, if decoding can begin near them."""
    run = plan.segments[-1]
    if not isinstance(run, Copied) or plan.points is None:
        return None
    latest = max(plan.outro - NEIGHBOUR, run.first)
    first = max(frame for frame in plan.points.idr_frames if run.first <= frame <= latest)
    frames = plan.outro - first
    return run.model_copy(update={"first": first, "frames": frames}) if frames <= FARTHEST_NEIGHBOUR else None


def _copied_after(plan: ScenePlan) -> Copied | None:
    """Return the first frames that are copied after a transition."""
    run = plan.segments[0]
    if not isinstance(run, Copied) or plan.points is None:
        return None
    least = min(plan.intro + NEIGHBOUR, plan.intro + run.frames)
    end = next((clean for clean in plan.points.clean_ends if clean >= least), plan.intro + run.frames)
    return run.model_copy(update={"frames": min(end - plan.intro, run.frames)})


def _excerpt(slot: Slot, clip: Clip, first: int, end: int) -> Excerpt:
    """Return the frames of a clip; those that it does not have are replaced by its last one."""
    begin = min(first, clip.frames - 1)
    frames = max(min(end, clip.frames) - begin, 1)
    freeze = end - first - frames
    return Excerpt(scene_number=slot.scene.scene_number, media=clip.media, first=begin, frames=frames, freeze=freeze)
