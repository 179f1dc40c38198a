"""What a story must be to answer a request; what every story must be is in `shared.contracts.story_rules`. No I/O."""

import math
import re
from collections.abc import Sequence

from shared.contracts.events import StoryRequested
from shared.contracts.story import CameraAngle, VideoStory
from shared.contracts.story_rules import SceneSeconds, faults_of
from shared.messaging.errors import StepFailed

HALVES = 2
"""Rebalanced durations are whole halves of a second, whose sums are exact."""

ANGLE_NAMES: dict[str, CameraAngle] = {
    "close up": "close-up", "closeup": "close-up", "point of view": "pov", "first person": "pov",
    "top down": "overhead", "bird": "overhead", "aerial": "overhead", "establishing": "wide",
    "long shot": "wide", "full shot": "wide", "wide": "wide", "medium": "medium", "overhead": "overhead", "pov": "pov",
}  # fmt: skip
"""What people and models call the angles."""

OPENING = re.compile(
    r"\b(?:start|begin|open|first|mulai|dimulai|awali|diawali|buka|dibuka|pertama)\w*\W+(?:\w+\W+){0,5}?"
    r"(close[ -]?up|point of view|pov|overhead|top[ -]down|bird.?s[ -]eye|(?:aerial|wide|medium) (?:shot|view))",
    re.IGNORECASE,
)
"""How a prompt asks for another first angle."""


class StoryboardInvalid(StepFailed):
    """The storyboard breaks the rules; `faults` says which."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("storyboard", "; ".join(faults))
        self.faults = tuple(faults)


def check_wish(request: StoryRequested, seconds: SceneSeconds) -> None:
    """Raise `StoryboardInvalid` where no storyboard at all could be as long as asked."""
    low, high = halves(seconds)
    if not low * request.scene_count <= request.duration * HALVES <= high * request.scene_count:
        span = f"{seconds.shortest:g} to {seconds.longest:g} s"
        raise StoryboardInvalid([f"{request.duration} s cannot be made of {request.scene_count} scenes of {span} each"])


def check(story: VideoStory, request: StoryRequested, seconds: SceneSeconds) -> None:
    """Raise `StoryboardInvalid` unless the story is what was asked for, and can be filmed."""
    if faults := _faults(story, request, seconds):
        raise StoryboardInvalid(faults)


def opening(request: StoryRequested) -> CameraAngle | None:
    """The angle that must come first; None where any may."""
    if found := OPENING.search(request.prompt):
        return angle_named(found.group(1))
    return "wide" if request.scene_count > 1 else None


def angle_named(text: str) -> CameraAngle | None:
    """The angle that these words mean; None where they mean none."""
    words = " ".join(re.findall(r"[^\W_]+", text.lower()))
    return next((angle for name, angle in ANGLE_NAMES.items() if name in words), None)


def _faults(story: VideoStory, request: StoryRequested, seconds: SceneSeconds) -> list[str]:
    faults = []
    if len(story.scenes) != request.scene_count:
        faults.append(f"{len(story.scenes)} scenes where {request.scene_count} were asked for")
    if story.total_duration != request.duration:
        faults.append(f"the story lasts {story.total_duration:g} s where {request.duration} s were asked for")
    return faults + [fault.text for fault in faults_of(story, seconds, opening(request))]


def halves(seconds: SceneSeconds) -> tuple[int, int]:
    """The shortest and the longest scene in half seconds."""
    return math.ceil(seconds.shortest * HALVES), math.floor(seconds.longest * HALVES)
