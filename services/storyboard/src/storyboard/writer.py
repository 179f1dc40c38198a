"""Who writes the story: whatever keeps this promise may take the seat."""

from dataclasses import dataclass
from typing import Protocol

from shared.contracts.events import VideoRequested
from shared.contracts.story import VideoStory


@dataclass(frozen=True)
class Storyboard:
    """A story, its script to read, and for each scene what to ask a video provider for."""

    story: VideoStory
    story_script: str
    shot_prompts: tuple[str, ...]


class Writer(Protocol):
    """Writes stories."""

    async def write(self, request: VideoRequested) -> Storyboard:
        """The storyboard of a request: as many scenes as asked, as long as asked.

        Raises:
            StepFailed: there is none to be had for this request.
        """
        ...
