"""Repairs drafts that almost satisfy the rules, and lists the changes. No I/O."""

import itertools
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import get_args

from shared.contracts.events import StoryRequested
from shared.contracts.story import CameraAngle, Scene, Transition, VideoStory
from shared.contracts.story_rules import SceneSeconds, faults_of_angles, lengths_fit
from shared.contracts.timeline import OVERLAP_SECONDS
from storyboard.draft import Draft, DraftScene
from storyboard.rules import (
    HALVES,
    angle_named,
    check_duration,
    halves,
    opening,
)
from storyboard.text import cut, flat

ANGLES: tuple[CameraAngle, ...] = get_args(CameraAngle)
TRANSITIONS: tuple[Transition, ...] = get_args(Transition)

LONGEST_TITLE = 80
LONGEST_PROMPT = 1000
LONGEST_DESCRIPTION = 300
LONGEST_ACTION = 300
LONGEST_QUOTE = 40


def repair(draft: Draft, request: StoryRequested, seconds: SceneSeconds) -> tuple[VideoStory, list[str]]:
    """Return the story of a draft with the requested number of scenes, and the repairs.

    Raises:
        StoryboardInvalid: no storyboard can have the requested duration.
    """
    check_duration(request, seconds)
    repairs: list[str] = []
    angles = _angles(draft.scenes, opening(request), repairs)
    joins = _joins(draft.scenes, repairs)
    durations, joins = _durations(draft.scenes, joins, request.duration, seconds, repairs)

    def kept(text: str, longest: int, other: str, what: str) -> str:
        short = cut(text or other, longest)
        if short != text:
            repairs.append(f"{what} was {'cut' if text else 'missing'}")
        return short

    scenes = tuple(
        Scene(
            scene_number=n + 1,
            description=kept(scene.description, LONGEST_DESCRIPTION, scene.action, f"scene {n + 1}: its description"),
            camera_angle=angles[n],
            duration=durations[n],
            action=kept(scene.action, LONGEST_ACTION, scene.description, f"scene {n + 1}: its action"),
            transition=joins[n],
        )
        for n, scene in enumerate(draft.scenes)
    )
    story = VideoStory(
        title=kept(draft.title, LONGEST_TITLE, flat(request.prompt) or "Untitled", "the title"),
        niche=request.niche,
        overall_prompt=cut(flat(request.prompt), LONGEST_PROMPT),
        total_duration=request.duration,
        scenes=scenes,
    )
    return story, repairs


def _angles(scenes: Sequence[DraftScene], first: CameraAngle | None, repairs: list[str]) -> Sequence[CameraAngle]:
    """Return the valid sequence of angles closest to the draft's."""
    drafted = [angle_named(scene.camera_angle) for scene in scenes]
    if None in drafted or faults_of_angles(drafted, first):
        sequences = itertools.product(ANGLES, repeat=len(drafted))
        good = (angles for angles in sequences if not faults_of_angles(angles, first))
        angles = min(good, key=lambda angles: sum(a != b for a, b in zip(angles, drafted, strict=True)))
    else:
        angles = tuple(angle for angle in drafted if angle)
    repairs += [
        f"scene {number}: its angle was {cut(scene.camera_angle, LONGEST_QUOTE) or 'missing'}, is now {angle}"
        for number, (scene, angle) in enumerate(zip(scenes, angles, strict=True), 1)
        if scene.camera_angle != angle
    ]
    return angles


def _joins(scenes: Sequence[DraftScene], repairs: list[str]) -> list[Transition]:
    joins: list[Transition] = []
    for number, scene in enumerate(scenes, 1):
        known: Transition = next((name for name in TRANSITIONS if name == scene.transition.lower()), "cut")
        joins.append("cut" if number == len(scenes) else known)
        if joins[-1] != scene.transition:
            was = cut(scene.transition, LONGEST_QUOTE) or "missing"
            repairs.append(f"scene {number}: its transition was {was}, is now {joins[-1]}")
    return joins


def _durations(
    scenes: Sequence[DraftScene], joins: list[Transition], total: int, seconds: SceneSeconds, repairs: list[str]
) -> tuple[Sequence[float], list[Transition]]:
    drafted = [scene.duration for scene in scenes]
    durations: Sequence[float] = drafted
    if not lengths_fit(drafted, joins, total, seconds):
        low, high = halves(seconds)
        highest = [math.floor((seconds.longest - OVERLAP_SECONDS[join]) * HALVES) for join in joins]
        if sum(highest) < total * HALVES or min(highest) < low:
            joins, highest = ["cut"] * len(joins), [high] * len(joins)
            repairs.append("all transitions were made cuts, for scenes as long as they can be")
        durations = [half / HALVES for half in _rebalanced(drafted, total * HALVES, low, highest)]
        before, after = (", ".join(f"{duration:g}" for duration in each) for each in (drafted, durations))
        repairs.append(f"the durations were {before} s, are now {after} s")
    for n, (join, neighbours) in enumerate(zip(joins, pairwise(durations), strict=False)):
        if OVERLAP_SECONDS[join] * 2 >= min(neighbours):
            joins = [*joins[:n], "cut", *joins[n + 1 :]]
            repairs.append(f"scene {n + 1}: its transition was too long for its neighbours, is now cut")
    return durations, joins


def _rebalanced(drafted: Sequence[float], total: int, low: int, highest: Sequence[int]) -> list[int]:
    """Split `total` into whole parts between `low` and `highest`, as close as possible to the drafted ones."""
    # Clamped, so that a missing or absurd duration does not distort the others.
    mean = total / len(drafted)
    weights = [min(max(length * HALVES, mean / 4), mean * 4) if length else mean for length in drafted]
    ideal = [weight * total / sum(weights) for weight in weights]
    parts = [min(max(round(part), low), high) for part, high in zip(ideal, highest, strict=True)]
    while rest := total - sum(parts):
        step = int(math.copysign(1, rest))
        movable = [n for n, part in enumerate(parts) if low <= part + step <= highest[n]]
        parts[max(movable, key=lambda n: step * (ideal[n] - parts[n]))] += step
    return parts
