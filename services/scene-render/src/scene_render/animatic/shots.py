"""How each camera angle is staged: layers from far to near, and how the camera moves past them."""

import hashlib
import random
from dataclasses import dataclass

from PIL import Image

from scene_render.animatic import figures, places
from scene_render.animatic.canvas import Canvas
from scene_render.animatic.palette import Palette
from scene_render.animatic_order import AnimaticOrder

OVERSAMPLE = 1.5
"""Layers that the camera closes in on are painted so much larger, or they would jump from pixel to pixel."""

ROOM = 1.16
"""Layers that slide by are so much wider and higher than the frame: no edge ever shows."""


@dataclass(frozen=True)
class Layer:
    """A painted sheet and its movement over the whole clip.

    `zoom` from and to, 1 being the whole sheet; a layer that zooms does not slide. `slide` in shares of the frame's
    width and height; `sway` is how far it swings, as a share of the shorter side, over `period` seconds.
    """

    sheet: Image.Image
    zoom: tuple[float, float] | None = None
    slide: tuple[float, float] = (0.0, 0.0)
    sway: tuple[float, float] = (0.0, 0.0)
    period: float = 4.0


class Stage:
    """The sheets of one scene: everything painted on them comes from its palette and its chance."""

    def __init__(self, order: AnimaticOrder, size: tuple[int, int], palette: Palette) -> None:
        self.size = size
        self.palette = palette
        # The place is the same in every scene of a film; what differs is where the camera stands.
        self.place_seed = order.seed
        self.number = order.scene.scene_number

    def chance(self, name: str) -> random.Random:
        """Chance that is the same for one thing in every scene of a film."""
        return random.Random(hashlib.sha256(f"{self.place_seed} {name}".encode()).digest())  # noqa: S311 - looks

    def sheet(self, scale: float) -> Canvas:
        """An empty sheet, so much larger than the frame."""
        width, height = self.size
        return Canvas(round(width * scale), round(height * scale))


def staged(order: AnimaticOrder, size: tuple[int, int], palette: Palette) -> list[Layer]:
    """The layers of a scene, the farthest first."""
    stage = Stage(order, size, palette)
    match order.scene.camera_angle:
        case "wide":
            layers = _wide(stage)
        case "medium":
            layers = _medium(stage)
        case "close-up":
            layers = _close_up(stage)
        case "overhead":
            layers = _overhead(stage)
        case "pov":
            layers = _pov(stage)
    return [*layers, _dust(stage)]


def _wide(stage: Stage) -> list[Layer]:
    """Far away: a small figure in a deep place that slides by, the near faster than the far."""
    sky = stage.sheet(ROOM)
    places.backdrop(sky, stage.palette, stage.chance("light"))
    places.ridge(sky, stage.palette, 0.0, stage.chance("far"))
    middle = stage.sheet(ROOM)
    places.ridge(middle, stage.palette, 0.4, stage.chance("middle"))
    near = stage.sheet(ROOM)
    places.ridge(near, stage.palette, 0.8, stage.chance("near"))
    figures.standing(near, stage.palette, (0.4, 0.8), 0.017)
    return [
        Layer(sky.sheet, slide=(-0.03, 0)),
        Layer(middle.sheet, slide=(-0.07, 0)),
        Layer(near.sheet, slide=(-0.13, 0)),
    ]


def _behind(stage: Stage, scale: float, blur: float) -> Canvas:
    """The place as it lies behind a person, out of focus."""
    sheet = stage.sheet(scale)
    places.backdrop(sheet, stage.palette, stage.chance("light"))
    for depth, name in ((0.15, "far"), (0.5, "middle")):
        places.ridge(sheet, stage.palette, depth, stage.chance(name))
    sheet.blurred(blur)
    return sheet


def _medium(stage: Stage) -> list[Layer]:
    """From the waist up: the camera comes slowly closer."""
    person = stage.sheet(OVERSAMPLE)
    figures.waist_up(person, stage.palette, (0.44, 0.33), 0.085)
    return [
        Layer(_behind(stage, OVERSAMPLE, 0.006).sheet, zoom=(1.02, 1.07)),
        Layer(person.sheet, zoom=(1.0, 1.1)),
    ]


def _close_up(stage: Stage) -> list[Layer]:
    """The face fills the frame; behind it nothing but lights."""
    behind = _behind(stage, ROOM, 0.035)
    chance = stage.chance("lights")
    for _ in range(16):
        spot, size = (chance.random(), chance.uniform(0.05, 0.7)), chance.uniform(0.02, 0.06)
        behind.oval(spot, (size, size), stage.palette.light, chance.uniform(0.08, 0.25), blur=0.004)
    person = stage.sheet(OVERSAMPLE)
    figures.face(person, stage.palette, (0.54, 0.43), 0.26)
    return [
        Layer(behind.sheet, slide=(0.03, 0.0)),
        Layer(person.sheet, zoom=(1.0, 1.07)),
    ]


def _overhead(stage: Stage) -> list[Layer]:
    """From straight above: the camera sinks, shadows of clouds pass."""
    ground = stage.sheet(OVERSAMPLE)
    places.ground_from_above(ground, stage.palette, stage.chance("ground"))
    figures.from_above(ground, stage.palette, (0.47, 0.5), 0.055)
    shadow = stage.sheet(ROOM)
    for x, y in ((0.15, 0.2), (0.8, 0.75), (0.95, 0.1)):
        shadow.oval((x, y), (0.22, 0.16), (8, 10, 20), 0.3, blur=0.06)
    return [
        Layer(ground.sheet, zoom=(1.0, 1.14)),
        Layer(shadow.sheet, slide=(0.12, 0.05)),
    ]


def _pov(stage: Stage) -> list[Layer]:
    """Through our own eyes: the way comes towards us, our hands swing."""
    way = stage.sheet(OVERSAMPLE)
    places.way_ahead(way, stage.palette, stage.chance("way"))
    hands = stage.sheet(ROOM)
    figures.own_hands(hands, stage.palette)
    return [
        Layer(way.sheet, zoom=(1.02, 1.32)),
        Layer(hands.sheet, sway=(0.012, 0.016), period=1.4),
    ]


def _dust(stage: Stage) -> Layer:
    """Motes in the light, in front of everything."""
    sheet = stage.sheet(ROOM)
    chance = stage.chance(f"dust {stage.number}")
    for opacity, count, size in ((0.35, 34, 0.0028), (0.22, 12, 0.006), (0.12, 5, 0.014)):
        spots = [((chance.random(), chance.random()), size * chance.uniform(0.6, 1.3)) for _ in range(count)]
        sheet.ovals(spots, stage.palette.light, opacity)
    return Layer(sheet.sheet, slide=(0.05, -0.08), sway=(0.01, 0.0), period=5.0)
