"""Draws the person of the film at every distance, always with the same outfit, skin and hair."""

from scene_render.animatic.canvas import Blend, Canvas, Point
from scene_render.animatic.head import hair_behind, head
from scene_render.animatic.palette import Colour, Palette, mix

SHADE = (12, 10, 24)


class Body:
    """The coordinates of a body: half heads from the centre of its head, right and down."""

    def __init__(self, canvas: Canvas, centre: Point, size: float) -> None:
        self.canvas = canvas
        self.centre = centre
        self.size = size
        self.dx = size * canvas.unit / canvas.width
        self.dy = size * canvas.unit / canvas.height

    def at(self, x: float, y: float) -> Point:
        """Return a point on the canvas."""
        return self.centre[0] + x * self.dx, self.centre[1] + y * self.dy

    def points(self, *places: Point) -> list[Point]:
        """Return several points on the canvas."""
        return [self.at(x, y) for x, y in places]


def standing(canvas: Canvas, palette: Palette, foot: Point, size: float) -> None:
    """Draw a whole person from behind, standing at `foot`. `size`: half the height of the head."""
    body = Body(canvas, (foot[0], foot[1] - 13.2 * size * canvas.unit / canvas.height), size)
    trousers = Blend(mix(palette.near, palette.outfit, 0.12), mix(palette.near, SHADE, 0.4))
    for side in (-1, 1):
        leg = [(0.05, 6.5), (1.25, 6.5), (1.2, 9.6), (0.98, 13.0), (1.25, 13.4), (0.35, 13.4), (0.4, 10)]
        canvas.shape(body.points(*((side * x, y) for x, y in leg)), trousers)
    coat = [(0, 1.25), (1.5, 1.65), (1.95, 3.0), (1.75, 5.5), (1.85, 8.6), (0, 8.9)]
    canvas.curve(_mirrored(body, coat), _cloth(palette))
    canvas.line(body.points((0, 5.8), (0.02, 8.6)), size * 0.09, SHADE, 0.35)
    for side in (-1, 1):
        canvas.line(
            body.points((side * 1.6, 2.3), (side * 2.1, 4.7), (side * 1.95, 7.0)), size * 0.85, _sleeve(palette)
        )
        canvas.oval(body.at(side * 1.95, 7.5), (size * 0.38, size * 0.45), palette.skin)
    canvas.shape(body.points((-0.4, 0.4), (0.4, 0.4), (0.5, 1.7), (-0.5, 1.7)), mix(palette.skin, SHADE, 0.2))
    canvas.curve(body.points((-0.85, 1.35), (0, 1.15), (0.85, 1.35), (0.9, 1.8), (0, 2.0), (-0.9, 1.8)), palette.accent)
    canvas.oval(body.at(0, 0), (size * 0.84, size * 1.02), palette.skin)
    canvas.curve(
        body.points((0, -1.2), (0.9, -0.6), (0.92, 0.3), (0.5, 0.75), (-0.5, 0.75), (-0.92, 0.3), (-0.9, -0.6)),
        palette.hair,
    )


def long_shadow(canvas: Canvas, foot: Point, size: float) -> None:
    """Draw the shadow of `standing` under a low light at the upper right."""
    body = Body(canvas, foot, size)
    shape = body.points((-0.9, -0.2), (1.2, -0.2), (-3.4, 3.1), (-4.6, 4.4), (-6.6, 5.0), (-7.2, 4.4), (-5.6, 3.2))
    canvas.shape(shape, SHADE, 0.4, blur=size * 0.35)
    canvas.oval(foot, (size * 2.2, size * 0.5), SHADE, 0.45, blur=size * 0.3)


def waist_up(canvas: Canvas, palette: Palette, centre: Point, size: float) -> None:
    """Draw a person from the waist up, holding a glowing cup in both hands."""
    body = Body(canvas, centre, size)
    if palette.cut != "short":
        hair_behind(canvas, body, palette)
    _shoulders(body, palette, waist=12.0)
    for side in (-1, 1):
        elbow = body.points((side * 1.68, 2.6), (side * 2.0, 4.2), (side * 1.85, 5.5), (side * 0.95, 5.0))
        canvas.line(elbow, size * 1.0, SHADE, 0.22)
        canvas.line(elbow, size * 0.9, Blend(_sleeve(palette), mix(_sleeve(palette), SHADE, 0.25)))
    head(canvas, body, palette)
    canvas.lit(palette.light, SHADE, size * 0.8)
    thing = body.at(0, 4.4)
    canvas.oval(thing, (size * 2.0, size * 2.0), palette.light, 0.4, blur=size * 0.8)
    _cup(body, palette, (0, 4.4))
    for side in (-1, 1):
        palm = [(side * x, y) for x, y in ((1.1, 4.5), (0.95, 5.25), (0.45, 5.3), (0.3, 4.8), (0.45, 4.3), (0.8, 4.15))]
        canvas.curve(body.points(*palm), Blend(mix(palette.skin, palette.light, 0.25), palette.skin))
        for finger in range(3):
            y = 4.4 + finger * 0.27
            tip = body.points((side * 0.75, y), (side * 0.18, y + 0.06))
            canvas.line(tip, size * 0.25, mix(mix(palette.skin, palette.light, 0.2), SHADE, 0.07 * finger))


def face(canvas: Canvas, palette: Palette, centre: Point, size: float) -> None:
    """Draw a face that fills the frame, lit from the right."""
    body = Body(canvas, centre, size)
    if palette.cut != "short":
        hair_behind(canvas, body, palette)
    _shoulders(body, palette, waist=6.0)
    head(canvas, body, palette)
    canvas.lit(palette.light, SHADE, size * 0.5, strength=0.75)


def from_above(canvas: Canvas, palette: Palette, centre: Point, size: float) -> None:
    """Draw a person from straight above, walking up the picture, with a long shadow."""
    person = Canvas(canvas.width, canvas.height)
    body = Body(person, centre, size)
    for side, stride in ((-1, -1.0), (1, 0.9)):
        person.line(body.points((side * 0.6, 0), (side * 0.6, stride)), size * 0.75, mix(palette.near, SHADE, 0.3))
        person.oval(body.at(side * 0.6, stride - 0.25), (size * 0.36, size * 0.55), mix(palette.near, SHADE, 0.7))
    torso = [(0, -0.75), (1.5, -0.6), (2.15, 0.1), (1.5, 0.8), (0, 1.0)]
    person.curve(_mirrored(body, torso), _cloth(palette))
    for side, reach in ((-1, -1.75), (1, -1.25)):
        arm = body.points((side * 1.75, 0.05), (side * 2.0, reach * 0.55), (side * 1.35, reach))
        person.line(arm, size * 0.62, _sleeve(palette))
        person.oval(body.at(side * 1.22, reach - 0.3), (size * 0.34, size * 0.4), palette.skin)
    person.oval(body.at(0, 0.12), (size * 1.0, size * 0.98), palette.accent)
    person.oval(body.at(0, -0.1), (size * 0.86, size * 0.98), palette.hair)
    person.oval(body.at(0, -0.95), (size * 0.2, size * 0.22), palette.skin)
    person.oval(
        body.at(0.2, -0.35), (size * 0.42, size * 0.38), mix(palette.hair, palette.light, 0.5), 0.55, size * 0.22
    )
    person.lit(palette.light, SHADE, size * 0.4)
    for step in range(1, 7):
        reach = step * 0.85
        canvas.oval(body.at(-reach, reach * 0.85), (size * (1.75 - step * 0.13),) * 2, SHADE, 0.16, blur=size * 0.3)
    canvas.paste(person)


def own_hands(canvas: Canvas, palette: Palette) -> None:
    """Draw the viewer's own arms from the lower corners, reaching forward."""
    for side in (-1, 1):
        body = Body(canvas, (0.5 + side * 0.24, 0.7), 0.092)
        arm = [(-0.55, 1.3), (0.55, 1.2), (2.6, 5.0), (0.4, 5.2)]
        canvas.shape(body.points(*((side * x, y) for x, y in arm)), _cloth(palette))
        cuff = [(-0.62, 1.05), (0.55, 0.95), (0.68, 1.4), (-0.5, 1.55)]
        canvas.curve(body.points(*((side * x, y) for x, y in cuff)), palette.accent)
        for finger, (x, tip) in enumerate(((-0.42, -0.95), (-0.12, -1.2), (0.18, -1.15), (0.46, -0.85))):
            joints = body.points((side * x, 0), (side * (x - 0.06), tip * 0.6), (side * (x - 0.22), tip))
            canvas.line(joints, 0.027, mix(palette.skin, SHADE, 0.05 * finger))
        palm = [(-0.55, 0.0), (0.0, -0.2), (0.6, 0.0), (0.55, 0.7), (0.4, 1.25), (-0.4, 1.3), (-0.6, 0.6)]
        canvas.curve(body.points(*((side * x, y) for x, y in palm)), Blend(palette.skin, mix(palette.skin, SHADE, 0.2)))
        thumb = body.points((side * -0.4, 0.75), (side * -0.95, 0.3), (side * -1.1, -0.15))
        canvas.line(thumb, 0.03, mix(palette.skin, palette.light, 0.12))
    canvas.lit(palette.light, SHADE, 0.035)


def _shoulders(body: Body, palette: Palette, waist: float) -> None:
    """Draw neck, collar and coat down to `waist`."""
    canvas, size = body.canvas, body.size
    coat = [(0, 1.5), (0.8, 1.6), (1.65, 1.95), (2.05, 2.6), (1.95, 5.0), (1.85, waist), (0, waist + 0.5)]
    canvas.curve(_mirrored(body, coat), _cloth(palette))
    shirt = body.points((-0.75, 1.45), (0.75, 1.45), (0.12, 3.6), (-0.12, 3.6))
    canvas.shape(shirt, mix(palette.accent, (255, 255, 255), 0.35))
    neck = body.points((-0.48, 0.5), (0.48, 0.5), (0.55, 1.5), (0.2, 2.05), (-0.2, 2.05), (-0.55, 1.5))
    canvas.curve(neck, Blend(mix(palette.skin, SHADE, 0.45), mix(palette.skin, SHADE, 0.12)))
    for side in (-1, 1):
        lapel = [(0.5, 1.2), (0.95, 1.5), (1.25, 2.5), (0.75, 3.0), (0.1, 4.3), (0.0, 4.0), (0.55, 2.3)]
        canvas.shape(body.points(*((side * x, y) for x, y in lapel)), mix(palette.outfit, SHADE, 0.28))
    canvas.line(body.points((0, 4.2), (0.03, waist)), size * 0.05, SHADE, 0.3)
    for button in (5.6, 7.0, 8.4):
        canvas.oval(body.at(0.22, button), (size * 0.08, size * 0.08), palette.accent, 0.8)


def _cup(body: Body, palette: Palette, place: Point) -> None:
    x, y = place
    pale = mix(palette.accent, (255, 255, 255), 0.5)
    cup = body.points((x - 0.55, y - 0.55), (x + 0.55, y - 0.55), (x + 0.42, y + 0.65), (x - 0.42, y + 0.65))
    body.canvas.shape(cup, Blend(pale, mix(palette.accent, SHADE, 0.2)))
    body.canvas.oval(
        body.at(x, y - 0.55), (body.size * 0.55, body.size * 0.16), mix(palette.light, (255, 255, 255), 0.4)
    )


def _cloth(palette: Palette) -> Blend:
    return Blend(mix(palette.outfit, palette.light, 0.12), mix(palette.outfit, SHADE, 0.3))


def _sleeve(palette: Palette) -> Colour:
    return mix(palette.outfit, SHADE, 0.16)


def _mirrored(body: Body, right: list[Point]) -> list[Point]:
    """Return a whole outline from its right half, which starts and ends on the middle line."""
    left = [(-x, y) for x, y in reversed(right[1:-1])]
    return body.points(*right, *left)
