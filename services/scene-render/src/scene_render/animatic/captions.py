"""Words on the picture: the slate of a scene and its action, in whatever script they are written."""

import functools
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from scene_render.animatic.palette import Palette, mix
from shared.contracts.story import Scene

FONTS = Path(__file__).parent / "fonts"
FACES = (
    "Inter-SemiBold.otf",
    "DroidSansFallbackFull.ttf",
    "NotoSansArabic-Regular.ttf",
    "NotoSansDevanagari-Regular.ttf",
    "NotoSansThai-Regular.ttf",
    "NotoSansHebrew-Regular.ttf",
)
MOST_LINES = 3
LONGEST_TEXT = 400
SAFE = 0.06
"""The margin that stays free of words, as a share of the shorter side."""


@functools.cache
def _font(face: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONTS / face, size)


@functools.cache
def _has(face: str, character: str) -> bool:
    """Whether a font can draw a character; what it draws for one it cannot is the same for all."""
    font = _font(face, 32)
    missing, drawn = font.getmask("\U0010fffe"), font.getmask(character)
    return (drawn.size, bytes(drawn)) != (missing.size, bytes(missing))


def readable(text: str) -> tuple[str, str]:
    """The font that can draw most of a text, and the text without what that font cannot draw."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text[:LONGEST_TEXT]).split())
    face = max(FACES, key=lambda name: sum(_has(name, c) for c in set(flat)))
    return face, " ".join("".join(c for c in flat if c == " " or _has(face, c)).split())


def overlay(size: tuple[int, int], scene: Scene, scene_count: int, palette: Palette) -> Image.Image:
    """What lies still over the moving picture: a vignette, framing guides, the slate and the action."""
    sheet = Image.new("RGBA", size, (0, 0, 0, 0))
    sheet.alpha_composite(_shade(size))
    pen = ImageDraw.Draw(sheet)
    unit = min(size)
    margin = round(SAFE * unit)
    _guides(pen, size, margin)
    seconds = f"{scene.duration:g} s"
    slate = f"SCENE {scene.scene_number}/{scene_count}  ·  {scene.camera_angle.upper()}  ·  {seconds}"
    font = _font(FACES[0], round(unit * 0.028))
    top = margin + round(unit * 0.022)
    pen.rectangle((margin + unit * 0.022, top, margin + unit * 0.028, top + unit * 0.036), fill=(*palette.accent, 255))
    pen.text((margin + unit * 0.042, top), slate, font=font, fill=(255, 255, 255, 225))
    _action(pen, size, scene.action, margin, palette)
    return sheet


def _shade(size: tuple[int, int]) -> Image.Image:
    """Darker edges, and a dark ground behind the words at the lower edge."""
    vignette = Image.radial_gradient("L").resize(size).point(lambda value: max(0, value - 130) * 0.9)
    ground = Image.linear_gradient("L").resize(size).point(lambda value: max(0, value - 140) * 1.75)
    alpha = Image.composite(ground, vignette, ground.point(lambda value: min(255, value * 4)))
    shade = Image.new("RGBA", size, (6, 8, 14, 255))
    shade.putalpha(alpha)
    return shade


def _guides(pen: ImageDraw.ImageDraw, size: tuple[int, int], margin: int) -> None:
    """The corners of the safe area, and the middle of the frame."""
    width, height = size
    length, pale = round(min(size) * 0.045), (255, 255, 255, 120)
    for x, right in ((margin, 1), (width - margin, -1)):
        for y, down in ((margin, 1), (height - margin, -1)):
            pen.line([(x, y), (x + right * length, y)], fill=pale, width=2)
            pen.line([(x, y), (x, y + down * length)], fill=pale, width=2)
    cx, cy, arm = width // 2, height // 2, round(min(size) * 0.012)
    pen.line([(cx - arm, cy), (cx + arm, cy)], fill=(255, 255, 255, 70), width=1)
    pen.line([(cx, cy - arm), (cx, cy + arm)], fill=(255, 255, 255, 70), width=1)


def _action(pen: ImageDraw.ImageDraw, size: tuple[int, int], action: str, margin: int, palette: Palette) -> None:
    width, height = size
    face, text = readable(action)
    if not text:
        return
    font = _font(face, round(min(size) * 0.042))
    lines = _wrapped(text, font, width - 2 * margin - round(min(size) * 0.06))
    step = round(font.size * 1.32)
    y = height - margin - round(min(size) * 0.03) - step * len(lines)
    white = (*mix((255, 255, 255), palette.light, 0.25), 255)
    for line in lines:
        x = (width - font.getlength(line)) / 2
        pen.text((x, y), line, font=font, fill=white, stroke_width=1, stroke_fill=(0, 0, 0, 150))
        y += step


def _wrapped(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Lines of nearly one length, as few as will do; what does not fit in three ends in an ellipsis."""
    lines = _filled(text, font, width)
    if len(lines) > MOST_LINES:
        return [*lines[: MOST_LINES - 1], _shortened(" ".join(lines[MOST_LINES - 1 :]), font, width)]
    # Narrower, as long as that makes no further line: the last one is not left with a single word.
    while width > font.size and len(narrower := _filled(text, font, width * 0.94)) == len(lines):
        lines, width = narrower, width * 0.94
    return lines


def _filled(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    lines = [""]
    for word in _words(text, font, width):
        together = f"{lines[-1]}{word}"
        if lines[-1] and font.getlength(together.rstrip()) > width:
            lines.append(word)
        else:
            lines[-1] = together
    return [line.strip() for line in lines]


def _words(text: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """The pieces a text may be broken between: words, or single characters where words are too long or unknown."""
    pieces: list[str] = []
    for word in text.split(" "):
        spaceless = any(c > "\u2e80" for c in word)
        pieces += list(word) if spaceless or font.getlength(word) > width else [word]
        pieces[-1] += " "
    return pieces


def _shortened(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1].rstrip()
    return f"{text}…"
