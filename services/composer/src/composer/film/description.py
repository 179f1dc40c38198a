"""What the container of a film says about it: title, tool, and a chapter for each scene. Rules without I/O."""

from collections.abc import Sequence

from composer.film.join import Chapter, Description
from shared.contracts.events import StoryboardCreated
from shared.contracts.timeline import Slot

TOOL = "Multishot"


def description(storyboard: StoryboardCreated, slots: Sequence[Slot]) -> Description:
    """Return the description of a film; players list its chapters. It has no text of a prompt: films are passed on."""
    chapters = [Chapter(f"Scene {slot.scene.scene_number}", slot.start, slot.start + slot.frames) for slot in slots]
    return Description({"title": storyboard.title, "encoding_tool": TOOL}, chapters)
