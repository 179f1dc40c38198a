"""What a good list of scenes is: rules, without any I/O."""

from collections.abc import Sequence
from itertools import pairwise

from shared.contracts.events import VideoRequested
from shared.contracts.story import VideoStory
from shared.errors import StepFailed

SHORTEST_SCENE_SECONDS = 3
WHOLE = 1e-6


class StoryboardInvalid(StepFailed):
    """The storyboard breaks the rules; `faults` says which."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("storyboard", "; ".join(faults))
        self.faults = tuple(faults)


def check(story: VideoStory, request: VideoRequested) -> None:
    """Raise `StoryboardInvalid` unless the story is what was asked for, and can be filmed."""
    if faults := _faults(story, request):
        raise StoryboardInvalid(faults)


def _faults(story: VideoStory, request: VideoRequested) -> list[str]:
    scenes = story.scenes
    faults = []
    if len(scenes) != request.scene_count:
        faults.append(f"{len(scenes)} scenes where {request.scene_count} were asked for")
    if [scene.scene_number for scene in scenes] != list(range(1, len(scenes) + 1)):
        faults.append("the scenes are not numbered from 1")
    total = sum(scene.duration for scene in scenes)
    if abs(total - request.duration) > WHOLE or abs(story.total_duration - request.duration) > WHOLE:
        faults.append(f"the scenes last {total} s where {request.duration} s were asked for")
    angles = [scene.camera_angle for scene in scenes]
    if any(before == after for before, after in pairwise(angles)):
        faults.append("an angle comes twice in a row")
    if len(set(angles)) < min(len(angles), 3):
        faults.append(f"only {len(set(angles))} different angles")
    if len(scenes) > 1 and angles[0] != "wide":
        faults.append("no establishing shot comes first")
    if scenes[-1].transition != "cut":
        faults.append(f"the last scene ends in a {scenes[-1].transition}, to nothing")
    faults += [f"scene {scene.scene_number} has no action" for scene in scenes if not scene.action.strip()]
    return faults


def split_duration(total: int, weights: Sequence[float]) -> tuple[int, ...]:
    """Split whole seconds by weight, at least `SHORTEST_SCENE_SECONDS` each; the parts sum to `total` exactly."""
    spare = total - SHORTEST_SCENE_SECONDS * len(weights)
    ends = [round(spare * sum(weights[: n + 1]) / sum(weights)) for n in range(len(weights))]
    return tuple(SHORTEST_SCENE_SECONDS + end - start for start, end in zip([0, *ends], ends, strict=False))
