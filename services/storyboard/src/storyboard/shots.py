"""The prompts for video providers: the picture of a scene and the common style. scene-render adds camera and looks."""

from shared.contracts.story import CastMember, ShotScene, Storyboard
from storyboard.draft import StyleBible
from storyboard.text import cut_units, units

LONGEST_SHOT_PROMPT = 890
"""In UTF-16 code units, with the looks: the lowest limit of a model is 1000, and scene-render adds camera and sound."""

LONGEST_STYLE = 280
LONGEST_STYLE_WITHOUT_CAST = 560
"""Older storyboards describe their characters in the style."""
LONGEST_TRAIT = 60
LONGEST_LOOKS = 270
"""The looks of all in one picture."""
SHORTEST_SHOT = 60
LONGEST_TAG = 30
"""Of what scene-render says about a member whom a reference picture shows."""


def style_text(style: StyleBible) -> tuple[str, bool]:
    """Return the style bible as text for a prompt, and whether it was shortened."""
    whole = _written(style, LONGEST_STYLE)
    if units(whole) <= LONGEST_STYLE:
        return whole, False
    # Cut each trait: cutting the whole text would lose the last ones.
    return _written(style, LONGEST_TRAIT), True


def _written(style: StyleBible, longest: int) -> str:
    traits = {"Place": style.place, "Light": style.light, "Palette": style.palette, "Lens": style.lens}
    return " ".join(f"{name}: {cut_units(text, longest).rstrip('.')}." for name, text in traits.items() if text)


def fitted(story: Storyboard) -> tuple[Storyboard, list[str]]:
    """Return a storyboard whose prompts, with the looks, fit every model; and messages about what was shortened."""
    style = cut_units(story.style, LONGEST_STYLE if story.cast else LONGEST_STYLE_WITHOUT_CAST)
    cast = tuple(_with_fitting_look(member, story) for member in story.cast)
    fitting = story.model_copy(update={"style": style, "cast": cast})
    scenes = tuple(
        scene.model_copy(update={"shot": cut_units(scene.shot, _room(fitting, scene))}) for scene in story.scenes
    )
    notes = ["the style was shortened"] if style != story.style else []
    looks = zip(story.cast, cast, strict=True)
    notes += [f"the look of {member.name} was shortened" for member, after in looks if member != after]
    shots = zip(story.scenes, scenes, strict=True)
    notes += [f"scene {scene.scene_number}: its shot prompt was shortened" for scene, after in shots if scene != after]
    return fitting.model_copy(update={"scenes": scenes}), notes


def shot_prompts(story: Storyboard) -> tuple[str, ...]:
    """Return the prompt of each scene."""
    return tuple(
        f"{cut_units(scene.shot or scene.action, _room(story, scene))} {story.style}".strip() for scene in story.scenes
    )


def _with_fitting_look(member: CastMember, story: Storyboard) -> CastMember:
    """Return a member whose look leaves room for those of all others in each of its scenes."""
    most = max((len(scene.cast) for scene in story.scenes if member.name in scene.cast), default=1)
    return member.model_copy(update={"look": cut_units(member.look, LONGEST_LOOKS // most)})


def _room(story: Storyboard, scene: ShotScene) -> int:
    """Return how long the shot of a scene can be."""
    shown = [member for member in story.cast if member.name in scene.cast]
    looks = sum(units(member.name) + max(units(member.look), LONGEST_TAG) + len(": . ") for member in shown)
    return max(LONGEST_SHOT_PROMPT - units(story.style) - looks - 1, SHORTEST_SHOT)
