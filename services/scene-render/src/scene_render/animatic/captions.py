"""Draws the captions of a scene: slate and action, over shade and framing guides."""

from PIL import Image, ImageDraw

from scene_render.animatic.palette import Palette, mix
from scene_render.animatic.text_layout import block_of, line_of
from shared.contracts.story import Scene

MOST_LINES = 3
SAFE = 0.06
"""The margin without text, as a share of the shorter side."""
WIDEST = 0.76
"""The longest line, as a share of the frame's width: longer ones are hard to read."""


def overlay(size: tuple[int, int], scene: Scene, scene_count: int, palette: Palette) -> Image.Image:
    """Return the still overlay: a vignette, framing guides, the slate and the action."""
    sheet = Image.new("RGBA", size, (0, 0, 0, 0))
    sheet.alpha_composite(_shade(size))
    pen = ImageDraw.Draw(sheet)
    margin = round(SAFE * min(size))
    _guides(pen, size, margin)
    _slate(sheet, margin, scene, scene_count, palette)
    _action(sheet, scene.action, margin, palette)
    return sheet


def _shade(size: tuple[int, int]) -> Image.Image:
    """Return darker edges and a dark background for the text at the bottom."""
    vignette = Image.radial_gradient("L").resize(size).point(lambda value: max(0, value - 130) * 0.9)
    ground = Image.linear_gradient("L").resize(size).point(lambda value: max(0, value - 140) * 1.75)
    alpha = Image.composite(ground, vignette, ground.point(lambda value: min(255, value * 4)))
    shade = Image.new("RGBA", size, (6, 8, 14, 255))
    shade.putalpha(alpha)
    return shade


def _guides(pen: ImageDraw.ImageDraw, size: tuple[int, int], margin: int) -> None:
    """Draw the corners of the safe area."""
    width, height = size
    length, pale = round(min(size) * 0.045), (255, 255, 255, 120)
    for x, right in ((margin, 1), (width - margin, -1)):
        for y, down in ((margin, 1), (height - margin, -1)):
            pen.line([(x, y), (x + right * length, y)], fill=pale, width=2)
            pen.line([(x, y), (x, y + down * length)], fill=pale, width=2)


def _slate(sheet: Image.Image, margin: int, scene: Scene, scene_count: int, palette: Palette) -> None:
    """Draw number, angle and duration of the scene at the upper left."""
    unit = min(sheet.size)
    text = f"SCENE {scene.scene_number}/{scene_count}  ·  {scene.camera_angle.upper()}  ·  {scene.duration:g} s"
    line = line_of(text, round(unit * 0.031), (255, 255, 255, 235))
    pad, left, top = round(unit * 0.016), margin + round(unit * 0.022), margin + round(unit * 0.022)
    right, bottom = left + pad * 3 + line.width, top + pad * 2 + line.size
    pen = ImageDraw.Draw(sheet)
    pen.rounded_rectangle((left, top, right, bottom), radius=pad * 0.6, fill=(8, 10, 18, 150))
    pen.rounded_rectangle((left, top, left + pad * 0.5, bottom), radius=pad * 0.25, fill=(*palette.accent, 255))
    line.draw(sheet, left + pad * 1.6, (top + bottom - line.height) / 2)


def _action(sheet: Image.Image, action: str, margin: int, palette: Palette) -> None:
    """Draw the action, centred above the lower edge of the safe area."""
    width, height = sheet.size
    unit = min(sheet.size)
    white = (*mix((255, 255, 255), palette.light, 0.2), 255)
    widest = min(width - 2 * margin - round(unit * 0.06), WIDEST * width)
    block = block_of(action, round(unit * 0.042), white, widest, MOST_LINES)
    if block:
        block.draw(sheet, (width - block.width) / 2, height - margin - round(unit * 0.03) - block.height)
