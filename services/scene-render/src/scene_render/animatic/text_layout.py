"""Lays out text of any script with Skia: shaping, bidirectional order, line breaks."""

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
"""In characters; the rest is not drawn."""
LINE_HEIGHT = 1.36
"""The distance between two lines, as a share of the font size."""
NARROWER = 0.96
"""The factor by which a paragraph is narrowed at a time to balance its lines."""
FIRST_STRONG_ISOLATE, END_OF_ISOLATE = "\u2068", "\u2069"
"""Around a text: its first strong character determines the direction."""
ELLIPSIS = "…"
LEFT_OUT_BEFORE_ELLIPSIS = " ,;:.–—"
OUTLINE_OPACITY = 140 / 255
CLUSTER = regex.compile(r"\X")
LONE_MARKS = regex.compile(r"(?<!\S)\p{M}+")
"""Marks without a letter, under which fonts draw a dotted circle."""
UNDRAWN = regex.compile(r"[\u200B\u2060\u200E\u200F\u061C]+")
"""Break opportunities, non-breaking joiners and direction marks: invisible, but they affect the layout."""
Colour = tuple[int, int, int, int]
"""Red, green, blue and opacity, 0-255."""


@dataclass(frozen=True)
class TextBlock:
    """Text in lines, ready to draw. Sizes are in pixels."""

    paragraph: skia.textlayout.Paragraph
    size: float
    width: float

    @property
    def height(self) -> float:
        """The height of all lines."""
        return float(self.paragraph.Height)

    def draw(self, sheet: Image.Image, left: float, top: float) -> None:
        """Draw the lines on a picture, with a thin dark outline."""
        # Marks may extend beyond the lines.
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
    """Return the grapheme clusters of a text on one line, without those that the fonts cannot draw."""
    line = LONE_MARKS.sub("", one_line(unicodedata.normalize("NFC", text[:LONGEST_TEXT])))
    kept = "".join(cluster for cluster in CLUSTER.findall(line) if face_of(cluster) or UNDRAWN.fullmatch(cluster))
    return [] if is_blank(kept) else CLUSTER.findall(" ".join(kept.split()))


def line_of(text: str, size: float, colour: Colour) -> TextBlock:
    """Return a text on a single line."""
    paragraph = _paragraph(drawable(text), size, colour)
    paragraph.layout(float("inf"))
    width = paragraph.LongestLine + 1
    paragraph.layout(width)
    return TextBlock(paragraph, size, width)


def block_of(text: str, size: float, colour: Colour, width: float, most_lines: int) -> TextBlock | None:
    """Return a text in as few centred lines of similar length as possible; None if nothing of it can be drawn.

    A text that does not fit into `most_lines` ends in an ellipsis.
    """
    clusters = _fitting(drawable(text), size, width, most_lines)
    if not clusters:
        return None
    paragraph = _paragraph(clusters, size, colour)
    width = _balanced(clusters, size, width)
    paragraph.layout(width)
    return TextBlock(paragraph, size, width)


def _fitting(clusters: Sequence[str], size: float, width: float, most_lines: int) -> list[str]:
    """Return all clusters, or as many as fit with an ellipsis."""
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
    """Return the smallest width without another line, so that the last line is not left with one word."""
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
    """Return a paragraph without a width. `forced`: all lines have the same height."""
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
