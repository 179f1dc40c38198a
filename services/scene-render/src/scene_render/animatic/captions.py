"""Words on the picture: the slate of a scene and its action, over shade and framing guides."""

from PIL import Image, ImageDraw

from scene_render.animatic.lettering import Lettering, clean
from scene_render.animatic.palette import Palette, mix
from shared.contracts.story import Scene

MOST_LINES = 3
SAFE = 0.06
"""The margin that stays free of words, as a share of the shorter side."""
WIDEST = 0.76
"""How much of the frame's width a line takes at most: longer ones are hard to read."""
CAPITALS = 0.86
"""How far below the top of a line of type its letters stand, as a share of its size."""
NARROWER = 0.96
"""By how much a paragraph is narrowed at a time while its lines are balanced."""
SPACELESS = "\u2e80"
"""From this character on, scripts put no spaces between words."""


def overlay(size: tuple[int, int], scene: Scene, scene_count: int, palette: Palette) -> Image.Image:
    """What lies still over the moving picture: a vignette, framing guides, the slate and the action."""
    sheet = Image.new("RGBA", size, (0, 0, 0, 0))
    sheet.alpha_composite(_shade(size))
    pen = ImageDraw.Draw(sheet)
    unit = min(size)
    margin = round(SAFE * unit)
    _guides(pen, size, margin)
    _slate(pen, (margin, margin), unit, scene, scene_count, palette)
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


def _slate(
    pen: ImageDraw.ImageDraw, corner: tuple[int, int], unit: int, scene: Scene, scene_count: int, palette: Palette
) -> None:
    """Which scene this is, from which angle, and how long: small, on a dark ground, beside the upper left corner."""
    text = f"SCENE {scene.scene_number}/{scene_count}  ·  {scene.camera_angle.upper()}  ·  {scene.duration:g} s"
    type_ = Lettering(round(unit * 0.031))
    pad, left, top = round(unit * 0.016), corner[0] + round(unit * 0.022), corner[1] + round(unit * 0.022)
    right, bottom = left + pad * 3 + type_.length(text), top + pad * 2 + type_.size
    pen.rounded_rectangle((left, top, right, bottom), radius=pad * 0.6, fill=(8, 10, 18, 150))
    pen.rounded_rectangle((left, top, left + pad * 0.5, bottom), radius=pad * 0.25, fill=(*palette.accent, 255))
    type_.write(pen, (left + pad * 1.6, top + pad + type_.size * CAPITALS), text, (255, 255, 255, 235))


def _action(pen: ImageDraw.ImageDraw, size: tuple[int, int], action: str, margin: int, palette: Palette) -> None:
    """What happens, in the middle above the lower edge of the safe area."""
    width, height = size
    text = clean(action)
    if not text:
        return
    type_ = Lettering(round(min(size) * 0.042))
    lines = _wrapped(text, type_, min(width - 2 * margin - round(min(size) * 0.06), WIDEST * width))
    step = round(type_.size * 1.36)
    base = height - margin - round(min(size) * 0.045) - step * (len(lines) - 1)
    white = (*mix((255, 255, 255), palette.light, 0.2), 255)
    for line in lines:
        type_.write(pen, ((width - type_.length(line)) / 2, base), line, white)
        base += step


def _wrapped(text: str, type_: Lettering, width: float) -> list[str]:
    """Lines of nearly one length, as few as will do; what does not fit in three ends in an ellipsis."""
    lines = _filled(text, type_, width)
    if len(lines) > MOST_LINES:
        return [*lines[: MOST_LINES - 1], _shortened(" ".join(lines[MOST_LINES - 1 :]), type_, width)]
    # Narrower, as long as that makes no further line: the last one is not left with a single word.
    while width > type_.size and len(narrower := _filled(text, type_, width * NARROWER)) == len(lines):
        lines, width = narrower, width * NARROWER
    return lines


def _filled(text: str, type_: Lettering, width: float) -> list[str]:
    lines = [""]
    for piece in _pieces(text, type_, width):
        together = lines[-1] + piece
        if lines[-1] and type_.length(together.rstrip()) > width:
            lines.append(piece)
        else:
            lines[-1] = together
    return [line.strip() for line in lines]


def _pieces(text: str, type_: Lettering, width: float) -> list[str]:
    """What a text may be broken between: words, or single characters where words are too long or not marked."""
    pieces: list[str] = []
    for word in text.split(" "):
        spaceless = any(character > SPACELESS for character in word)
        pieces += list(word) if spaceless or type_.length(word) > width else [word]
        pieces[-1] += " "
    return pieces


def _shortened(text: str, type_: Lettering, width: float) -> str:
    while text and type_.length(f"{text}…") > width:
        text = text[:-1].rstrip(" ,;:.–—")
    return f"{text}…"
