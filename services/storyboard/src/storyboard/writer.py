"""The interface of all writers of storyboards, and the common form of their results."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel

from shared.contracts.events import StoryRequested, VideoRequested
from shared.contracts.story import Storyboard, VideoStory
from storyboard.shots import shot_prompts
from storyboard.text import cut


@dataclass(frozen=True)
class Written:
    """A storyboard, and in `repairs` the changes that made it valid, as readable sentences."""

    story: Storyboard
    repairs: tuple[str, ...] = ()

    @property
    def story_script(self) -> str:
        """Return the story as a readable script."""
        return story_script(self.story)

    @property
    def shot_prompts(self) -> tuple[str, ...]:
        """Return the prompt for the video provider of each scene."""
        return shot_prompts(self.story)


class Writer(Protocol):
    """Writes stories."""

    async def write(self, request: StoryRequested) -> Written:
        """Write the storyboard of a request, with the requested number of scenes and duration.

        Raises:
            StepFailed: no storyboard can be written for this request.
        """
        ...


def storyboard_of(story: VideoStory, shots: Sequence[str] = (), style: str = "") -> Storyboard:
    """Return a story as a storyboard with its shots, if there are any, and their common style."""
    pictures = shots or [""] * len(story.scenes)
    scenes = [{**scene.model_dump(), "shot": shot} for scene, shot in zip(story.scenes, pictures, strict=True)]
    return Storyboard.model_validate({**story.model_dump(), "scenes": scenes, "style": style})


def story_script(story: VideoStory) -> str:
    """Return the story as a readable script."""
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
    """Return a hash that identifies the content of a request.

    It is the same in all versions: fields that older versions do not have count only where they are set.
    """
    text = json.dumps(request.model_dump(mode="json", exclude=_unset_later_fields(request)), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _unset_later_fields(request: StoryRequested) -> dict[str, Any]:
    """Return those of the later fields that have their defaults, in the form of pydantic's `exclude`."""
    if not isinstance(request, VideoRequested):
        return {}
    unset = _unset(request, "quality", "references", "clip_sound")
    if request.storyboard is not None:
        scenes = enumerate(request.storyboard.scenes)
        in_scenes = {n: _unset(scene, "cast", "key_moment", "image", "clip") for n, scene in scenes}
        unset["storyboard"] = {**_unset(request.storyboard, "cast"), "scenes": in_scenes}
    return unset


def _unset(value: BaseModel, *names: str) -> dict[str, Any]:
    fields = type(value).model_fields
    return {name: True for name in names if getattr(value, name) == fields[name].default}
