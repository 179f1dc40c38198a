"""Who turns a request into a story. A writer without a key is `TemplateWriter`; a language model is another."""

from dataclasses import dataclass
from typing import Protocol

from shared.contracts.events import VideoRequested
from shared.contracts.story import VideoStory

from storyboard.language import Language


@dataclass(frozen=True)
class Storyboard:
    """A story, its script for people, and for each scene what a video provider is asked for."""

    story: VideoStory
    story_script: str
    language: Language
    shot_prompts: tuple[str, ...]


class Writer(Protocol):
    """Writes a story that passes `scenes.require_sound` for its request."""

    async def write(self, request: VideoRequested) -> Storyboard:
        """Write the storyboard of a request, once."""
        ...
