"""The colours of a film: by niche, varied for each video, later in the day with each scene."""

import colorsys
import hashlib
import random
from dataclasses import dataclass
from typing import Literal

from shared.contracts.niches import niche_key

Colour = tuple[int, int, int]
Place = Literal["landscape", "city", "room"]
Cut = Literal["short", "bob", "long"]


@dataclass(frozen=True)
class Palette:
    """The colours of a scene."""

    place: Place
    sky: tuple[Colour, Colour]
    """Top and horizon."""
    far: Colour
    near: Colour
    light: Colour
    outfit: Colour
    skin: Colour
    hair: Colour
    accent: Colour
    cut: Cut
    """How the hair is cut."""
    hour: float
    """The time of day in the film, from 0 to 1."""


def _rgb(code: str) -> Colour:
    return int(code[0:2], 16), int(code[2:4], 16), int(code[4:6], 16)


NICHES: dict[str, tuple[Place, str, str, str, str, str, str]] = {
    # place, sky top, horizon, far, near, light, outfit
    "travel": ("landscape", "2b4c7e", "f6b58a", "7d8fb3", "22344f", "ffe3b0", "d9643a"),
    "nature": ("landscape", "3f6f73", "e9dfae", "8fae8b", "1f3d33", "fff2c0", "b5532e"),
    "fitness": ("landscape", "1e3a5f", "ff9e6d", "6a7fa0", "1a2740", "ffd9a0", "e8423f"),
    "horror": ("landscape", "0c1016", "3c4a52", "2a343b", "07090c", "b9d0c8", "6d2027"),
    "tech": ("city", "0f1b3d", "4b6cb7", "33477f", "0b1228", "8fe3ff", "2fb5c7"),
    "finance": ("city", "16324f", "e3c79a", "5d7690", "122436", "ffe8b5", "2f6f5e"),
    "fashion": ("city", "5b3a5e", "f4b6c2", "a8799b", "2e1b33", "ffe4ea", "c2185b"),
    "general": ("city", "2c3e63", "f2b880", "7c86a8", "1d2740", "ffe2b8", "c8553d"),
    "food": ("room", "5a2e1c", "e8a86b", "a8663f", "33180d", "ffe0a8", "e4ddcf"),
    "education": ("room", "3a5a6b", "e8dcb8", "7f9aa0", "21363f", "fff4d6", "cf6f3f"),
    "kids": ("room", "4a5fb0", "ffd27f", "8fa6e8", "2d3a78", "fff0b8", "ef5d7a"),
}
SKINS = ("8d5a3c", "a9714b", "c68d63", "6f4630", "dca77f")
HAIRS = ("1b1412", "2d1d14", "40281a", "14161c")
CUTS: tuple[Cut, ...] = ("short", "bob", "long")
DUSK_PER_SCENE = 0.05
WARM: Colour = (236, 132, 92)
"""The colour of the horizon at the end of a film."""


def palette_of(niche: str, seed: str, scene_number: int) -> Palette:
    """Return the palette of a scene. Scenes of one `seed` share their person; the light fades with each scene."""
    key = niche_key(niche)
    chance = random.Random(hashlib.sha256(seed.encode()).digest())  # noqa: S311 - looks, no secret
    known = NICHES.get(key)
    if known is None:
        names = sorted(NICHES)
        known = NICHES[names[hashlib.sha256(key.encode()).digest()[0] % len(names)]]
    place, *codes = known
    hour = (scene_number - 1) / 4
    turn = chance.uniform(-0.03, 0.008)
    fall = 1 - DUSK_PER_SCENE * (scene_number - 1)
    top, horizon, far, near, light, outfit = (_shifted(_rgb(code), turn, fall) for code in codes)
    return Palette(
        place=place,
        sky=(top, mix(horizon, WARM, 0.3 * hour)),
        far=far,
        near=near,
        light=light,
        outfit=_shifted(outfit, chance.uniform(-0.02, 0.04), 1.0),
        skin=_rgb(chance.choice(SKINS)),
        hair=_rgb(chance.choice(HAIRS)),
        accent=mix(light, outfit, 0.35),
        cut=chance.choice(CUTS),
        hour=hour,
    )


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Mix two colours; `share` (0-1) is that of the second one."""
    return tuple(round(a + (b - a) * share) for a, b in zip(first, second, strict=True))  # type: ignore[return-value]


def _shifted(colour: Colour, turn: float, brightness: float) -> Colour:
    hue, lightness, saturation = colorsys.rgb_to_hls(*(channel / 255 for channel in colour))
    red, green, blue = colorsys.hls_to_rgb((hue + turn) % 1, min(1.0, lightness * brightness), saturation)
    return round(red * 255), round(green * 255), round(blue * 255)
