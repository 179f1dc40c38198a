"""The rules that a story must satisfy for its request; those of all stories are in `shared.contracts.story_rules`."""

import math
import re
from collections.abc import Sequence

from shared.contracts.events import StoryRequested
from shared.contracts.story import CameraAngle, VideoStory
from shared.contracts.story_rules import SceneSeconds, faults_of
from shared.messaging.errors import StepFailed

HALVES = 2
"""Rebalanced durations are multiples of half a second, so their sums are exact."""

ANGLE_NAMES: dict[str, CameraAngle] = {
    "close up": "close-up", "closeup": "close-up", "point of view": "pov", "first person": "pov",
    "top down": "overhead", "bird": "overhead", "aerial": "overhead", "establishing": "wide",
    "long shot": "wide", "full shot": "wide", "wide": "wide", "medium": "medium", "overhead": "overhead", "pov": "pov",
}  # fmt: skip
"""Names of the angles in the text of people and models."""

OPENING = re.compile(
    r"\b(?:start|begin|open|first|mulai|dimulai|awali|diawali|buka|dibuka|pertama)\w*\W+(?:\w+\W+){0,5}?"
    r"(close[ -]?up|point of view|pov|overhead|top[ -]down|bird.?s[ -]eye|(?:aerial|wide|medium) (?:shot|view))",
    re.IGNORECASE,
)
"""Phrases with which a prompt requests another first angle."""


class StoryboardInvalid(StepFailed):
    """The storyboard violates the rules listed in `faults`."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("storyboard", "; ".join(faults))
        self.faults = tuple(faults)


def check_duration(request: StoryRequested, seconds: SceneSeconds) -> None:
    """Raise `StoryboardInvalid` if no storyboard can have the requested duration."""
    low, high = halves(seconds)
    if not low * request.scene_count <= request.duration * HALVES <= high * request.scene_count:
        span = f"{seconds.shortest:g} to {seconds.longest:g} s"
        raise StoryboardInvalid([f"{request.scene_count} scenes of {span} each cannot last {request.duration} s"])


def check(story: VideoStory, request: StoryRequested, seconds: SceneSeconds) -> None:
    """Raise `StoryboardInvalid` unless the story matches the request and can be filmed."""
    if faults := _faults(story, request, seconds):
        raise StoryboardInvalid(faults)


def opening(request: StoryRequested) -> CameraAngle | None:
    """Return the angle that the prompt requests first; None if it requests none."""
    if found := OPENING.search(request.prompt):
        return angle_named(found.group(1))
    return "wide" if request.scene_count > 1 else None


def angle_named(text: str) -> CameraAngle | None:
    """Return the angle that this text names; None if it names none."""
    words = " ".join(re.findall(r"[^\W_]+", text.lower()))
    return next((angle for name, angle in ANGLE_NAMES.items() if name in words), None)


def _faults(story: VideoStory, request: StoryRequested, seconds: SceneSeconds) -> list[str]:
    faults = []
    if len(story.scenes) != request.scene_count:
        faults.append(f"{len(story.scenes)} scenes instead of {request.scene_count}")
    if story.total_duration != request.duration:
        faults.append(f"the story lasts {story.total_duration:g} s instead of {request.duration} s")
    return faults + [fault.text for fault in faults_of(story, seconds, opening(request))]


def halves(seconds: SceneSeconds) -> tuple[int, int]:
    """Return the shortest and the longest scene in half seconds."""
    return math.ceil(seconds.shortest * HALVES), math.floor(seconds.longest * HALVES)
