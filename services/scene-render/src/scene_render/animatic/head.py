"""Draws a head from the front, with its hair."""

from typing import Protocol

from scene_render.animatic.canvas import Blend, Canvas, Point
from scene_render.animatic.palette import Colour, Palette, mix

SHADE = (30, 14, 22)
WHITE = (250, 246, 240)
EYE = (0.34, 0.06)
"""The position of an eye: from the middle, and below the centre of the head."""


class Frame(Protocol):
    """The coordinates of a head: half heads from its centre."""

    size: float

    def at(self, x: float, y: float) -> Point: ...  # noqa: D102 - said above

    def points(self, *places: Point) -> list[Point]: ...  # noqa: D102 - said above


HAIR_BEHIND: dict[str, tuple[Point, ...]] = {
    "short": ((0, -1.25), (0.72, -1.05), (1.0, -0.45), (0.92, 0.2), (0, 0.5)),
    "bob": ((0, -1.27), (0.8, -1.05), (1.12, -0.3), (1.12, 0.6), (0.95, 1.2), (0.5, 1.1), (0, 0.9)),
    "long": ((0, -1.27), (0.8, -1.05), (1.1, -0.3), (1.15, 0.8), (1.3, 2.1), (1.0, 2.9), (0.5, 2.4), (0, 1.2)),
}
FRINGES: dict[str, tuple[Point, ...]] = {
    "short": (
        (-0.86, 0.0), (-0.98, -0.5), (-0.6, -1.12), (0.1, -1.25), (0.75, -1.0), (0.96, -0.45), (0.85, 0.0),
        (0.72, -0.42), (0.35, -0.62), (-0.25, -0.55), (-0.7, -0.42),
    ),
    "bob": (
        (-0.82, 0.5), (-1.02, -0.3), (-0.65, -1.08), (0.1, -1.22), (0.75, -1.0), (1.02, -0.3), (0.84, 0.5),
        (0.78, -0.2), (0.4, -0.5), (-0.2, -0.36), (-0.72, -0.22),
    ),
    "long": (
        (-0.84, 0.6), (-1.02, -0.3), (-0.65, -1.08), (0.0, -1.24), (0.7, -1.04), (1.02, -0.3), (0.86, 0.6),
        (0.76, -0.15), (0.42, -0.62), (-0.1, -0.85), (-0.5, -0.5), (-0.76, -0.1),
    ),
}  # fmt: skip


def hair_behind(canvas: Canvas, frame: Frame, palette: Palette) -> None:
    """What of the hair hangs behind the neck; painted before the body."""
    right = HAIR_BEHIND[palette.cut]
    outline = [*right, *((-x, y) for x, y in reversed(right[1:-1]))]
    canvas.curve(frame.points(*outline), Blend(palette.hair, mix(palette.hair, SHADE, 0.5)))


def head(canvas: Canvas, frame: Frame, palette: Palette) -> None:
    """The head, eyes open, looking a little past the camera."""
    size, skin = frame.size, palette.skin
    if palette.cut == "short":
        hair_behind(canvas, frame, palette)
    for side in (-1, 1):
        canvas.oval(frame.at(side * 0.82, 0.14), (size * 0.13, size * 0.22), mix(skin, SHADE, 0.2))
    jaw = [(0, 1.06), (0.3, 0.99), (0.6, 0.72), (0.77, 0.3), (0.81, -0.2), (0.68, -0.75), (0, -1.0)]
    outline = [*jaw, *((-x, y) for x, y in reversed(jaw[1:-1]))]
    canvas.curve(frame.points(*outline), Blend(mix(skin, palette.light, 0.12), mix(skin, SHADE, 0.1)))
    canvas.oval(frame.at(-0.5, 0.4), (size * 0.2, size * 0.15), (200, 70, 60), 0.16, blur=size * 0.12)
    canvas.oval(frame.at(0.48, 0.4), (size * 0.2, size * 0.15), (220, 90, 70), 0.2, blur=size * 0.12)
    canvas.oval(frame.at(0.42, 0.1), (size * 0.24, size * 0.4), palette.light, 0.28, blur=size * 0.18)
    canvas.oval(frame.at(0, 0.86), (size * 0.3, size * 0.1), palette.light, 0.14, blur=size * 0.08)
    _eyes(canvas, frame, palette)
    _nose(canvas, frame, skin, palette.light)
    _mouth(canvas, frame, skin)
    fringe = FRINGES[palette.cut]
    canvas.curve(frame.points(*((x * 0.97, y + 0.05) for x, y in fringe)), SHADE, 0.28, blur=size * 0.06)
    canvas.curve(frame.points(*fringe), Blend(mix(palette.hair, palette.light, 0.1), palette.hair))


def lids(canvas: Canvas, frame: Frame, palette: Palette) -> None:
    """Closed eyelids, to lay over open eyes for the moment of a blink."""
    for side in (-1, 1):
        x, y = side * EYE[0], EYE[1]
        canvas.oval(frame.at(x, y), (frame.size * 0.185, frame.size * 0.125), mix(palette.skin, SHADE, 0.06))
        lash = frame.points((x - 0.17, y + 0.03), (x, y + 0.1), (x + 0.17, y + 0.03))
        canvas.line(lash, frame.size * 0.04, mix(palette.hair, SHADE, 0.4))


def _eyes(canvas: Canvas, frame: Frame, palette: Palette) -> None:
    size, dark = frame.size, mix(palette.hair, SHADE, 0.35)
    iris = mix(mix(palette.hair, (120, 84, 50), 0.55), palette.light, 0.1)
    for side in (-1, 1):
        x, y = side * EYE[0], EYE[1]
        canvas.oval(frame.at(x, y - 0.03), (size * 0.22, size * 0.16), SHADE, 0.2, blur=size * 0.05)
        almond = ((x - 0.17, y + 0.02), (x, y - 0.085), (x + 0.17, y), (x, y + 0.08))
        canvas.curve(frame.points(*almond), mix(WHITE, palette.skin, 0.14))
        canvas.oval(frame.at(x + 0.02, y - 0.015), (size * 0.092, size * 0.09), iris)
        canvas.oval(frame.at(x + 0.02, y - 0.015), (size * 0.05, size * 0.052), SHADE)
        canvas.oval(frame.at(x + 0.055, y - 0.05), (size * 0.024, size * 0.024), (255, 255, 255))
        upper = frame.points((x - 0.19, y + 0.025), (x - 0.08, y - 0.075), (x + 0.06, y - 0.09), (x + 0.19, y - 0.005))
        canvas.line(upper, size * 0.042, dark)
        brow = frame.points((x - 0.2, y - 0.19), (x - 0.02, y - 0.265), (x + 0.2, y - 0.21))
        canvas.line(brow, size * 0.055, dark, 0.9)


def _nose(canvas: Canvas, frame: Frame, skin: Colour, light: Colour) -> None:
    size = frame.size
    side = frame.points((-0.06, -0.05), (-0.14, 0.36), (-0.02, 0.46), (0.02, 0.1))
    canvas.curve(side, SHADE, 0.16, blur=size * 0.03)
    canvas.line(frame.points((0.03, 0.0), (0.05, 0.32)), size * 0.05, light, 0.2)
    canvas.line(frame.points((-0.13, 0.42), (-0.02, 0.47), (0.12, 0.42)), size * 0.035, mix(skin, SHADE, 0.42), 0.8)


def _mouth(canvas: Canvas, frame: Frame, skin: Colour) -> None:
    lip = mix(skin, (168, 62, 66), 0.45)
    upper = frame.points((-0.26, 0.68), (-0.08, 0.63), (0, 0.645), (0.08, 0.63), (0.26, 0.67), (0, 0.71))
    canvas.curve(upper, mix(lip, SHADE, 0.2))
    canvas.curve(frame.points((-0.2, 0.7), (0, 0.71), (0.2, 0.69), (0.08, 0.79), (-0.08, 0.79)), lip)
    canvas.line(frame.points((-0.27, 0.68), (0, 0.705), (0.28, 0.665)), frame.size * 0.025, mix(lip, SHADE, 0.6))
    canvas.oval(frame.at(0, 0.87), (frame.size * 0.16, frame.size * 0.03), SHADE, 0.14, blur=frame.size * 0.04)
