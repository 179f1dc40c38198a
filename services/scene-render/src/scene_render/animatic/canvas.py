"""A sheet to paint a layer on: coordinates are shares of the sheet, edges are smooth."""

import math
from collections.abc import Callable, Sequence

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from scene_render.animatic.palette import Colour

SMOOTHING = 2
Point = tuple[float, float]


class Canvas:
    """A transparent sheet of `width` x `height` pixels. (0, 0) is its top left, (1, 1) its bottom right corner.

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
        colour: Colour,
        opacity: float,
        draw: Callable[[ImageDraw.ImageDraw, Sequence[Point]], object],
        blur: float = 0.0,
    ) -> None:
        """Draw polygons, in pixels, in one colour; only the part of the sheet that they touch is worked on."""
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
        layer = Image.new("RGBA", size, (*colour, 255))
        layer.putalpha(mask)
        self.sheet.alpha_composite(layer, (left, top))

    def _pixels(self, points: Sequence[Point]) -> list[Point]:
        return [(x * self.width, y * self.height) for x, y in points]

    def shape(self, points: Sequence[Point], colour: Colour, opacity: float = 1.0) -> None:
        """A filled polygon."""
        self.shapes([points], colour, opacity)

    def shapes(self, polygons: Sequence[Sequence[Point]], colour: Colour, opacity: float = 1.0) -> None:
        """Many filled polygons of one colour at once."""
        pixels = [self._pixels(points) for points in polygons]
        self._paint(pixels, 0, colour, opacity, lambda pen, points: pen.polygon(list(points), fill=255))

    def oval(self, centre: Point, radii: Point, colour: Colour, opacity: float = 1.0, blur: float = 0.0) -> None:
        """A filled ellipse; `blur` softens its edge, as a share of the shorter side."""
        self._ovals([(centre, radii)], colour, opacity, blur * self.unit)

    def ovals(self, circles: Sequence[tuple[Point, float]], colour: Colour, opacity: float = 1.0) -> None:
        """Many circles of one colour at once."""
        self._ovals([(centre, (radius, radius)) for centre, radius in circles], colour, opacity, 0.0)

    def _ovals(self, ovals: Sequence[tuple[Point, Point]], colour: Colour, opacity: float, blur: float) -> None:
        boxes = []
        for centre, radii in ovals:
            [(x, y)], (rx, ry) = self._pixels([centre]), (radius * self.unit for radius in radii)
            boxes.append([(x - rx, y - ry), (x + rx, y + ry)])
        self._paint(boxes, 0, colour, opacity, lambda pen, points: pen.ellipse(list(points), fill=255), blur)

    def line(self, points: Sequence[Point], width: float, colour: Colour, opacity: float = 1.0) -> None:
        """A line with round ends and joints."""
        pixels = max(1.0, width * self.unit)
        thick = round(pixels * SMOOTHING)

        def draw(pen: ImageDraw.ImageDraw, at: Sequence[Point]) -> None:
            pen.line(list(at), fill=255, width=thick, joint="curve")
            for x, y in (at[0], at[-1]):
                pen.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=255)

        self._paint([self._pixels(points)], pixels, colour, opacity, draw)

    def gradient(self, top: Colour, bottom: Colour, begin: float = 0.0, end: float = 1.0) -> None:
        """Fill the sheet from `top` to `bottom`; the change happens between these shares of its height."""
        column = Image.new("RGB", (1, self.height))
        for y in range(self.height):
            share = min(1.0, max(0.0, (y / self.height - begin) / (end - begin)))
            column.putpixel((0, y), tuple(round(a + (b - a) * share) for a, b in zip(top, bottom, strict=True)))
        self.sheet.alpha_composite(column.resize(self.sheet.size).convert("RGBA"))

    def veil(self, colour: Colour, top: float, bottom: float) -> None:
        """Haze over what is painted: from opacity `top` at the upper edge to `bottom` at the lower one."""
        mask = Image.linear_gradient("L").resize(self.sheet.size)
        mask = mask.point(lambda value: round(255 * (top + (bottom - top) * value / 255)))
        alpha = ImageChops.multiply(mask, self.sheet.getchannel("A"))
        layer = Image.new("RGBA", self.sheet.size, (*colour, 255))
        layer.putalpha(alpha)
        self.sheet.alpha_composite(layer)

    def blurred(self, radius: float) -> None:
        """Put the sheet out of focus; `radius` is a share of the shorter side."""
        small = self.sheet.resize((self.width // 2, self.height // 2), Image.Resampling.BOX)
        small = small.filter(ImageFilter.GaussianBlur(radius * self.unit / 2))
        self.sheet = small.resize((self.width, self.height), Image.Resampling.BICUBIC)

    def paste(self, other: "Canvas") -> None:
        """Lay another sheet of the same size on this one."""
        self.sheet.alpha_composite(other.sheet)
