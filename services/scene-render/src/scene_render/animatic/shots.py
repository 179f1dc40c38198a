"""Stages each camera angle: layers from far to near, and a camera move."""

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from scene_render.animatic import body, head, overhead_background, pov_walk, side_background
from scene_render.animatic.camera_motion import Move
from scene_render.animatic.canvas import Canvas, Point
from scene_render.animatic.palette import Palette
from scene_render.providers.animatic_order import AnimaticOrder
from shared.contracts.media import FRAME_RATE
from shared.contracts.story import CameraAngle

Framing = tuple[Point, float]
ROOM = 1.16
"""Sliding layers are this much larger than the frame, so that no edge shows."""

GLIDE_PHASES = 6
GLIDE_PIXELS = 2
"""Slow layers move by parts of a pixel, against visible steps; chroma is exact to two pixels."""
LONG_SECONDS = 20
"""In longer clips slow layers move at a third of the speed, because their margin is limited."""

BREATH_PHASES = 14
BREATH_RATE = 8
"""Pictures of one breath, and pictures per second."""
BREATH_RISE = 0.007
BREATH_LEAN = 0.006
"""How much a body grows and leans when it breathes in, as shares of its height."""

BLINK_RATE = 12
BLINK_EVERY = 38
BLINK_LASTS = 2
"""Pictures per second, pictures between two blinks, and pictures with closed eyes."""


@dataclass(frozen=True)
class Layer:
    """A loop of pictures at `rate` per second, and its movement.

    `slide`: the way over the whole clip, and `sway`: the swing within `period` seconds, as shares of the frame's width
    and height. Pictures of the frame's size do not move. `glide`: the pixels that the layer moves with each loop.
    """

    pictures: Sequence[Image.Image]
    rate: int = FRAME_RATE
    slide: tuple[float, float] = (0.0, 0.0)
    sway: tuple[float, float] = (0.0, 0.0)
    period: float = 4.0
    glide: int = 0


@dataclass(frozen=True)
class Shot:
    """The layers of a scene, farthest first, and the camera move; None: the layers move by themselves."""

    layers: Sequence[Layer]
    move: Move | None


def shown(picture: Path, size: tuple[int, int]) -> Shot:
    """Return a picture as a shot: cropped to the frame, with a slow push-in."""
    with Image.open(picture, formats=("JPEG", "PNG")) as opened:
        whole = ImageOps.fit(opened.convert("RGB"), size)
    return Shot([Layer([whole], rate=1)], Move(zoom=(1.0, 1.12)))


class Stage:
    """What all layers of a scene share: size, palette and random seed."""

    def __init__(self, order: AnimaticOrder, size: tuple[int, int], palette: Palette) -> None:
        self.size = size
        self.palette = palette
        self.seed = order.seed
        self.seconds = order.clip_frames / FRAME_RATE
        self.number = order.scene.scene_number
        self.side = 1 if order.scene.scene_number % 2 else -1
        """The direction of the camera, which alternates from scene to scene."""

    def chance(self, name: str) -> random.Random:
        """Return a random generator that is the same for one thing in all scenes of a film."""
        return random.Random(hashlib.sha256(f"{self.seed} {name}".encode()).digest())  # noqa: S311 - looks

    def sheet(self, scale: float = 1.0) -> Canvas:
        """Return an empty canvas, larger than the frame by `scale`."""
        width, height = self.size
        return Canvas(round(width * scale / 2) * 2, round(height * scale / 2) * 2)

    @property
    def upright(self) -> bool:
        """Whether the frame is portrait."""
        return self.size[1] > self.size[0]

    def framed(self, *, wide: Framing, square: Framing, upright: Framing) -> Framing:
        """Return position and size of a person for the aspect ratio of the frame."""
        if self.upright:
            return upright
        return wide if self.size[0] > self.size[1] else square


def staged(order: AnimaticOrder, size: tuple[int, int], palette: Palette) -> Shot:
    """Return the layers and the camera move of a scene."""
    stage = Stage(order, size, palette)
    shot = ANGLES[order.scene.camera_angle](stage)
    return Shot([*shot.layers, _dust(stage)], shot.move)


def _wide(stage: Stage) -> Shot:
    """A small person far away; the camera drifts sideways, and near layers move faster."""
    sky, side = stage.sheet(ROOM), stage.side
    side_background.backdrop(sky, stage.palette, stage.chance("light"))
    side_background.ridge(sky, stage.palette, 0.0, stage.chance("far"))
    indoors = stage.palette.place == "room"
    layers = [Layer([sky.sheet]) if indoors else _gliding(stage, sky.sheet, rate=12)]
    if not indoors:
        cloud = stage.sheet(ROOM)
        side_background.clouds(cloud, stage.palette, stage.chance("clouds"))
        layers.append(Layer([cloud.sheet], slide=(0.05, 0)))
    middle = stage.sheet(ROOM)
    side_background.ridge(middle, stage.palette, 0.42, stage.chance("middle"))
    foot = (0.38, 0.76 if indoors else 0.73)
    tall = 0.021 if indoors else 0.0125
    ground = stage.sheet()
    if not indoors:
        side_background.ridge(middle, stage.palette, 0.7, stage.chance("near"))
    side_background.ground(ground, stage.palette, foot, stage.chance("ground"))
    body.long_shadow(ground, foot, tall)
    body.standing(ground, stage.palette, foot, tall)
    near = stage.sheet(ROOM * 1.08)
    side_background.foreground(near, stage.palette, stage.chance("leaves"))
    layers += [
        Layer([middle.sheet]) if indoors else _gliding(stage, middle.sheet, rate=6),
        Layer([ground.sheet]),
        Layer([near.sheet], slide=(-side * 0.15, 0), sway=(0.003, 0.004), period=5.0),
    ]
    return Shot(layers, Move(zoom=(1.09, 1.13), across=(-side * 0.035, side * 0.035), down=(0.01, -0.01)))


def _behind(stage: Stage, blur: float) -> Canvas:
    """The place behind a person, out of focus."""
    sheet = stage.sheet(ROOM)
    side_background.backdrop(sheet, stage.palette, stage.chance("light"))
    for depth, name in ((0.1, "far"), (0.45, "middle")):
        side_background.ridge(sheet, stage.palette, depth, stage.chance(name))
    sheet.blurred(blur)
    sheet.grained(stage.chance("grain"))
    return sheet


def _medium(stage: Stage) -> Shot:
    """From the waist up; the camera slowly moves closer."""
    person, near = stage.sheet(), stage.sheet(ROOM * 1.08)
    centre, size = stage.framed(wide=((0.42, 0.27), 0.105), square=((0.55, 0.32), 0.09), upright=((0.48, 0.33), 0.125))
    body.waist_up(person, stage.palette, centre, size)
    side_background.foreground(near, stage.palette, stage.chance("leaves"))
    near.blurred(0.012)
    layers = [
        Layer([_behind(stage, 0.009).sheet], slide=(stage.side * 0.03, 0)),
        Layer(_breathing(person.sheet), rate=BREATH_RATE),
        Layer([near.sheet], slide=(-stage.side * 0.07, 0), sway=(0.003, 0.003), period=5.0),
    ]
    return Shot(layers, Move(zoom=(1.04, 1.13), across=(0.0, -0.02), down=(0.0, -0.015)))


def _close_up(stage: Stage) -> Shot:
    """A face that fills the frame, in front of blurred lights."""
    behind, lights, person = _behind(stage, 0.04), stage.sheet(ROOM), stage.sheet()
    chance = stage.chance("lights")
    for _ in range(18):
        spot, size = (chance.random(), chance.uniform(0.05, 0.75)), chance.uniform(0.025, 0.075)
        lights.oval(spot, (size, size), stage.palette.light, chance.uniform(0.06, 0.2), blur=0.003)
        lights.oval(spot, (size * 0.9, size * 0.9), stage.palette.light, 0.05, blur=0.003)
    centre, size = stage.framed(wide=((0.55, 0.43), 0.31), square=((0.53, 0.45), 0.27), upright=((0.5, 0.42), 0.34))
    body.face(person, stage.palette, centre, size)
    closed = stage.sheet()
    head.lids(closed, body.Body(closed, centre, size), stage.palette)
    closed.lit(stage.palette.light, body.SHADE, size * 0.1, strength=0.1)
    open_eyes = Image.new("RGBA", stage.size)
    blink = [open_eyes] * (BLINK_EVERY - BLINK_LASTS) + [closed.sheet] * BLINK_LASTS
    layers = [
        Layer([behind.sheet], slide=(0.02 * stage.side, 0.0)),
        Layer([lights.sheet], slide=(0.05 * stage.side, 0.01), sway=(0.004, 0.006), period=6.0),
        Layer([person.sheet]),
        Layer(blink, rate=BLINK_RATE),
    ]
    return Shot(layers, Move(zoom=(1.03, 1.13), across=(0.0, 0.02), roll=(0.0, 0.5 * stage.side)))


def _overhead(stage: Stage) -> Shot:
    """From straight above; the camera turns and descends."""
    ground, high, shadow = stage.sheet(), stage.sheet(ROOM), stage.sheet(ROOM)
    overhead_background.floor_plan(ground, stage.palette, stage.chance("plan"))
    body.from_above(ground, stage.palette, (0.47, 0.48), 0.075)
    overhead_background.crowns(high, stage.palette, stage.chance("crowns"))
    for x, y in ((0.15, 0.2), (0.8, 0.75), (0.95, 0.1)):
        shadow.oval((x, y), (0.26, 0.18), body.SHADE, 0.28, blur=0.08)
    layers = [
        Layer([ground.sheet]),
        Layer([shadow.sheet], slide=(0.12, 0.05)),
        Layer([high.sheet], slide=(-stage.side * 0.05, 0.03)),
    ]
    turn = stage.side * (1.6 if stage.upright else 2.6)
    return Shot(layers, Move(zoom=(1.12, 1.26), roll=(-turn, turn)))


def _pov(stage: Stage) -> Shot:
    """Through the viewer's eyes: the path approaches, the hands swing."""
    way = list(pov_walk.step(stage.size, stage.palette, stage.chance("way"), FRAME_RATE))
    hands = stage.sheet(ROOM)
    body.own_hands(hands, stage.palette)
    layers = [Layer(way), Layer([hands.sheet], sway=(0.012, 0.014), period=2.0)]
    return Shot(layers, move=None)


ANGLES: dict[CameraAngle, Callable[[Stage], Shot]] = {
    "wide": _wide,
    "medium": _medium,
    "close-up": _close_up,
    "overhead": _overhead,
    "pov": _pov,
}


def _gliding(stage: Stage, sheet: Image.Image, rate: int) -> Layer:
    """Return a layer that moves slowly with the camera, `rate` thirds of a pixel per second."""
    step = stage.side * GLIDE_PIXELS / GLIDE_PHASES
    clear = sheet.convert("RGBa")
    pictures = []
    for phase in range(GLIDE_PHASES):
        # Shifted by half a step: an unshifted picture would look sharper than the others.
        change = (1, 0, -step * (phase + 0.5), 0, 1, 0)
        moved = clear.transform(sheet.size, Image.Transform.AFFINE, change, Image.Resampling.BICUBIC)
        pictures.append(moved.convert("RGBA"))
    slower = 3 if stage.seconds > LONG_SECONDS else 1
    return Layer(pictures, rate=rate // slower, glide=stage.side * GLIDE_PIXELS)


def _breathing(figure: Image.Image) -> list[Image.Image]:
    """Return the phases of one breath: the figure grows a little, and leans to one side and back."""
    left, top, right, bottom = figure.getbbox() or (0, 0, *figure.size)
    top = max(0, top - round((bottom - top) * BREATH_RISE) - 2)
    cut = figure.crop((left, top, right, bottom)).convert("RGBa")
    half = []
    for phase in range(BREATH_PHASES // 2 + 1):
        share = phase / (BREATH_PHASES // 2)
        # Eased, to hide the turning points.
        share = share * share * (3 - 2 * share)
        grow, lean = 1 / (1 + BREATH_RISE * share), BREATH_LEAN * (share - 0.5)
        change = (1, lean, -lean * cut.height, 0, grow, cut.height * (1 - grow))
        moved = cut.transform(cut.size, Image.Transform.AFFINE, change, Image.Resampling.BILINEAR)
        sheet = Image.new("RGBA", figure.size)
        sheet.paste(moved.convert("RGBA"), (left, top))
        half.append(sheet)
    return [*half, *half[-2:0:-1]]


def _dust(stage: Stage) -> Layer:
    """Return motes of dust in front of everything."""
    sheet = stage.sheet(ROOM)
    chance = stage.chance(f"dust {stage.number}")
    for opacity, count, size in ((0.3, 30, 0.0026), (0.16, 10, 0.006), (0.08, 5, 0.016)):
        spots = [((chance.random(), chance.random()), size * chance.uniform(0.6, 1.3)) for _ in range(count)]
        sheet.ovals(spots, stage.palette.light, opacity)
    return Layer([sheet.sheet], slide=(0.05, -0.08), sway=(0.01, 0.0), period=5.0)
