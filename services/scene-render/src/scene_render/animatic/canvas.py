"""A canvas for one layer: coordinates are shares of its size, edges are anti-aliased."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from scene_render.animatic.palette import Colour, mix

SMOOTHING = 2
CURVE_STEPS = 8
CAP_POINTS = 2
"""A line's round end is given by the two corners of its box, its body by more points."""
GRAIN_TILE = 256
GRAIN = 2
"""The opacity of grain, of 255: enough to hide banding; more would cost bits."""
Point = tuple[float, float]


@dataclass(frozen=True)
class Blend:
    """A vertical gradient from a shape's top to its bottom."""

    top: Colour
    bottom: Colour


Fill = Colour | Blend


def rounded(points: Sequence[Point]) -> list[Point]:
    """Return a smooth closed line through all points."""
    count = len(points)
    line = []
    for n in range(count):
        before, begin, end, after = (points[(n + k) % count] for k in (-1, 0, 1, 2))
        line += [_between(before, begin, end, after, step / CURVE_STEPS) for step in range(CURVE_STEPS)]
    return line


def _bent(points: Sequence[Point]) -> list[Point]:
    """Return a smooth open line through all points."""
    ends = [points[0], *points, points[-1]]
    line = []
    for before, begin, end, after in zip(ends, ends[1:], ends[2:], ends[3:], strict=False):
        line += [_between(before, begin, end, after, step / CURVE_STEPS) for step in range(CURVE_STEPS)]
    return [*line, points[-1]]


def _ribbon(line: Sequence[Point], half: float) -> list[Point]:
    """Return the outline of a line that is `half` wide on both sides."""
    sides: tuple[list[Point], list[Point]] = ([], [])
    for n, (x, y) in enumerate(line):
        (x0, y0), (x1, y1) = line[max(0, n - 1)], line[min(len(line) - 1, n + 1)]
        length = math.hypot(x1 - x0, y1 - y0) or 1.0
        dx, dy = -(y1 - y0) / length * half, (x1 - x0) / length * half
        sides[0].append((x + dx, y + dy))
        sides[1].append((x - dx, y - dy))
    return [*sides[0], *reversed(sides[1])]


def _between(before: Point, begin: Point, end: Point, after: Point, share: float) -> Point:
    """Return a point of the Catmull-Rom spline from `begin` to `end`."""

    def along(a: float, b: float, c: float, d: float) -> float:
        curve = 2 * b + (c - a) * share
        curve += (2 * a - 5 * b + 4 * c - d) * share**2 + (3 * b - a - 3 * c + d) * share**3
        return curve / 2

    x, y = (along(before[k], begin[k], end[k], after[k]) for k in (0, 1))
    return x, y


class Canvas:
    """A transparent canvas of `width` x `height` pixels. (0, 0) is its top left, (1, 1) its bottom right corner.

    Radii and line widths are shares of its shorter side.
    """

    def __init__(self, width: int, height: int) -> None:
        self.width = width
        self.height = height
        self.unit = min(width, height)
        self.sheet = Image.new("RGBA", (width, height), (0, 0, 0, 0))

    def _paint(
        self,
        polygons: Sequence[Sequence[Point]],
        width: float,
        fill: Fill,
        opacity: float,
        draw: Callable[[ImageDraw.ImageDraw, Sequence[Point]], object],
        blur: float = 0.0,
    ) -> None:
        """Draw polygons, in pixels, with one fill, processing only their bounding box."""
        edge = width + 3 * blur + 2
        xs = [x for points in polygons for x, _ in points]
        ys = [y for points in polygons for _, y in points]
        left, top = max(0, math.floor(min(xs) - edge)), max(0, math.floor(min(ys) - edge))
        right, bottom = min(self.width, math.ceil(max(xs) + edge)), min(self.height, math.ceil(max(ys) + edge))
        if left >= right or top >= bottom:
            return
        size = (right - left, bottom - top)
        mask = Image.new("L", (size[0] * SMOOTHING, size[1] * SMOOTHING), 0)
        pen = ImageDraw.Draw(mask)
        for points in polygons:
            draw(pen, [((x - left) * SMOOTHING, (y - top) * SMOOTHING) for x, y in points])
        if blur:
            mask = mask.resize((max(1, size[0] // 4), max(1, size[1] // 4)), Image.Resampling.BOX)
            mask = mask.filter(ImageFilter.GaussianBlur(blur / 4)).resize(size, Image.Resampling.BICUBIC)
        else:
            mask = mask.resize(size, Image.Resampling.BOX)
        if opacity < 1:
            mask = mask.point(lambda value: round(value * opacity))
        layer = _filled(size, fill)
        layer.putalpha(mask)
        self.sheet.alpha_composite(layer, (left, top))

    def _pixels(self, points: Sequence[Point]) -> list[Point]:
        return [(x * self.width, y * self.height) for x, y in points]

    def shape(self, points: Sequence[Point], fill: Fill, opacity: float = 1.0, blur: float = 0.0) -> None:
        """Fill a polygon. `blur` softens its edge, as a share of the shorter side."""
        self.shapes([points], fill, opacity, blur)

    def shapes(self, polygons: Sequence[Sequence[Point]], fill: Fill, opacity: float = 1.0, blur: float = 0.0) -> None:
        """Fill many polygons at once."""
        pixels = [self._pixels(points) for points in polygons]
        draw = lambda pen, points: pen.polygon(list(points), fill=255)  # noqa: E731 - as short as its neighbours
        self._paint(pixels, 0, fill, opacity, draw, blur * self.unit)

    def curve(self, points: Sequence[Point], fill: Fill, opacity: float = 1.0, blur: float = 0.0) -> None:
        """Fill a smooth shape through all points."""
        self.shapes([rounded(points)], fill, opacity, blur)

    def box(self, corner: Point, opposite: Point, fill: Fill, opacity: float = 1.0) -> None:
        """Fill a rectangle."""
        (left, top), (right, bottom) = corner, opposite
        self.shape([(left, top), (right, top), (right, bottom), (left, bottom)], fill, opacity)

    def oval(self, centre: Point, radii: Point, colour: Fill, opacity: float = 1.0, blur: float = 0.0) -> None:
        """Fill an ellipse. `blur` softens its edge, as a share of the shorter side."""
        self._ovals([(centre, radii)], colour, opacity, blur * self.unit)

    def ovals(self, circles: Sequence[tuple[Point, float]], colour: Colour, opacity: float = 1.0) -> None:
        """Fill many circles at once."""
        self._ovals([(centre, (radius, radius)) for centre, radius in circles], colour, opacity, 0.0)

    def _ovals(self, ovals: Sequence[tuple[Point, Point]], colour: Fill, opacity: float, blur: float) -> None:
        boxes = []
        for centre, radii in ovals:
            [(x, y)], (rx, ry) = self._pixels([centre]), (radius * self.unit for radius in radii)
            boxes.append([(x - rx, y - ry), (x + rx, y + ry)])
        self._paint(boxes, 0, colour, opacity, lambda pen, points: pen.ellipse(list(points), fill=255), blur)

    def line(self, points: Sequence[Point], width: float, colour: Fill, opacity: float = 1.0) -> None:
        """Draw a smooth line with round ends."""
        half = max(0.5, width * self.unit / 2)
        bent = _bent(self._pixels(points))
        caps = [[(x - half, y - half), (x + half, y + half)] for x, y in (bent[0], bent[-1])]

        def draw(pen: ImageDraw.ImageDraw, at: Sequence[Point]) -> None:
            (pen.ellipse if len(at) == CAP_POINTS else pen.polygon)(list(at), fill=255)

        self._paint([_ribbon(bent, half), *caps], 0, colour, opacity, draw)

    def gradient(self, top: Colour, bottom: Colour, begin: float = 0.0, end: float = 1.0) -> None:
        """Fill the canvas with a gradient that lies between these shares of its height."""
        column = Image.new("RGB", (1, self.height))
        for y in range(self.height):
            share = min(1.0, max(0.0, (y / self.height - begin) / (end - begin)))
            column.putpixel((0, y), mix(top, bottom, share))
        self.sheet.alpha_composite(column.resize(self.sheet.size).convert("RGBA"))

    def veil(self, colour: Colour, top: float, bottom: float) -> None:
        """Put haze over the layer, from opacity `top` at the upper edge to `bottom` at the lower one."""
        mask = Image.linear_gradient("L").resize(self.sheet.size)
        mask = mask.point(lambda value: round(255 * (top + (bottom - top) * value / 255)))
        alpha = ImageChops.multiply(mask, self.sheet.getchannel("A"))
        layer = Image.new("RGBA", self.sheet.size, (*colour, 255))
        layer.putalpha(alpha)
        self.sheet.alpha_composite(layer)

    def blurred(self, radius: float) -> None:
        """Blur the layer. `radius` is a share of the shorter side."""
        small = self.sheet.convert("RGBa").resize((self.width // 4, self.height // 4), Image.Resampling.BOX)
        small = small.filter(ImageFilter.GaussianBlur(radius * self.unit / 4))
        self.sheet = small.resize((self.width, self.height), Image.Resampling.BICUBIC).convert("RGBA")

    def lit(self, light: Colour, shade: Colour, depth: float, strength: float = 0.6) -> None:
        """Light the layer from the upper right, with a bright rim and a soft shade on the other side.

        `depth`: the width of the shade, as a share of the shorter side.
        """
        box = self.sheet.getbbox()
        if box is None:
            return
        body = self.sheet.crop(box)
        alpha = body.getchannel("A")
        for fill, reach, share in ((shade, -depth, 0.42), (light, depth * 0.14, strength)):
            edge = _edge(alpha, reach * self.unit).point(lambda value, share=share: round(value * share))
            layer = Image.new("RGBA", body.size, (*fill, 255))
            layer.putalpha(ImageChops.multiply(edge, alpha))
            body.alpha_composite(layer)
        self.sheet.paste(body, box[:2])

    def grained(self, chance: random.Random) -> None:
        """Add fine grain, against banding in wide gradients."""
        noise = Image.frombytes("L", (GRAIN_TILE, GRAIN_TILE), chance.randbytes(GRAIN_TILE**2))
        tiles = Image.new("L", self.sheet.size)
        for x in range(0, self.width, GRAIN_TILE):
            for y in range(0, self.height, GRAIN_TILE):
                tiles.paste(noise, (x, y))
        layer = Image.merge("RGBA", (tiles, tiles, tiles, Image.new("L", tiles.size, GRAIN)))
        self.sheet.alpha_composite(layer)

    def paste(self, other: "Canvas") -> None:
        """Draw another canvas of the same size on this one."""
        self.sheet.alpha_composite(other.sheet)


def _filled(size: tuple[int, int], fill: Fill) -> Image.Image:
    if not isinstance(fill, Blend):
        return Image.new("RGBA", size, (*fill, 255))
    top, bottom = (Image.new("RGBA", size, (*colour, 255)) for colour in (fill.top, fill.bottom))
    return Image.composite(bottom, top, Image.linear_gradient("L").resize(size))


def _edge(alpha: Image.Image, reach: float) -> Image.Image:
    """Return the mask within `reach` pixels of the upper right edge; of the lower left one if negative."""
    step = round(reach) or 1
    moved = Image.new("L", alpha.size, 0)
    moved.paste(alpha, (-step, step // 2))
    return ImageChops.subtract(alpha, moved).filter(ImageFilter.BoxBlur(abs(step) * 0.6))
