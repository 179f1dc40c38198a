"""Lays out text of any script with Skia: shaping, the order of mixed directions, line breaks by the script's rules."""

import itertools
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import regex
from PIL import Image, ImageFilter

from scene_render.animatic.skia_headless import skia
from scene_render.animatic.typefaces import LATIN, face_of, typeface
from shared.contracts.text import is_blank, one_line

LONGEST_TEXT = 400
"""In characters; what follows is not drawn."""
LINE_HEIGHT = 1.36
"""The least distance from one line to the next, as a share of the size."""
NARROWER = 0.96
"""By how much a paragraph is narrowed at a time while its lines are balanced."""
FIRST_STRONG_ISOLATE, END_OF_ISOLATE = "\u2068", "\u2069"
"""Around a text: its first letter with a direction decides the direction of the whole."""
ELLIPSIS = "…"
LEFT_OUT_BEFORE_ELLIPSIS = " ,;:.–—"
OUTLINE_OPACITY = 140 / 255
CLUSTER = regex.compile(r"\X")
LONE_MARKS = regex.compile(r"(?<!\S)\p{M}+")
"""Marks of no letter: fonts draw a dotted circle under them."""
UNDRAWN = regex.compile(r"[\u200B\u2060\u200E\u200F\u061C]+")
"""Break opportunities, their opposite, and direction marks: they draw nothing and change how others are laid out."""
Colour = tuple[int, int, int, int]
"""Red, green, blue and opacity, each up to 255."""


@dataclass(frozen=True)
class TextBlock:
    """Text in lines, ready to be drawn. Sizes are in pixels."""

    paragraph: skia.textlayout.Paragraph
    size: float
    width: float

    @property
    def height(self) -> float:
        """The height of all lines."""
        return float(self.paragraph.Height)

    def draw(self, sheet: Image.Image, left: float, top: float) -> None:
        """Draw the lines over a picture, with a thin dark outline."""
        # Marks above and below letters reach out of the lines.
        edge = round(self.size)
        surface = skia.Surface(round(self.width) + 2 * edge, round(self.height) + 2 * edge)
        surface.getCanvas().translate(edge, edge)
        self.paragraph.paint(surface.getCanvas(), 0, 0)
        pixels = surface.makeImageSnapshot().toarray(colorType=skia.kRGBA_8888_ColorType)
        letters = Image.fromarray(pixels)
        outline = letters.getchannel("A").filter(ImageFilter.MaxFilter(3))
        ground = Image.new("RGBA", letters.size, (0, 0, 0, 255))
        ground.putalpha(outline.point(lambda value: round(value * OUTLINE_OPACITY)))
        ground.alpha_composite(letters)
        sheet.alpha_composite(ground, (round(left) - edge, round(top) - edge))


def drawable(text: str) -> list[str]:
    """The grapheme clusters of a text that the fonts can draw, on one line; the others are left out whole."""
    line = LONE_MARKS.sub("", one_line(unicodedata.normalize("NFC", text[:LONGEST_TEXT])))
    kept = "".join(cluster for cluster in CLUSTER.findall(line) if face_of(cluster) or UNDRAWN.fullmatch(cluster))
    return [] if is_blank(kept) else CLUSTER.findall(" ".join(kept.split()))


def line_of(text: str, size: float, colour: Colour) -> TextBlock:
    """A text on a single line."""
    paragraph = _paragraph(drawable(text), size, colour)
    paragraph.layout(float("inf"))
    width = paragraph.LongestLine + 1
    paragraph.layout(width)
    return TextBlock(paragraph, size, width)


def block_of(text: str, size: float, colour: Colour, width: float, most_lines: int) -> TextBlock | None:
    """A text in centred lines of nearly one length, as few as will do; None if nothing of it can be drawn.

    What does not fit in `most_lines` ends in an ellipsis.
    """
    clusters = _fitting(drawable(text), size, width, most_lines)
    if not clusters:
        return None
    paragraph = _paragraph(clusters, size, colour)
    width = _balanced(clusters, size, width)
    paragraph.layout(width)
    return TextBlock(paragraph, size, width)


def _fitting(clusters: Sequence[str], size: float, width: float, most_lines: int) -> list[str]:
    """All clusters, or as many as fit together with an ellipsis."""
    if _line_count(clusters, size, width) <= most_lines:
        return list(clusters)
    fit, too_many = 0, len(clusters)
    while too_many - fit > 1:
        middle = (fit + too_many) // 2
        if _line_count(_shortened(clusters, middle), size, width) <= most_lines:
            fit = middle
        else:
            too_many = middle
    return _shortened(clusters, fit)


def _shortened(clusters: Sequence[str], count: int) -> list[str]:
    kept = list(clusters[:count])
    while kept and kept[-1] in LEFT_OUT_BEFORE_ELLIPSIS:
        kept.pop()
    return [*kept, ELLIPSIS]


def _balanced(clusters: Sequence[str], size: float, width: float) -> float:
    """The least width at which there is no line more: the last one is not left with a single word."""
    ruled = _paragraph(clusters, size, forced=True)
    ruled.layout(width)
    height, longest_word = ruled.Height, ruled.MinIntrinsicWidth
    while width * NARROWER > longest_word:
        ruled.layout(width * NARROWER)
        if ruled.Height > height:
            break
        width *= NARROWER
    return width


def _line_count(clusters: Sequence[str], size: float, width: float) -> int:
    ruled = _paragraph(clusters, size, forced=True)
    ruled.layout(width)
    return round(float(ruled.Height) / (LINE_HEIGHT * size))


def _paragraph(
    clusters: Sequence[str], size: float, colour: Colour = (255, 255, 255, 255), *, forced: bool = False
) -> skia.textlayout.Paragraph:
    """A paragraph that has no width yet; with `forced` all lines are equally high, whatever they hold."""
    faces = [face_of(cluster) or LATIN for cluster in clusters]
    provider = skia.textlayout.TypefaceFontProvider()
    for face in {LATIN, *faces}:
        provider.registerTypeface(typeface(face), face)
    fonts = skia.textlayout.FontCollection()
    fonts.setDefaultFontManager(provider)
    style = skia.textlayout.ParagraphStyle()
    style.setTextAlign(skia.textlayout.TextAlign.kCenter)
    style.setStrutStyle(_strut(size, forced=forced))
    style.setTextStyle(_style(LATIN, size, colour))
    builder = skia.textlayout.ParagraphBuilder.make(style, fonts, skia.Unicode.ICU_Make())
    builder.addText(FIRST_STRONG_ISOLATE)
    for face, run in itertools.groupby(zip(faces, clusters, strict=True), key=lambda pair: pair[0]):
        builder.pushStyle(_style(face, size, colour))
        builder.addText("".join(cluster for _, cluster in run))
        builder.pop()
    builder.addText(END_OF_ISOLATE)
    return builder.Build()


def _style(face: str, size: float, colour: Colour) -> skia.textlayout.TextStyle:
    style = skia.textlayout.TextStyle()
    style.setFontFamilies([face])
    style.setFontSize(size)
    style.setColor(skia.Color(*colour))
    return style


def _strut(size: float, *, forced: bool) -> skia.textlayout.StrutStyle:
    strut = skia.textlayout.StrutStyle()
    strut.setStrutEnabled(True)
    strut.setFontFamilies([LATIN])
    strut.setFontSize(size)
    strut.setHeightOverride(True)
    strut.setHeight(LINE_HEIGHT)
    strut.setForceStrutHeight(forced)
    return strut
