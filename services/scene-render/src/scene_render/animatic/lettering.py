"""Writes in whatever script: each character in a font that has it, and none in a font that has not."""

import functools
import itertools
import unicodedata
from pathlib import Path

from PIL import ImageDraw, ImageFont

FONTS = Path(__file__).parent / "fonts"
LATIN = "Inter-SemiBold.otf"
RIGHT_TO_LEFT = ("NotoSansArabic-Regular.ttf", "NotoSansHebrew-Regular.ttf")
FACES = (
    LATIN,
    "NotoSansKR-Medium.woff2",
    "DroidSansFallbackFull.woff2",
    "NotoSansDevanagari-Regular.ttf",
    "NotoSansThai-Regular.ttf",
    *RIGHT_TO_LEFT,
)
LONGEST_TEXT = 400
NO_CHARACTER = "\U0010fffe"
PROBE_PIXELS = 32
Run = tuple[str, str]
"""The file of a font, and what is written in it."""


class Lettering:
    """Type of one size, in pixels."""

    def __init__(self, size: int) -> None:
        self.size = size

    def length(self, text: str) -> float:
        """How wide a line is, in pixels."""
        return sum(_font(face, self.size).getlength(part) for face, part in runs(text))

    def write(
        self, pen: ImageDraw.ImageDraw, start: tuple[float, float], text: str, fill: tuple[int, int, int, int]
    ) -> None:
        """Write a line that stands on its base line from `start` on."""
        x, y = start
        for face, part in runs(text):
            font = _font(face, self.size)
            pen.text((x, y), part, font=font, fill=fill, anchor="ls", stroke_width=1, stroke_fill=(0, 0, 0, 140))
            x += font.getlength(part)


def clean(text: str) -> str:
    """A text as one line, without what no font can draw."""
    kept = "".join(_kept(character) for character in text[:LONGEST_TEXT])
    return " ".join(kept.split())


def runs(text: str) -> list[Run]:
    """A clean text in pieces of one font each, in the order in which they stand from left to right."""
    if not text:
        return []
    most = max(FACES, key=lambda face: sum(_has(face, character) for character in text))
    faces: list[str] = []
    for character in text:
        # A space belongs to what is before it.
        face = faces[-1] if character == " " and faces else None
        faces.append(face or next(name for name in (most, *FACES) if _has(name, character)))
    pairs = itertools.groupby(zip(faces, text, strict=True), key=lambda pair: pair[0])
    pieces = [(face, "".join(character for _, character in group)) for face, group in pairs]
    return pieces[::-1] if faces[0] in RIGHT_TO_LEFT else pieces


def readable(text: str) -> list[Run]:
    """What can be drawn of any text, and in which fonts."""
    return runs(clean(text))


def _kept(character: str) -> str:
    if character.isspace() or unicodedata.category(character) == "Cc":
        return " "
    if unicodedata.category(character) in ("Cf", "Cs", "Co", "Cn"):
        return ""
    return character if any(_has(face, character) for face in FACES) else ""


@functools.cache
def _font(face: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(FONTS / face, size)


@functools.lru_cache(maxsize=20_000)
def _has(face: str, character: str) -> bool:
    """Whether a font can draw a character; what it draws for one that it cannot is the same for all."""
    if character == " ":
        return True
    drawn = _font(face, PROBE_PIXELS).getmask(character)
    return (drawn.size, bytes(drawn)) != _missing(face)


@functools.cache
def _missing(face: str) -> tuple[tuple[int, int], bytes]:
    drawn = _font(face, PROBE_PIXELS).getmask(NO_CHARACTER)
    return drawn.size, bytes(drawn)
