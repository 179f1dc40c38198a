"""Who writes the story: whatever keeps this promise may take the seat."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.contracts.events import StoryRequested
from shared.contracts.story import Storyboard, VideoStory
from storyboard.shots import shot_prompts
from storyboard.text import cut


@dataclass(frozen=True)
class Written:
    """A storyboard, and in `repairs` what had to be changed in what was written, in sentences for people."""

    story: Storyboard
    repairs: tuple[str, ...] = ()

    @property
    def story_script(self) -> str:
        """The story as a script to read."""
        return story_script(self.story)

    @property
    def shot_prompts(self) -> tuple[str, ...]:
        """For each scene what to ask a video provider for."""
        return shot_prompts(self.story)


class Writer(Protocol):
    """Writes stories."""

    async def write(self, request: StoryRequested) -> Written:
        """The storyboard of a request: as many scenes as asked, as long as asked.

        Raises:
            StepFailed: there is none to be had for this request.
        """
        ...


def storyboard_of(story: VideoStory, shots: Sequence[str] = (), style: str = "") -> Storyboard:
    """A story together with its shots, of which there may be none, and the style they share."""
    pictures = shots or [""] * len(story.scenes)
    scenes = [{**scene.model_dump(), "shot": shot} for scene, shot in zip(story.scenes, pictures, strict=True)]
    return Storyboard.model_validate({**story.model_dump(), "scenes": scenes, "style": style})


def story_script(story: VideoStory) -> str:
    """The story as a script to read."""
    lines = [story.title, ""]
    if story.overall_prompt.rstrip(".") != story.title:
        lines += [cut(story.overall_prompt, 300), ""]
    for scene in story.scenes:
        lines += [f"{scene.scene_number}. {scene.camera_angle.upper()}, {scene.duration:g} s", scene.description]
        if scene.action != scene.description:
            lines.append(scene.action)
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def fingerprint(request: StoryRequested) -> str:
    """What tells one request from another, also of the same video."""
    text = json.dumps(request.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
