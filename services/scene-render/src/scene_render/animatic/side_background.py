"""Draws the place of a film from the side, in layers: a landscape, a city or a room."""

import math
import random

from scene_render.animatic.canvas import Blend, Canvas, Point
from scene_render.animatic.palette import Colour, Palette, mix

HORIZON = 0.56
FLOOR = 0.63
"""Where the wall of a room meets its floor, as a share of the height."""
SHADE = (10, 9, 18)
WHITE = (255, 255, 255)


def backdrop(canvas: Canvas, palette: Palette, chance: random.Random) -> None:
    """Draw the farthest layer: the sky with the sun, or the back wall with its window."""
    x, y = chance.uniform(0.64, 0.76), chance.uniform(0.17, 0.24) + 0.14 * palette.hour
    if palette.place == "room":
        _wall(canvas, palette, x)
    else:
        _sky(canvas, palette, (x, y), chance)
    canvas.grained(chance)


def _sky(canvas: Canvas, palette: Palette, sun: Point, chance: random.Random) -> None:
    canvas.gradient(palette.sky[0], palette.sky[1], 0.0, HORIZON)
    if sum(palette.sky[0]) < NIGHT:
        stars = [((chance.random(), chance.uniform(0, 0.45)), chance.uniform(0.0009, 0.002)) for _ in range(90)]
        canvas.ovals(stars, WHITE, 0.6)
    for radius, opacity in ((0.75, 0.16), (0.4, 0.25), (0.16, 0.4)):
        canvas.oval(sun, (radius, radius), palette.light, opacity, blur=radius / 2)
    canvas.oval(sun, (0.042, 0.042), mix(palette.light, WHITE, 0.55), blur=0.002)


NIGHT = 190
"""A sky whose channels sum to less is a night sky."""


def clouds(canvas: Canvas, palette: Palette, chance: random.Random) -> None:
    """Draw clouds of soft puffs."""
    for _ in range(5):
        x, y, size = chance.random(), chance.uniform(0.08, 0.4), chance.uniform(0.5, 1.1)
        pale = mix(palette.sky[1], WHITE, 0.5)
        for _ in range(7):
            puff = (x + chance.gauss(0, 0.06) * size, y + chance.gauss(0, 0.01) * size)
            canvas.oval(puff, (0.1 * size * chance.uniform(0.5, 1.2), 0.022 * size), pale, 0.26, blur=0.012)


def ridge(canvas: Canvas, palette: Palette, depth: float, chance: random.Random) -> None:
    """Draw one layer of the place. `depth`: 0 is far, 1 near; farther layers are higher and paler."""
    colour = mix(mix(palette.far, palette.sky[1], 0.5), palette.near, depth)
    base = HORIZON - 0.04 + 0.16 * depth
    match palette.place:
        case "landscape":
            _hills(canvas, palette, colour, base, depth, chance)
        case "city":
            _houses(canvas, palette, colour, base, depth, chance)
        case "room" if depth < FURNISHED:
            _shelves(canvas, palette, chance)
        case "room":
            _counter(canvas, palette, chance)


FURNISHED = 0.35
"""Nearer layers of a room show furniture, farther ones what is on the wall."""


def _misty(palette: Palette, colour: Colour, depth: float) -> Blend:
    """Return a colour that fades into haze towards the ground."""
    return Blend(colour, mix(colour, palette.sky[1], 0.55 * (1 - depth)))


def _hills(canvas: Canvas, palette: Palette, colour: Colour, base: float, depth: float, chance: random.Random) -> None:
    waves = [(chance.uniform(1.5, 4) * (n + 1) ** 1.25, chance.uniform(0, 6.3), 0.085 / (n + 1)) for n in range(5)]
    steep = 1.9 - 1.6 * depth

    def height(x: float) -> float:
        # Folded waves have sharp crests like mountains, plain ones look like hills.
        folded = sum(size * (1 - 2 * abs(math.sin(speed * x + begin))) for speed, begin, size in waves)
        plain = sum(size * math.sin(speed * x + begin) for speed, begin, size in waves)
        return base - 0.07 * (1 - depth) - steep * (folded * (1 - depth) + plain * depth)

    points: list[Point] = [(x / 160, height(x / 160)) for x in range(161)]
    canvas.shape([*points, (1, 1), (0, 1)], _misty(palette, colour, depth))
    if depth > FURNISHED:
        dark = mix(colour, palette.near, 0.45)
        _firs(canvas, dark, [(x, height(x) + 0.02) for x in sorted(chance.random() for _ in range(26))], depth, chance)


def _firs(canvas: Canvas, colour: Colour, feet: list[Point], depth: float, chance: random.Random) -> None:
    shapes = []
    for x, foot in feet:
        tall = chance.uniform(0.35, 1.0) ** 2 * 0.17 * (0.5 + depth)
        wide = tall * 0.34 * canvas.height / canvas.width
        for step in range(4):
            top, spread = foot - tall + tall * 0.2 * step, wide * (0.4 + 0.2 * step)
            shapes.append([(x, top), (x + spread, top + tall * 0.36), (x - spread, top + tall * 0.36)])
    canvas.shapes(shapes, colour)


def _houses(canvas: Canvas, palette: Palette, colour: Colour, base: float, depth: float, chance: random.Random) -> None:
    walls, sides, windows, x = [], [], [], -0.02
    scale = (0.6 + depth * 0.9) * canvas.unit / canvas.width * 1.6
    while x < 1.02:
        wide = chance.uniform(0.05, 0.11) * scale
        top = base - chance.uniform(0.08, 0.36) * (1.1 - 0.5 * depth)
        walls.append([(x, top), (x + wide, top), (x + wide, 1), (x, 1)])
        sides.append([(x + wide * 0.8, top), (x + wide, top), (x + wide, 1), (x + wide * 0.8, 1)])
        if chance.random() < 0.3:
            walls.append(
                [
                    (x + wide * 0.46, top - 0.07),
                    (x + wide * 0.54, top - 0.07),
                    (x + wide * 0.54, top),
                    (x + wide * 0.46, top),
                ]
            )
        windows += _panes(x, top, wide, base, chance)
        x += wide + chance.choice((0.0, 0.0, 0.012))
    canvas.shapes(walls, _misty(palette, colour, depth))
    canvas.shapes(sides, palette.light, 0.06 + 0.06 * depth)
    canvas.shapes(windows, palette.light, 0.25 + 0.5 * depth)


def _panes(x: float, top: float, wide: float, base: float, chance: random.Random) -> list[list[Point]]:
    panes, pane = [], wide / 9
    for row in range(int((base + 0.14 - top) / 0.03)):
        for column in range(4):
            if chance.random() < 0.3:
                left, upper = x + pane * (0.7 + 2 * column), top + 0.016 + row * 0.03
                panes.append([(left, upper), (left + pane, upper), (left + pane, upper + 0.014), (left, upper + 0.014)])
    return panes


def _wall(canvas: Canvas, palette: Palette, x: float) -> None:
    """Draw the back wall with its window, the floor, and the light on it."""
    canvas.gradient(mix(palette.sky[0], palette.far, 0.4), mix(palette.far, palette.sky[1], 0.35), 0.0, FLOOR)
    half = 0.17 * canvas.unit / canvas.width
    canvas.oval((x, 0.3), (0.7, 0.6), palette.light, 0.4, blur=0.2)
    frame = mix(palette.near, palette.far, 0.25)
    canvas.box((x - half * 1.12, 0.075), (x + half * 1.12, 0.545), frame)
    canvas.box(
        (x - half, 0.09),
        (x + half, 0.52),
        Blend(mix(palette.light, WHITE, 0.6), mix(palette.light, palette.sky[1], 0.5)),
    )
    canvas.curve(
        [
            (x - half, 0.52),
            (x - half * 0.9, 0.4),
            (x - half * 0.2, 0.44),
            (x + half * 0.4, 0.36),
            (x + half, 0.42),
            (x + half, 0.52),
        ],
        palette.far,
        0.5,
    )
    canvas.line([(x, 0.09), (x, 0.52)], 0.012, frame)
    canvas.line([(x - half, 0.29), (x + half, 0.29)], 0.01, frame)
    canvas.box((x - half * 1.3, 0.535), (x + half * 1.3, 0.56), mix(frame, palette.light, 0.35))
    _floor(canvas, palette)
    for pane in (-1, 0):
        left = x + pane * half
        lit = [
            (left - half * 0.9, 0.68),
            (left + half * 0.05, 0.68),
            (left - half * 0.9, 0.97),
            (left - half * 2.2, 0.97),
        ]
        canvas.shape(lit, palette.light, 0.3, blur=0.006)
    beam = [(x - half, 0.09), (x + half, 0.09), (x + half, 0.52), (x - half * 0.9, 0.97), (x - half * 3.2, 0.97)]
    canvas.shape(beam, palette.light, 0.12, blur=0.03)


def _floor(canvas: Canvas, palette: Palette) -> None:
    wood = mix(palette.far, palette.near, 0.5)
    canvas.box((0, FLOOR), (1, 1), Blend(mix(wood, palette.light, 0.22), mix(wood, SHADE, 0.35)))
    seams = []
    for n in range(-14, 15):
        near, far = 0.5 + n * 0.14, 0.5 + n * 0.055
        seams.append([(far, FLOOR), (far + 0.001, FLOOR), (near + 0.004, 1), (near, 1)])
    canvas.shapes(seams, SHADE, 0.35)
    canvas.box((0, FLOOR - 0.022), (1, FLOOR), mix(palette.near, palette.far, 0.35))


def _shelves(canvas: Canvas, palette: Palette, chance: random.Random) -> None:
    board = mix(palette.near, palette.far, 0.3)
    for y in (0.235, 0.4):
        canvas.box((0.02, y + 0.012), (0.44, y + 0.04), SHADE, 0.22)
        canvas.box((0.03, y), (0.43, y + 0.016), Blend(mix(board, palette.light, 0.25), board))
        x = 0.045
        while x < 0.4:
            wide, tall = chance.uniform(0.012, 0.03), chance.uniform(0.05, 0.125)
            tint = mix(
                mix(palette.far, chance.choice((palette.accent, palette.outfit, palette.near)), 0.55), palette.far, 0.2
            )
            canvas.box((x, y - tall), (x + wide, y), Blend(mix(tint, palette.light, 0.15), mix(tint, SHADE, 0.2)))
            x += wide + chance.choice((0.002, 0.004, 0.03))


def _counter(canvas: Canvas, palette: Palette, chance: random.Random) -> None:
    top, front = 0.56, mix(palette.far, palette.near, 0.72)
    canvas.box((0.44, FLOOR + 0.07), (1, FLOOR + 0.12), SHADE, 0.3)
    canvas.box((0.46, top), (1, FLOOR + 0.09), Blend(mix(front, palette.light, 0.1), mix(front, SHADE, 0.25)))
    for n in range(4):
        x = 0.48 + n * 0.135
        canvas.box((x, top + 0.05), (x + 0.115, FLOOR + 0.075), SHADE, 0.18)
    canvas.box((0.45, top - 0.012), (1, top + 0.022), Blend(mix(front, palette.light, 0.55), front))
    for x in (0.5, 0.57, 0.62, 0.9, 0.95):
        size = chance.uniform(0.016, 0.03)
        tall, wide = size * canvas.unit / canvas.height, size * canvas.unit / canvas.width
        tint = mix(palette.accent, palette.far, chance.uniform(0.0, 0.6))
        pot = [
            (x - wide, top - 2.2 * tall),
            (x + wide, top - 2.2 * tall),
            (x + wide * 0.8, top - 0.012),
            (x - wide * 0.8, top - 0.012),
        ]
        canvas.shape(pot, Blend(mix(tint, WHITE, 0.3), mix(tint, SHADE, 0.3)))
    for x in (0.3, 0.55):
        canvas.line([(x, 0.0), (x, 0.16)], 0.004, SHADE, 0.8)
        shade = [(x - 0.012, 0.15), (x + 0.012, 0.15), (x + 0.04, 0.21), (x - 0.04, 0.21)]
        canvas.oval((x, 0.23), (0.16, 0.16), palette.light, 0.3, blur=0.07)
        canvas.shape(shade, Blend(mix(palette.near, SHADE, 0.3), palette.near))
        canvas.oval((x, 0.21), (0.035, 0.012), mix(palette.light, WHITE, 0.6))


def ground(canvas: Canvas, palette: Palette, crest: Point, chance: random.Random) -> None:
    """Draw the ground under a distant person, highest at `crest`. A room has its floor already."""
    if palette.place == "room":
        return
    colour = mix(palette.near, palette.far, 0.18)
    if palette.place == "city":
        canvas.box((0, crest[1] - 0.035), (1, 1), Blend(mix(colour, palette.light, 0.22), mix(colour, SHADE, 0.45)))
        canvas.oval((0.7, crest[1] + 0.07), (0.3, 0.03), palette.light, 0.3, blur=0.03)
        for n in range(8):
            x = 0.03 + n * 0.135
            canvas.line([(x, crest[1] - 0.035), (x, crest[1] - 0.1)], 0.007, mix(colour, SHADE, 0.3))
        for y in (0.1, 0.072):
            canvas.line([(0, crest[1] - y), (1, crest[1] - y)], 0.006, mix(colour, SHADE, 0.3))
        return
    hill = [(n / 40, crest[1] + 0.09 * (1 - math.cos((n / 40 - crest[0]) * 3.4))) for n in range(41)]
    canvas.shape([*hill, (1, 1), (0, 1)], Blend(mix(colour, palette.light, 0.25), mix(colour, SHADE, 0.4)))
    path = [
        (crest[0] - 0.008, crest[1]),
        (crest[0] + 0.016, crest[1]),
        (crest[0] + 0.06, 0.85),
        (crest[0] + 0.22, 1),
        (crest[0] - 0.08, 1),
        (crest[0] + 0.01, 0.86),
    ]
    canvas.shape(path, mix(colour, palette.light, 0.4), 0.55, blur=0.004)
    blades = []
    for _ in range(240):
        x = chance.random()
        y = crest[1] + 0.09 * (1 - math.cos((x - crest[0]) * 3.4)) + chance.random() ** 2 * 0.2
        tall = 0.012 + (y - crest[1]) * 0.05
        blades.append([(x - 0.0012, y), (x + 0.0012, y), (x + chance.uniform(-0.004, 0.004), y - tall)])
    canvas.shapes(blades, mix(colour, palette.light, 0.35), 0.5)


def foreground(canvas: Canvas, palette: Palette, chance: random.Random) -> None:
    """Draw what is close to the camera and dark: leaves, a lamp post, the back of a chair."""
    dark = mix(palette.near, SHADE, 0.6)
    if palette.place == "city":
        canvas.line([(0.93, 1.0), (0.93, 0.12)], 0.03, dark)
        canvas.line([(0.93, 0.14), (0.9, 0.06), (0.85, 0.07)], 0.02, dark)
        canvas.oval((0.85, 0.1), (0.09, 0.09), palette.light, 0.5, blur=0.04)
        canvas.oval((0.85, 0.09), (0.03, 0.025), mix(palette.light, WHITE, 0.6))
    if palette.place == "room":
        canvas.line([(0.09, 1.0), (0.075, 0.62)], 0.035, dark)
        canvas.line([(0.0, 0.64), (0.08, 0.6), (0.16, 0.64)], 0.05, dark)
    for corner, count in (((0.02, 1.0), 14), ((0.98, 1.0), 13)):
        for _ in range(count):
            _leaf(canvas, corner, mix(dark, palette.far, chance.uniform(0, 0.22)), chance)
    canvas.blurred(0.008)


def _leaf(canvas: Canvas, root: Point, colour: Colour, chance: random.Random) -> None:
    side = 1 if root[0] < 0.5 else -1
    reach, turn = chance.uniform(0.22, 0.5) * canvas.unit, math.radians(chance.uniform(15, 88))
    dx, dy = side * math.cos(turn) * reach / canvas.width, -math.sin(turn) * reach / canvas.height
    wx, wy = -dy * 0.1 * canvas.height / canvas.width, dx * 0.1 * canvas.width / canvas.height
    x, y = root[0] + side * chance.uniform(-0.05, 0.06), root[1]
    leaf = [(x, y), (x + dx * 0.5 + wx, y + dy * 0.5 + wy), (x + dx, y + dy), (x + dx * 0.5 - wx, y + dy * 0.5 - wy)]
    canvas.curve(leaf, colour)
