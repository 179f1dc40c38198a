"""What a good list of scenes is, whoever wrote it, and how a film's seconds are shared among them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from shared.contracts.events import VideoRequested
from shared.contracts.story import Scene, SceneNumber, VideoStory
from shared.contracts.timeline import OVERLAP_SECONDS
from shared.errors import StepFailed

SHORTEST_SCENE = 3
"""Seconds a scene needs at least to be understood."""

ANGLES_WANTED = 3
"""How many different angles a film shows, if it has as many scenes."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a story. `scene_number` is None when it is the story as a whole."""

    kind: str
    reason: str
    scene_number: SceneNumber | None = None


class StoryboardInvalid(StepFailed):
    """The story breaks the rules of a storyboard; `faults` are all of them."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("storyboard-invalid", " ".join(fault.reason for fault in faults))
        self.faults = tuple(faults)


def require_sound(story: VideoStory, request: VideoRequested) -> None:
    """Let a good story pass and raise `StoryboardInvalid` for any other."""
    if faults := storyboard_faults(story, request):
        raise StoryboardInvalid(faults)


def storyboard_faults(story: VideoStory, request: VideoRequested) -> tuple[Fault, ...]:
    """All that is wrong with a story, in the order of the film; empty when it is sound."""
    return (
        *_story_faults(story, request),
        *_order_faults(story.scenes),
        *_angle_faults(story.scenes),
        *_transition_faults(story.scenes),
        *(fault for scene in story.scenes for fault in _scene_faults(scene)),
    )


def split_duration(total: int, weights: Sequence[float]) -> tuple[float, ...]:
    """Share `total` seconds by weight, in whole seconds, at least `SHORTEST_SCENE` each, summing exactly."""
    if not weights or min(weights) <= 0:
        raise ValueError("every scene needs a positive weight")
    if total < SHORTEST_SCENE * len(weights):
        raise ValueError(f"{total} s are too few for {len(weights)} scenes")
    ideal = [total * weight / sum(weights) for weight in weights]
    seconds = [SHORTEST_SCENE] * len(weights)
    while sum(seconds) < total:
        neediest = max(range(len(weights)), key=lambda n: ideal[n] - seconds[n])
        seconds[neediest] += 1
    return tuple(float(count) for count in seconds)


def _story_faults(story: VideoStory, request: VideoRequested) -> list[Fault]:
    faults = []
    if not story.title.strip():
        faults.append(Fault("title-missing", "The story has no title."))
    if not story.overall_prompt.strip():
        faults.append(Fault("prompt-missing", "The story does not say what the film looks like as a whole."))
    if len(story.scenes) != request.scene_count:
        faults.append(Fault("scene-count", f"{len(story.scenes)} scenes instead of {request.scene_count}."))
    length = math.fsum(scene.duration for scene in story.scenes)
    if length != request.duration or story.total_duration != request.duration:
        faults.append(Fault("duration", f"{length:g} s of scenes instead of {request.duration} s."))
    return faults


def _order_faults(scenes: Sequence[Scene]) -> list[Fault]:
    return [
        Fault("scene-number", f"Scene {scene.scene_number} stands where scene {number} belongs.", scene.scene_number)
        for number, scene in enumerate(scenes, start=1)
        if scene.scene_number != number
    ]


def _angle_faults(scenes: Sequence[Scene]) -> list[Fault]:
    faults = []
    if len(scenes) > 1 and scenes[0].camera_angle != "wide":
        faults.append(Fault("not-established", "The first scene is not a wide shot.", scenes[0].scene_number))
    for before, scene in pairwise(scenes):
        if scene.camera_angle == before.camera_angle:
            reason = f"Scene {scene.scene_number} keeps the angle of the scene before."
            faults.append(Fault("angle-repeated", reason, scene.scene_number))
    different = len({scene.camera_angle for scene in scenes})
    wanted = min(len(scenes), ANGLES_WANTED)
    if different < wanted:
        faults.append(Fault("angles-few", f"{different} different angles instead of {wanted}."))
    return faults


def _transition_faults(scenes: Sequence[Scene]) -> list[Fault]:
    faults = []
    for before, after in pairwise(scenes):
        room = min(before.duration, after.duration) / 2
        if OVERLAP_SECONDS[before.transition] > room:
            reason = f"The {before.transition} after scene {before.scene_number} is longer than half of a neighbour."
            faults.append(Fault("transition-long", reason, before.scene_number))
    if scenes[-1].transition != "cut":
        faults.append(Fault("last-transition", "The last scene does not end in a cut.", scenes[-1].scene_number))
    return faults


def _scene_faults(scene: Scene) -> list[Fault]:
    faults = []
    if not scene.action.strip():
        reason = f"Nothing happens in scene {scene.scene_number}."
        faults.append(Fault("action-missing", reason, scene.scene_number))
    if not scene.description.strip():
        reason = f"Scene {scene.scene_number} is not described."
        faults.append(Fault("description-missing", reason, scene.scene_number))
    return faults
