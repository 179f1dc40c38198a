"""The prompts for video providers: the picture of a scene and the common style. scene-render adds the camera."""

from collections.abc import Sequence

from shared.contracts.story import Storyboard
from storyboard.draft import StyleBible
from storyboard.text import cut_units, units

LONGEST_SHOT_PROMPT = 900
"""In UTF-16 code units: the lowest limit of a provider is 1000, and scene-render puts the camera in front."""

LONGEST_BIBLE = 560
LONGEST_LOOK = 90
LONGEST_TRAIT = 50
MOST_CHARACTERS = 3


def bible_text(style: StyleBible) -> tuple[str, bool]:
    """Return the style bible as text for a prompt, and whether it was shortened."""
    whole = _written(style, len(style.characters), LONGEST_BIBLE, LONGEST_BIBLE)
    if units(whole) <= LONGEST_BIBLE:
        return whole, False
    # Cut each trait: cutting the whole text would lose the last ones.
    return cut_units(_written(style, MOST_CHARACTERS, LONGEST_LOOK, LONGEST_TRAIT), LONGEST_BIBLE), True


def _written(style: StyleBible, characters: int, look: int, trait: int) -> str:
    traits = {
        "Characters": "; ".join(
            cut_units(f"{person.name}: {person.look}", look) for person in style.characters[:characters]
        ),
        "Place": cut_units(style.place, trait),
        "Light": cut_units(style.light, trait),
        "Palette": cut_units(style.palette, trait),
        "Lens": cut_units(style.lens, trait),
    }
    return " ".join(f"{name}: {text.rstrip('.')}." for name, text in traits.items() if text)


def cut_shots(shots: Sequence[str], style: str) -> tuple[tuple[str, ...], list[str]]:
    """Return the shots, cut to leave room for the style, and messages about those that were cut."""
    fitting = tuple(cut_units(shot, _room(style)) for shot in shots)
    pairs = enumerate(zip(shots, fitting, strict=True), 1)
    return fitting, [f"scene {n}: its shot prompt was shortened" for n, (before, after) in pairs if before != after]


def shot_prompts(story: Storyboard) -> tuple[str, ...]:
    """Return the prompt of each scene."""
    return tuple(
        f"{cut_units(scene.shot or scene.action, _room(story.style))} {story.style}".strip() for scene in story.scenes
    )


def _room(style: str) -> int:
    return LONGEST_SHOT_PROMPT - units(style) - 1
