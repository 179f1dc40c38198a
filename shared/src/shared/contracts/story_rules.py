"""The rules for every story that is filmed, whether a model, a template or a person wrote it. No I/O."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from shared.contracts.story import CameraAngle, Transition, VideoStory
from shared.contracts.text import is_blank
from shared.contracts.timeline import OVERLAP_SECONDS

ROUNDING_SECONDS = 1e-6


@dataclass(frozen=True)
class SceneSeconds:
    """The clip lengths that the configured provider renders: a scene and the overlap after it."""

    shortest: float = 3.0
    longest: float = 60.0


ANY_SECONDS = SceneSeconds()


@dataclass(frozen=True)
class Fault:
    """A broken rule. `text` is for people; `place` is the path of the field, by its names on the wire."""

    place: tuple[str | int, ...]
    text: str


def faults_of(story: VideoStory, seconds: SceneSeconds, first: CameraAngle | None = None) -> list[Fault]:
    """Return all faults of a story. `first` is the required first angle; None: any."""
    scenes = story.scenes
    faults = []
    if [scene.scene_number for scene in scenes] != list(range(1, len(scenes) + 1)):
        faults.append(Fault(("scenes",), "the scenes are not numbered from 1"))
    faults += (lengths := _faults_of_lengths(story, seconds))
    wrong = {fault.place for fault in lengths}
    angles = [scene.camera_angle for scene in scenes]
    faults += [Fault(_field(n, "cameraAngle"), text) for n, text in _faulty_angles(angles, first)]
    if scenes[-1].transition != "cut":
        text = f"the last scene ends in a {scenes[-1].transition}, to nothing"
        faults.append(Fault(_field(len(scenes) - 1, "transition"), text))
    for n, (scene, after) in enumerate(pairwise(scenes)):
        # For a scene of the wrong length, report only the length: with the right one its transition may fit.
        if wrong & {_field(n, "duration"), _field(n + 1, "duration")}:
            continue
        if OVERLAP_SECONDS[scene.transition] * 2 >= min(scene.duration, after.duration):
            faults.append(Fault(_field(n, "transition"), "a transition is half as long as a scene beside it"))
    for n, scene in enumerate(scenes):
        if is_blank(scene.action):
            faults.append(Fault(_field(n, "action"), f"scene {scene.scene_number} has no action"))
    return faults


def faults_of_angles(angles: Sequence[CameraAngle | None], first: CameraAngle | None) -> list[str]:
    """Return the faults of these angles, of which `first` must come first."""
    return [text for _, text in _faulty_angles(angles, first)]


def lengths_fit(durations: Sequence[float], joins: Sequence[Transition], total: float, seconds: SceneSeconds) -> bool:
    """Return whether the scenes have the required total, and each clip a length that can be rendered."""
    return sums_to(durations, total) and all(
        _length_fits(duration, join, seconds) for duration, join in zip(durations, joins, strict=True)
    )


def sums_to(durations: Sequence[float], total: float) -> bool:
    """Return whether durations add up to the total, within the rounding errors of tenths of seconds."""
    return math.isclose(sum(durations), total, rel_tol=0, abs_tol=ROUNDING_SECONDS)


def _faults_of_lengths(story: VideoStory, seconds: SceneSeconds) -> list[Fault]:
    durations = [scene.duration for scene in story.scenes]
    if not sums_to(durations, story.total_duration):
        text = f"the scenes last {sum(durations):g} s together where the film lasts {story.total_duration:g} s"
        return [Fault(("totalDuration",), text)]
    span = f"{seconds.shortest:g} to {seconds.longest:g} s"
    return [
        Fault(_field(n, "duration"), f"scene {scene.scene_number} is not {span} long, its transition included")
        for n, scene in enumerate(story.scenes)
        if not _length_fits(scene.duration, scene.transition, seconds)
    ]


def _length_fits(duration: float, join: Transition, seconds: SceneSeconds) -> bool:
    return seconds.shortest <= duration and duration + OVERLAP_SECONDS[join] <= seconds.longest


def _faulty_angles(angles: Sequence[CameraAngle | None], first: CameraAngle | None) -> list[tuple[int | None, str]]:
    """Return the index and the text of each fault; the index is None if the fault concerns all angles."""
    faults: list[tuple[int | None, str]] = [
        (n, "an angle comes twice in a row") for n, (before, after) in enumerate(pairwise(angles), 1) if before == after
    ]
    if len(set(angles)) < min(len(angles), 3):
        faults.append((None, f"only {len(set(angles))} different angles"))
    if first and angles[0] != first:
        faults.append((0, "no establishing shot comes first" if first == "wide" else f"no {first} comes first"))
    return faults


def _field(n: int | None, name: str) -> tuple[str | int, ...]:
    return ("scenes",) if n is None else ("scenes", n, name)
