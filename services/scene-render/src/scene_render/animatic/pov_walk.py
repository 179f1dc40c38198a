"""Draws the path ahead of the viewer: the pictures of one step, which repeat seamlessly."""

import itertools
import math
import random
from collections.abc import Callable, Iterator

from PIL import Image, ImageDraw

from scene_render.animatic.canvas import SMOOTHING, Canvas, Point
from scene_render.animatic.palette import Colour, Palette, mix

HORIZON = 0.43
EYE = 0.62
"""The height of the eyes above the ground. An object of height 1 at distance 1 is `LENS` of the shorter side."""
LENS = 0.62
FARTHEST = 9
NEAREST = 0.42
BOB = 0.007
"""How far the eyes move up and down with each step, as a share of the frame's height."""
CLOSEST = 0.3
"""The nearest distance that is drawn; nearer points are outside the frame."""
SHADE = (10, 9, 18)
WHITE = (255, 255, 255)


class View:
    """The perspective of the viewer: `x` is right, `y` up from the eyes and `z` the distance, in metres or so."""

    def __init__(self, picture: Image.Image, palette: Palette, horizon: float) -> None:
        self.pen = ImageDraw.Draw(picture)
        self.width, self.horizon = picture.width, horizon
        self.scale = min(picture.size) * LENS
        self.palette = palette

    def at(self, x: float, y: float, z: float) -> Point:
        """Return where a point is seen, in pixels."""
        z = max(z, CLOSEST)
        return self.width / 2 + x * self.scale / z, self.horizon - y * self.scale / z

    def hazy(self, colour: Colour, z: float) -> Colour:
        """Return a colour seen through the haze at distance `z`."""
        return mix(colour, mix(self.palette.sky[1], self.palette.light, 0.35), min(0.9, max(0.0, z - 0.6) / FARTHEST))

    def shape(self, colour: Colour, z: float, *points: tuple[float, float, float]) -> None:
        """Draw a polygon, seen through the haze at `z`."""
        self.pen.polygon([self.at(*point) for point in points], fill=self.hazy(colour, z))

    def disc(self, colour: Colour, place: tuple[float, float, float], radius: float) -> None:
        """Draw a ball."""
        (x, y), r = self.at(*place), radius * self.scale / place[2]
        self.pen.ellipse((x - r, y - r, x + r, y + r), fill=self.hazy(colour, place[2]))


def step(size: tuple[int, int], palette: Palette, chance: random.Random, count: int) -> Iterator[Image.Image]:
    """Yield `count` pictures of walking on by one unit, which form a loop."""
    bob = BOB * size[1]
    tall = size[1] + 2 * bob
    behind = _behind((size[0], round(tall)), palette, chance)
    large = behind.resize((behind.width * SMOOTHING, behind.height * SMOOTHING), Image.Resampling.BILINEAR)
    for moment in range(count):
        rise = round(bob * (1 + math.sin(2 * math.pi * moment / count)) * SMOOTHING)
        picture = large.crop((0, rise, size[0] * SMOOTHING, rise + size[1] * SMOOTHING))
        view = View(picture, palette, horizon=HORIZON * tall * SMOOTHING - rise)
        _ground(view, palette, moment / count)
        for distance in range(FARTHEST, -2, -1):
            z = distance + 1 - moment / count
            SIDES[palette.place](view, palette, z)
        yield picture.reduce(SMOOTHING)


def _behind(size: tuple[int, int], palette: Palette, chance: random.Random) -> Image.Image:
    canvas = Canvas(*size)
    canvas.gradient(palette.sky[0], palette.sky[1], 0.0, HORIZON)
    spot = (0.5, HORIZON - 0.02)
    for radius, opacity in ((0.7, 0.3), (0.35, 0.4), (0.14, 0.7)):
        canvas.oval(spot, (radius, radius), palette.light, opacity, blur=radius / 2)
    canvas.oval(spot, (0.05, 0.05), mix(palette.light, WHITE, 0.6), 0.9, blur=0.008)
    canvas.grained(chance)
    return canvas.sheet.convert("RGB")


def _ground(view: View, palette: Palette, moment: float) -> None:
    earth = mix(palette.far, palette.near, 0.55)
    way = mix(earth, palette.sky[1], 0.3)
    edges = [FARTHEST * 4, *(n / 2 for n in range(FARTHEST * 2, 0, -1)), 0.0]
    for n, (far, near) in enumerate(itertools.pairwise(edges)):
        back, front = (max(NEAREST * 0.6, z - moment) if z < FARTHEST * 4 else z for z in (far, near))
        if back <= front:
            continue
        odd = n % 2 * 0.1
        for colour, half in ((mix(earth, SHADE, odd), 40.0), (mix(way, palette.light, odd * 1.2), 0.75)):
            view.shape(
                colour,
                (back + front) / 2,
                (-half, -EYE, back),
                (half, -EYE, back),
                (half, -EYE, front),
                (-half, -EYE, front),
            )
        if n % 2:
            line = mix(palette.light, WHITE, 0.3)
            view.shape(line, back, (-0.02, -EYE, back), (0.02, -EYE, back), (0.02, -EYE, front), (-0.02, -EYE, front))


def _trees(view: View, palette: Palette, z: float) -> None:
    if z < NEAREST:
        return
    trunk, leaves = mix(palette.near, SHADE, 0.25), mix(palette.near, palette.far, 0.3)
    for side, tall in ((-1, 1.0), (1, 0.82)):
        x = side * 1.3
        view.shape(
            SHADE, z + 3, (x - 0.1, -EYE, z), (x + 0.1, -EYE, z), (x - 0.55, -EYE, z * 0.86), (x - 0.75, -EYE, z * 0.86)
        )
        view.shape(
            trunk, z, (x - 0.07, -EYE, z), (x + 0.07, -EYE, z), (x + 0.035, tall * 0.3, z), (x - 0.035, tall * 0.3, z)
        )
        for dx, y, radius, glow in (
            (-0.24, 0.25, 0.32, 0.0),
            (0.26, 0.3, 0.3, 0.06),
            (0.0, 0.55, 0.38, 0.1),
            (-side * 0.12, 0.62, 0.2, 0.24),
        ):
            view.disc(mix(leaves, palette.light, glow), (x + dx, y * tall, z), radius * tall)
        for dx in (-0.5, 0.35, 0.6):
            view.disc(mix(leaves, SHADE, 0.15), (x + dx * side + side * 0.2, -EYE + 0.03, z), 0.1)


def _street(view: View, palette: Palette, z: float) -> None:
    for side, tall, tint in ((-1, 1.5, 0.2), (1, 2.0, 0.32)):
        x, back = side * 1.45, z + 0.72
        stone = mix(palette.near, palette.far, tint)
        view.shape(mix(stone, SHADE, 0.25), z, (x, -EYE, z), (x * 3, -EYE, z), (x * 3, tall, z), (x, tall, z))
        view.shape(stone, z + 0.3, (x, -EYE, z), (x, -EYE, back), (x, tall, back), (x, tall, z))
        for row in range(5):
            low = -0.25 + row * 0.34
            for column in range(3):
                near = z + 0.08 + column * 0.22
                if (row * 3 + column * 5 + (side > 0)) % 4 and low + 0.2 < tall:
                    view.shape(
                        palette.light,
                        z + 1.5,
                        (x, low, near),
                        (x, low, near + 0.12),
                        (x, low + 0.18, near + 0.12),
                        (x, low + 0.18, near),
                    )
        if z < NEAREST:
            continue
        post = side * 1.02
        view.shape(
            mix(palette.near, SHADE, 0.5),
            z,
            (post - 0.015, -EYE, z),
            (post + 0.015, -EYE, z),
            (post + 0.01, 0.5, z),
            (post - 0.01, 0.5, z),
        )
        view.disc(mix(palette.light, WHITE, 0.4), (post - side * 0.06, 0.5, z), 0.055)


def _corridor(view: View, palette: Palette, z: float) -> None:
    back = z + 1.0
    for side in (-1, 1):
        x = side * 1.05
        wall = mix(mix(palette.far, palette.near, 0.35), palette.light, 0.1 if side < 0 else 0.0)
        view.shape(wall, z + 0.5, (x, -EYE, z), (x, -EYE, back), (x, 0.75, back), (x, 0.75, z))
        view.shape(
            mix(wall, SHADE, 0.4), z + 0.5, (x, -EYE, z), (x, -EYE, back), (x, -EYE + 0.1, back), (x, -EYE + 0.1, z)
        )
        bright = mix(palette.light, WHITE, 0.35) if side > 0 else mix(palette.near, palette.outfit, 0.35)
        low = -0.2 if side > 0 else -EYE
        view.shape(
            mix(wall, SHADE, 0.55),
            z + 0.4,
            (x, low, z + 0.26),
            (x, low, z + 0.8),
            (x, 0.5, z + 0.8),
            (x, 0.5, z + 0.26),
        )
        view.shape(bright, z + 0.5, (x, low, z + 0.31), (x, low, z + 0.75), (x, 0.45, z + 0.75), (x, 0.45, z + 0.31))
        if side > 0:
            floor = [(0.1, -EYE, z + 0.2), (0.1, -EYE, z + 0.62), (0.85, -EYE, z + 0.75), (0.85, -EYE, z + 0.3)]
            view.shape(mix(palette.light, palette.far, 0.25), z + 0.8, *floor)
    ceiling = mix(palette.far, palette.light, 0.25)
    view.shape(ceiling, z + 0.5, (-1.05, 0.75, z), (1.05, 0.75, z), (1.05, 0.75, back), (-1.05, 0.75, back))
    beam = mix(palette.near, SHADE, 0.2)
    view.shape(beam, z, (-1.05, 0.75, z), (1.05, 0.75, z), (1.05, 0.66, z), (-1.05, 0.66, z))
    for side in (-1, 1):
        view.shape(
            beam, z, (side * 1.05, -EYE, z), (side * 1.05, 0.75, z), (side * 0.97, 0.75, z), (side * 0.97, -EYE, z)
        )


SIDES: dict[str, Callable[[View, Palette, float], None]] = {
    "landscape": _trees,
    "city": _street,
    "room": _corridor,
}
