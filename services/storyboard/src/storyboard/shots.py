"""What a video provider is asked for: the picture, and the look that all scenes share. Who renders adds the camera."""

from collections.abc import Sequence

from shared.contracts.story import Storyboard
from storyboard.draft import StyleBible
from storyboard.text import cut_units, units

LONGEST_SHOT_PROMPT = 900
"""In UTF-16 code units: the least that a provider takes is 1000, and who renders puts the camera before it."""

LONGEST_BIBLE = 560
LONGEST_LOOK = 90
LONGEST_TRAIT = 50
MOST_CHARACTERS = 3


def bible_text(style: StyleBible) -> tuple[str, bool]:
    """The style bible as part of a prompt, and whether something had to be left out."""
    whole = _written(style, len(style.characters), LONGEST_BIBLE, LONGEST_BIBLE)
    if units(whole) <= LONGEST_BIBLE:
        return whole, False
    # Each trait is cut by itself: a bible that ends early would lose its last ones in every scene.
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
    """Shots that leave room for the style, and which had to be shortened for it."""
    fitting = tuple(cut_units(shot, _room(style)) for shot in shots)
    pairs = enumerate(zip(shots, fitting, strict=True), 1)
    return fitting, [f"scene {n}: its shot prompt was shortened" for n, (before, after) in pairs if before != after]


def shot_prompts(story: Storyboard) -> tuple[str, ...]:
    """What to ask for each scene."""
    return tuple(
        f"{cut_units(scene.shot or scene.action, _room(story.style))} {story.style}".strip() for scene in story.scenes
    )


def _room(style: str) -> int:
    return LONGEST_SHOT_PROMPT - units(style) - 1
