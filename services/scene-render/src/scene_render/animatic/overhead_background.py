"""Draws the place of a film from straight above."""

import math
import random

from scene_render.animatic.canvas import Blend, Canvas, Point
from scene_render.animatic.palette import Colour, Palette, mix

SHADE = (10, 9, 18)
WHITE = (255, 255, 255)
LEAVES: Colour = (66, 104, 74)
FALL: Point = (-0.045, 0.04)
"""The direction and length of shadows, in shares of the shorter side: the light is low at the upper right."""


def floor_plan(canvas: Canvas, palette: Palette, chance: random.Random) -> None:
    """Draw the ground and everything low on it."""
    match palette.place:
        case "landscape":
            _meadow(canvas, palette, chance)
        case "city":
            _square(canvas, palette, chance)
        case "room":
            _parquet(canvas, palette, chance)
    canvas.oval((0.95, 0.0), (1.0, 0.8), palette.light, 0.3, blur=0.25)
    canvas.oval((0.0, 1.0), (0.9, 0.6), SHADE, 0.3, blur=0.25)


def crowns(canvas: Canvas, palette: Palette, chance: random.Random) -> None:
    """Draw what rises high towards the camera: tree tops, lamps."""
    if palette.place == "room":
        for x, y in ((0.24, 0.16), (0.83, 0.82)):
            canvas.oval((x, y), (0.3, 0.3), palette.light, 0.28, blur=0.14)
            canvas.oval((x, y), (0.075, 0.075), mix(palette.near, palette.far, 0.3))
            canvas.oval((x, y), (0.06, 0.06), mix(palette.near, palette.far, 0.45))
            canvas.oval((x, y), (0.016, 0.016), palette.accent)
        return
    green = mix(mix(palette.near, palette.far, 0.35), LEAVES, 0.4)
    for x, y in ((0.1, 0.34), (0.22, 0.08), (0.9, 0.3), (0.82, 0.9), (0.1, 0.94)):
        _tree(canvas, (x, y), chance.uniform(0.12, 0.17), green, palette, chance)


def _shadow(canvas: Canvas, centre: Point, radius: float, reach: float = 1.0) -> None:
    dx, dy = (FALL[0] * reach * canvas.unit / canvas.width, FALL[1] * reach * canvas.unit / canvas.height)
    for step in (0.5, 1.0):
        canvas.oval((centre[0] + dx * step, centre[1] + dy * step), (radius, radius), SHADE, 0.26, blur=0.012)


def _tree(
    canvas: Canvas, centre: Point, radius: float, colour: Colour, palette: Palette, chance: random.Random
) -> None:
    _shadow(canvas, centre, radius, reach=2.2)
    for share, glow in ((1.0, 0.0), (0.72, 0.14), (0.42, 0.3)):
        leaves = []
        for n in range(22):
            turn, far = n / 22 * 2 * math.pi, radius * share * chance.uniform(0.8, 1.08)
            x = centre[0] + (far * math.cos(turn) + radius * glow * 0.5) * canvas.unit / canvas.width
            y = centre[1] + (far * math.sin(turn) - radius * glow * 0.5) * canvas.unit / canvas.height
            leaves.append((x, y))
        canvas.curve(leaves, mix(colour, palette.light, glow))


def _meadow(canvas: Canvas, palette: Palette, chance: random.Random) -> None:
    grass = mix(palette.far, palette.near, 0.42)
    canvas.gradient(mix(grass, palette.sky[1], 0.2), grass)
    canvas.grained(chance)
    for _ in range(40):
        spot, size = (chance.random(), chance.random()), chance.uniform(0.03, 0.12)
        canvas.oval(spot, (size, size * 0.8), mix(grass, palette.near, 0.5), 0.25, blur=0.03)
    path = [(0.24 + 0.09 * math.sin(n / 2.4), 1.05 - n * 0.1) for n in range(12)]
    path = [(x + n * 0.035, y) for n, (x, y) in enumerate(path)]
    canvas.line(path, 0.23, SHADE, 0.16)
    canvas.line(path, 0.21, mix(palette.sky[1], palette.far, 0.3))
    canvas.line(path, 0.12, mix(palette.sky[1], palette.light, 0.3), 0.4)
    tufts = [((chance.random(), chance.random()), chance.uniform(0.002, 0.006)) for _ in range(260)]
    canvas.ovals(tufts, mix(grass, palette.light, 0.45), 0.6)
    for _ in range(14):
        spot, size = (chance.random(), chance.random()), chance.uniform(0.014, 0.04)
        _shadow(canvas, spot, size, reach=size * 14)
        canvas.oval(spot, (size, size * 0.85), mix(palette.far, SHADE, 0.15))
        canvas.oval(
            (spot[0] + size * 0.15, spot[1] - size * 0.2),
            (size * 0.6, size * 0.45),
            mix(palette.far, WHITE, 0.25),
            0.7,
            0.004,
        )


def _square(canvas: Canvas, palette: Palette, chance: random.Random) -> None:
    stone = mix(palette.far, palette.near, 0.45)
    canvas.gradient(mix(stone, SHADE, 0.3), mix(stone, SHADE, 0.4))
    tile = 0.125 * canvas.unit
    across, down = round(canvas.width / tile), round(canvas.height / tile)
    for n in range(across):
        for m in range(down):
            tint = mix(stone, palette.sky[1], chance.uniform(0.02, 0.16))
            gap = 0.004
            canvas.box(
                (n / across, m / down),
                (
                    (n + 1) / across - gap * canvas.unit / canvas.width,
                    (m + 1) / down - gap * canvas.unit / canvas.height,
                ),
                tint,
            )
    canvas.grained(chance)
    road = mix(palette.near, SHADE, 0.35)
    canvas.box((0, 0), (1, 0.3), Blend(road, mix(road, palette.far, 0.12)))
    canvas.box((0, 0.3), (1, 0.315), mix(stone, palette.light, 0.35))
    bars = []
    for n in range(7):
        x = 0.36 + n * 0.048
        bars.append([(x, 0), (x + 0.026, 0), (x + 0.026, 0.28), (x, 0.28)])
    canvas.shapes(bars, mix(palette.light, palette.far, 0.2), 0.75)
    for x, y in ((0.14, 0.42), (0.86, 0.5), (0.3, 0.88)):
        _shadow(canvas, (x, y), 0.03, reach=2.5)
        canvas.oval((x, y), (0.2, 0.2), palette.light, 0.28, blur=0.1)
        canvas.oval((x, y), (0.03, 0.03), mix(palette.light, WHITE, 0.5))
    _car(canvas, palette, (0.81, 0.19))


def _car(canvas: Canvas, palette: Palette, centre: Point) -> None:
    x, y = centre
    wide, high = 0.21 * canvas.unit / canvas.width, 0.07 * canvas.unit / canvas.height

    def body(share: float, shift: float = 0.0) -> list[Point]:
        corners = ((-1, -0.7), (-0.8, -1), (0.75, -1), (1, -0.6), (1, 0.6), (0.75, 1), (-0.8, 1), (-1, 0.7))
        return [(x + dx * wide * share + shift * wide, y + dy * high * min(1.0, share + 0.2)) for dx, dy in corners]

    canvas.oval((x - 0.02, y + 0.035), (0.22, 0.09), SHADE, 0.4, blur=0.02)
    canvas.curve(body(1.0), Blend(mix(palette.outfit, WHITE, 0.2), mix(palette.outfit, SHADE, 0.25)))
    canvas.curve(body(0.62, -0.08), mix(palette.near, SHADE, 0.5))
    canvas.curve(body(0.44, -0.1), mix(palette.outfit, WHITE, 0.12))


def _parquet(canvas: Canvas, palette: Palette, chance: random.Random) -> None:
    wood = mix(palette.far, palette.near, 0.42)
    canvas.gradient(mix(wood, SHADE, 0.35), mix(wood, SHADE, 0.4))
    rows = max(8, round(canvas.height / (0.095 * canvas.unit)))
    for row in range(rows):
        x = -chance.uniform(0, 0.3)
        while x < 1:
            wide = chance.uniform(0.25, 0.45)
            tint = mix(mix(wood, palette.light, chance.uniform(0.02, 0.2)), SHADE, chance.uniform(0, 0.1))
            canvas.box((x, row / rows), (x + wide - 0.003, (row + 0.96) / rows), tint)
            x += wide
    canvas.grained(chance)
    for radius, colour in (
        (0.42, mix(palette.outfit, SHADE, 0.35)),
        (0.4, mix(palette.outfit, palette.far, 0.35)),
        (0.33, mix(palette.light, palette.far, 0.35)),
        (0.31, mix(palette.outfit, palette.far, 0.5)),
        (0.16, mix(palette.light, palette.far, 0.45)),
        (0.145, mix(palette.outfit, palette.far, 0.35)),
    ):
        canvas.oval((0.47, 0.5), (radius, radius), colour)
    _table(canvas, palette, (0.82, 0.28))
    _table(canvas, palette, (0.12, 0.66))


def _table(canvas: Canvas, palette: Palette, centre: Point) -> None:
    x, y = centre
    across, down = canvas.unit / canvas.width, canvas.unit / canvas.height
    for dx, dy in ((-0.24, 0.02), (0.22, 0.1)):
        seat = (x + dx * across, y + dy * down)
        _shadow(canvas, seat, 0.075)
        canvas.oval(seat, (0.075, 0.075), mix(palette.near, palette.accent, 0.2))
        canvas.oval(seat, (0.06, 0.06), mix(palette.near, palette.accent, 0.35))
    _shadow(canvas, centre, 0.19, reach=1.6)
    canvas.oval(centre, (0.19, 0.19), mix(palette.near, palette.far, 0.45))
    canvas.oval(
        centre, (0.182, 0.182), Blend(mix(palette.far, palette.light, 0.4), mix(palette.far, palette.near, 0.2))
    )
    for dx, dy in ((-0.07, -0.05), (0.07, 0.05)):
        cup = (x + dx * across, y + dy * down)
        _shadow(canvas, cup, 0.045, reach=0.35)
        for radius, colour in (
            (0.048, mix(palette.accent, WHITE, 0.6)),
            (0.03, WHITE),
            (0.023, mix(palette.near, SHADE, 0.2)),
        ):
            canvas.oval(cup, (radius, radius), colour)
