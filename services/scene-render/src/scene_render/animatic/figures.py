"""The person of the film, from every distance: one outfit, one skin, one hair throughout."""

from scene_render.animatic.canvas import Canvas, Point
from scene_render.animatic.palette import Palette, mix

SHADE = (12, 10, 20)


class _Body:
    """Coordinates of a body: `at(x, y)` in heads, from the centre of its head, right and down."""

    def __init__(self, canvas: Canvas, centre: Point, head: float) -> None:
        self.canvas = canvas
        self.centre = centre
        self.head = head
        self.dx = head * canvas.unit / canvas.width
        self.dy = head * canvas.unit / canvas.height

    def at(self, x: float, y: float) -> Point:
        return self.centre[0] + x * self.dx, self.centre[1] + y * self.dy


def standing(canvas: Canvas, palette: Palette, foot: Point, head: float) -> None:
    """A whole person, standing at `foot`; `head` is half the height of the head, a share of the shorter side."""
    body = _Body(canvas, (foot[0], foot[1] - 13.2 * head * canvas.unit / canvas.height), head)
    at = body.at
    canvas.oval(at(3.2, 13.4), (head * 5, head * 0.8), SHADE, 0.35, blur=head)
    trousers = mix(palette.near, palette.outfit, 0.15)
    for side in (-1, 1):
        canvas.shape([at(side * 0.1, 7), at(side * 1.3, 7), at(side * 1.15, 13.2), at(side * 0.4, 13.2)], trousers)
        canvas.line([at(side * 1.5, 2.3), at(side * 2.1, 5), at(side * 1.9, 7.2)], head * 0.75, _sleeve(palette))
        canvas.oval(at(side * 1.9, 7.5), (head * 0.42, head * 0.42), palette.skin)
    canvas.shape([at(-1.6, 1.9), at(1.6, 1.9), at(1.45, 7.6), at(-1.45, 7.6)], palette.outfit)
    canvas.oval(at(0, 1.9), (head * 1.62, head * 0.6), palette.outfit)
    canvas.shape([at(0.7, 1.5), at(1.6, 1.9), at(1.45, 7.6), at(0.9, 7.6)], palette.light, 0.28)
    _head(body, palette, detailed=False)


def waist_up(canvas: Canvas, palette: Palette, centre: Point, head: float) -> None:
    """A person from the waist up, arms folded around something that glows a little."""
    body = _Body(canvas, centre, head)
    at = body.at
    canvas.shape([at(-2.6, 2.1), at(-1.2, 1.5), at(1.2, 1.5), at(2.6, 2.1), at(2.9, 20), at(-2.9, 20)], palette.outfit)
    canvas.oval(at(0, 2.0), (head * 2.5, head * 0.75), palette.outfit)
    canvas.shape([at(1.3, 1.5), at(2.6, 2.1), at(2.9, 20), at(1.9, 20)], palette.light, 0.25)
    canvas.shape([at(-2.6, 2.1), at(-1.6, 1.7), at(-1.9, 20), at(-2.9, 20)], SHADE, 0.22)
    canvas.shape([at(-0.55, 0.7), at(0.55, 0.7), at(0.75, 1.9), at(-0.75, 1.9)], mix(palette.skin, SHADE, 0.18))
    canvas.shape([at(-0.8, 1.45), at(0, 2.5), at(0.8, 1.45)], mix(palette.skin, SHADE, 0.08))
    for side in (-1, 1):
        canvas.line([at(side * 2.35, 2.7), at(side * 2.7, 5.0), at(side * 0.7, 5.4)], head * 0.95, _sleeve(palette))
        canvas.oval(at(side * 0.55, 5.4), (head * 0.5, head * 0.45), palette.skin)
    canvas.oval(at(0, 5.0), (head * 1.6, head * 1.6), palette.light, 0.35, blur=head * 0.7)
    canvas.oval(at(0, 5.0), (head * 0.55, head * 0.55), palette.accent)
    canvas.oval(at(-0.15, 4.85), (head * 0.25, head * 0.22), (255, 255, 255), 0.55, blur=head * 0.08)
    _head(body, palette, detailed=True)


def face(canvas: Canvas, palette: Palette, centre: Point, head: float) -> None:
    """A face that fills the frame, lit from the right."""
    body = _Body(canvas, centre, head)
    at = body.at
    canvas.shape([at(-2.6, 2.2), at(-0.8, 1.3), at(0.8, 1.3), at(2.6, 2.2), at(3, 4), at(-3, 4)], palette.outfit)
    canvas.shape([at(-0.5, 0.6), at(0.5, 0.6), at(0.7, 1.7), at(-0.7, 1.7)], mix(palette.skin, SHADE, 0.25))
    _head(body, palette, detailed=True)


def from_above(canvas: Canvas, palette: Palette, centre: Point, head: float) -> None:
    """A person looked straight down at, with the long shadow of a low sun."""
    body = _Body(canvas, centre, head)
    at = body.at
    for n in range(8):
        canvas.oval(
            at(1.2 + n * 1.1, 0.8 + n * 0.75), (head * (1.9 - n * 0.1), head * 0.95), SHADE, 0.09, blur=head * 0.4
        )
    canvas.oval(at(0, 0), (head * 2.2, head * 0.95), palette.outfit)
    canvas.oval(at(0.5, -0.25), (head * 1.3, head * 0.4), palette.light, 0.25, blur=head * 0.2)
    for side in (-1, 1):
        canvas.line([at(side * 1.7, -0.1), at(side * 2.0, -1.3), at(side * 1.2, -2.2)], head * 0.6, _sleeve(palette))
        canvas.oval(at(side * 1.1, -2.35), (head * 0.36, head * 0.36), palette.skin)
    canvas.oval(at(0, -2.5), (head * 0.7, head * 0.7), palette.light, 0.5, blur=head * 0.3)
    canvas.oval(at(0, -2.5), (head * 0.4, head * 0.4), palette.accent)
    canvas.oval(at(0, -0.1), (head, head), palette.hair)
    canvas.oval(at(-0.2, -0.3), (head * 0.55, head * 0.5), mix(palette.hair, palette.light, 0.35), 0.6, blur=head * 0.2)


def own_hands(canvas: Canvas, palette: Palette) -> None:
    """Our own hands at the lower edge of what we see, reaching forward."""
    for side in (-1, 1):
        x = 0.5 + side * 0.2
        canvas.line([(x + side * 0.14, 1.1), (x + side * 0.06, 0.93)], 0.15, _sleeve(palette))
        canvas.line([(x + side * 0.07, 0.94), (x + side * 0.015, 0.86)], 0.1, palette.skin)
        for finger in range(4):
            base = (x + side * (0.035 - 0.018 * finger), 0.86 - 0.004 * finger)
            tip = (base[0] - side * 0.022, base[1] - 0.055 + 0.006 * abs(finger - 1.5))
            canvas.line([base, tip], 0.026, mix(palette.skin, SHADE, 0.06 * finger))
        canvas.line([(x - side * 0.03, 0.89), (x - side * 0.075, 0.855)], 0.03, palette.skin)


def _sleeve(palette: Palette) -> tuple[int, int, int]:
    return mix(palette.outfit, SHADE, 0.16)


def _head(body: _Body, palette: Palette, *, detailed: bool) -> None:
    canvas, at, head = body.canvas, body.at, body.head
    canvas.oval(at(0, -0.18), (head * 1.02, head * 1.08), palette.hair)
    canvas.oval(at(0, 0.12), (head * 0.84, head * 1.0), palette.skin)
    canvas.oval(at(-0.5, 0.2), (head * 0.3, head * 0.75), SHADE, 0.16, blur=head * 0.2)
    canvas.oval(at(0.48, 0.05), (head * 0.28, head * 0.6), palette.light, 0.35, blur=head * 0.2)
    fringe = [
        at(-0.92, 0.05),
        at(-0.8, -0.75),
        at(0, -1.1),
        at(0.8, -0.75),
        at(0.92, 0.05),
        at(0.55, -0.45),
        at(-0.3, -0.4),
    ]
    canvas.shape(fringe, palette.hair)
    if not detailed:
        return
    dark = mix(palette.hair, SHADE, 0.4)
    for side in (-1, 1):
        canvas.oval(at(side * 0.36, 0.1), (head * 0.15, head * 0.085), (246, 243, 238))
        canvas.oval(at(side * 0.34, 0.1), (head * 0.075, head * 0.082), dark)
        canvas.oval(at(side * 0.34 + 0.03, 0.07), (head * 0.022, head * 0.022), (255, 255, 255))
        canvas.line([at(side * 0.56, -0.1), at(side * 0.38, -0.2), at(side * 0.2, -0.17)], head * 0.05, dark)
    canvas.line([at(0.02, 0.16), at(0.07, 0.42), at(-0.04, 0.45)], head * 0.035, mix(palette.skin, SHADE, 0.3))
    smile = [at(-0.26 + n * 0.065, 0.63 + 0.085 * (1 - (n / 4 - 1) ** 2)) for n in range(9)]
    canvas.line(smile, head * 0.05, mix(palette.skin, (140, 40, 50), 0.45))
