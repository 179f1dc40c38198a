"""Where a scene plays: landscape, city or room, in layers from far to near; from above; and through our own eyes."""

import math
import random

from scene_render.animatic.canvas import Canvas, Point
from scene_render.animatic.palette import Palette, mix

HORIZON = 0.62


def backdrop(canvas: Canvas, palette: Palette, chance: random.Random) -> None:
    """What is farthest away: the sky with its light, or the back wall with its window."""
    canvas.gradient(palette.sky[0], palette.sky[1], 0.0, HORIZON)
    x, y = chance.uniform(0.62, 0.78), chance.uniform(0.2, 0.32)
    if palette.place == "room":
        _window(canvas, palette, x)
        return
    for radius, opacity in ((0.5, 0.18), (0.28, 0.25), (0.15, 0.4)):
        canvas.oval((x, y), (radius, radius), palette.light, opacity, blur=radius / 2)
    canvas.oval((x, y), (0.055, 0.055), mix(palette.light, (255, 255, 255), 0.5))
    for _ in range(7):
        cloud = (chance.random(), chance.uniform(0.08, 0.42))
        size = (chance.uniform(0.12, 0.3), chance.uniform(0.012, 0.03))
        canvas.oval(cloud, size, mix(palette.sky[1], (255, 255, 255), 0.4), 0.35, blur=0.018)


def _window(canvas: Canvas, palette: Palette, x: float) -> None:
    canvas.gradient(mix(palette.sky[0], palette.far, 0.35), mix(palette.far, palette.near, 0.25))
    half = 0.15 * canvas.unit / canvas.width
    canvas.oval((x, 0.32), (0.55, 0.5), palette.light, 0.35, blur=0.18)
    canvas.shape([(x - half, 0.1), (x + half, 0.1), (x + half, 0.52), (x - half, 0.52)], palette.light)
    frame = mix(palette.near, palette.far, 0.2)
    for a, b in (((x, 0.1), (x, 0.52)), ((x - half, 0.31), (x + half, 0.31))):
        canvas.line([a, b], 0.012, frame)
    box = [(x - half, 0.1), (x + half, 0.1), (x + half, 0.52), (x - half, 0.52), (x - half, 0.1)]
    canvas.line(box, 0.02, frame)
    beam = [(x - half, 0.1), (x + half, 0.52), (x - half * 2.5, 1.0), (x - half * 6, 1.0)]
    canvas.shape(beam, palette.light, 0.12)


def ridge(canvas: Canvas, palette: Palette, depth: float, chance: random.Random) -> None:
    """One layer of the place; `depth` 0 is far, 1 is near. Farther layers lie higher and paler."""
    colour = mix(mix(palette.far, palette.sky[1], 0.45), palette.near, depth)
    base = HORIZON - 0.08 + 0.24 * depth
    match palette.place:
        case "landscape":
            _hills(canvas, colour, base, depth, chance)
            if depth > 0.3:
                _trees(canvas, mix(colour, palette.near, 0.35), base, depth, chance)
        case "city":
            _houses(canvas, colour, palette, base, depth, chance)
        case "room":
            _furniture(canvas, colour, palette, base, depth, chance)
    canvas.veil(palette.sky[1], 0.0, 0.34 * (1 - depth))


def _hills(canvas: Canvas, colour: tuple[int, int, int], base: float, depth: float, chance: random.Random) -> None:
    waves = [(chance.uniform(1.5, 5) * (n + 1), chance.uniform(0, 6.3), 0.09 / (n + 1)) for n in range(4)]
    steep = 1.3 - depth

    def height(x: float) -> float:
        return base - steep * sum(size * math.sin(speed * x + begin) for speed, begin, size in waves)

    points: list[Point] = [(x / 80, height(x / 80)) for x in range(81)]
    canvas.shape([*points, (1, 1.2), (0, 1.2)], colour)


def _trees(canvas: Canvas, colour: tuple[int, int, int], base: float, depth: float, chance: random.Random) -> None:
    shapes = []
    for _ in range(round(6 + 8 * (1 - depth))):
        x, tall = chance.random(), chance.uniform(0.1, 0.2) * (0.5 + depth)
        wide, foot = tall * 0.28 * canvas.unit / canvas.width * 1.6, base + chance.uniform(0.0, 0.12)
        for step in range(3):
            top = foot - tall + tall * 0.24 * step
            spread = wide * (0.55 + 0.25 * step)
            shapes.append([(x, top), (x + spread, top + tall * 0.42), (x - spread, top + tall * 0.42)])
        shapes.append([(x - wide * 0.12, foot - tall * 0.2), (x + wide * 0.12, foot - tall * 0.2), (x, foot + 0.05)])
    canvas.shapes(shapes, colour)


def _houses(
    canvas: Canvas,
    colour: tuple[int, int, int],
    palette: Palette,
    base: float,
    depth: float,
    chance: random.Random,
) -> None:
    walls, windows, x = [], [], -0.02
    while x < 1.02:
        wide = chance.uniform(0.045, 0.11) * (0.6 + depth * 0.9) * canvas.unit / canvas.width * 1.6
        top = base - chance.uniform(0.08, 0.36) * (1.1 - 0.55 * depth)
        walls.append([(x, top), (x + wide, top), (x + wide, 1.1), (x, 1.1)])
        if chance.random() < 0.4:
            walls.append([(x, top), (x + wide / 2, top - 0.04), (x + wide, top)])
        pane, rows = wide / 7, int((base + 0.18 - top) / 0.032)
        for row in range(rows):
            for column in range(3):
                if chance.random() < 0.3:
                    left, upper = x + pane + column * 2 * pane, top + 0.018 + row * 0.032
                    windows.append(
                        [(left, upper), (left + pane, upper), (left + pane, upper + 0.014), (left, upper + 0.014)]
                    )
        x += wide + chance.choice((0.0, 0.0, 0.012))
    canvas.shapes(walls, colour)
    if windows:
        canvas.shapes(windows, palette.light, 0.3 + 0.5 * depth)
    if depth > 0.6:
        canvas.shape([(0, base + 0.14), (1, base + 0.14), (1, 1.1), (0, 1.1)], mix(colour, palette.near, 0.5))


def _furniture(
    canvas: Canvas,
    colour: tuple[int, int, int],
    palette: Palette,
    base: float,
    depth: float,
    chance: random.Random,
) -> None:
    if depth < 0.35:
        for row in range(2):
            y = 0.24 + row * 0.17
            canvas.shape([(0.03, y), (0.42, y), (0.42, y + 0.012), (0.03, y + 0.012)], colour)
            for n in range(7):
                x, tall = 0.06 + n * 0.05 + chance.uniform(-0.01, 0.01), chance.uniform(0.05, 0.12)
                wide = chance.uniform(0.012, 0.02)
                tint = mix(colour, palette.accent, chance.uniform(0.1, 0.6))
                canvas.shape([(x - wide, y - tall), (x + wide, y - tall), (x + wide, y), (x - wide, y)], tint)
        return
    top = base + 0.06
    canvas.shape([(0, top), (1, top), (1, 1.1), (0, 1.1)], colour)
    canvas.shape([(0, top), (1, top), (1, top + 0.018), (0, top + 0.018)], mix(colour, palette.light, 0.25))
    for _ in range(6):
        x, size = chance.random(), chance.uniform(0.025, 0.05)
        tint = mix(colour, palette.accent, chance.uniform(0.2, 0.7))
        y = top - size * 0.6 * canvas.unit / canvas.height
        canvas.oval((x, y), (size, size * 0.8), tint)
        canvas.oval(
            (x - size * 0.1, y - 0.01), (size * 0.5, size * 0.25), mix(tint, palette.light, 0.5), 0.5, blur=0.008
        )


def ground_from_above(canvas: Canvas, palette: Palette, chance: random.Random) -> None:
    """The floor or the ground, looked straight down at."""
    ground = mix(palette.far, palette.near, 0.45)
    canvas.gradient(mix(ground, palette.sky[1], 0.25), mix(ground, palette.near, 0.35))
    aspect = canvas.width / canvas.height
    match palette.place:
        case "landscape":
            for _ in range(26):
                spot = (chance.random(), chance.random())
                size = chance.uniform(0.03, 0.09)
                canvas.oval(spot, (size * 1.15, size * 1.15), palette.near, 0.35, blur=0.012)
                canvas.oval(spot, (size, size), mix(ground, palette.near, chance.uniform(0.3, 0.8)))
                canvas.oval(
                    (spot[0] - 0.008, spot[1] - 0.01), (size * 0.55, size * 0.55), palette.light, 0.12, blur=0.01
                )
            path = [(n / 30 - 0.02, 0.52 + 0.16 * math.sin(n / 5 + 1)) for n in range(33)]
            canvas.line(path, 0.17, mix(palette.sky[1], palette.far, 0.35))
        case "city":
            for n in range(9):
                for m in range(6):
                    tile = mix(ground, palette.sky[1], chance.uniform(0.0, 0.22))
                    x, y, w, h = n / 9, m / 6, 1 / 9 - 0.006, 1 / 6 - 0.006 * aspect
                    canvas.shape([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], tile)
            for n in range(7):
                x = 0.08 + n * 0.13
                canvas.shape([(x, 0.02), (x + 0.06, 0.02), (x + 0.06, 0.2), (x, 0.2)], palette.light, 0.4)
        case "room":
            for n in range(12):
                plank = mix(ground, palette.light, chance.uniform(0.0, 0.14))
                canvas.shape([(0, n / 12), (1, n / 12), (1, (n + 1) / 12 - 0.004), (0, (n + 1) / 12 - 0.004)], plank)
            canvas.oval((0.5, 0.55), (0.5, 0.4), palette.outfit, 0.55)
            canvas.oval((0.5, 0.55), (0.43, 0.34), mix(palette.outfit, palette.light, 0.4), 0.6)
            canvas.oval((0.5, 0.55), (0.37, 0.29), palette.outfit, 0.7)
    canvas.oval((0.2, 0.1), (0.7, 0.6), palette.light, 0.22, blur=0.2)


def way_ahead(canvas: Canvas, palette: Palette, chance: random.Random) -> None:
    """The way before our own feet: everything runs to one point on the horizon."""
    canvas.gradient(palette.sky[0], palette.sky[1], 0.0, 0.5)
    vanish = (0.5, 0.46)
    canvas.oval(vanish, (0.45, 0.45), palette.light, 0.45, blur=0.16)
    canvas.oval(vanish, (0.09, 0.09), mix(palette.light, (255, 255, 255), 0.6), 0.9, blur=0.03)
    ground = mix(palette.far, palette.near, 0.55)
    canvas.shape([(0, 0.47), (1, 0.47), (1, 1), (0, 1)], ground)
    canvas.shape(
        [(vanish[0] - 0.01, 0.47), (vanish[0] + 0.01, 0.47), (0.86, 1), (0.14, 1)], mix(ground, palette.sky[1], 0.25)
    )
    for n in range(1, 9):
        far, near = 0.47 + 0.53 * (n / 9) ** 2.2, 0.47 + 0.53 * ((n + 0.45) / 9) ** 2.2
        half_far, half_near = 0.012 * (n / 9) ** 2.2, 0.012 * ((n + 0.45) / 9) ** 2.2
        dash = [(0.5 - half_far, far), (0.5 + half_far, far), (0.5 + half_near, near), (0.5 - half_near, near)]
        canvas.shape(dash, palette.light, 0.55)
    for side in (-1, 1):
        for n in range(7):
            near = 1.5 * 0.62**n
            x, wide = 0.5 + side * near * 0.52, near * 0.17
            tall = near * chance.uniform(0.35, 0.75)
            colour = mix(mix(palette.near, palette.far, 0.15 + n * 0.1), palette.sky[1], n * 0.08)
            foot, outer = 0.47 + near * 0.2, x + side * wide
            if palette.place == "landscape":
                crown = (x + side * wide / 2, foot - tall * 0.75)
                canvas.line([(crown[0], foot), crown], 0.028 * near, mix(colour, (0, 0, 0), 0.25))
                canvas.oval(crown, (near * 0.16, near * 0.22), colour)
            else:
                inner_top = vanish[1] - (foot - vanish[1]) * 0.9 - tall * 0.35
                outer_top = inner_top - tall * 0.18
                canvas.shape([(x, foot), (x, inner_top), (outer, outer_top), (outer, foot + near * 0.06)], colour)
