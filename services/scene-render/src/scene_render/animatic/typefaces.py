"""The bundled fonts, loaded on first use and chosen for each grapheme cluster."""

import functools
import gzip
from pathlib import Path

import regex

from scene_render.animatic.skia_headless import skia

FONTS = Path(__file__).parent / "fonts"
LATIN = "Inter-SemiBold.otf"
EMOJI = "NotoColorEmoji.ttf"
SCRIPTS = (
    "Arabic Hebrew Devanagari Bengali Tamil Telugu Kannada Malayalam Gujarati Gurmukhi Oriya Sinhala Thai Lao Khmer "
    "Myanmar Javanese Balinese Sundanese Batak Buginese Georgian Armenian Ethiopic Thaana Tifinagh Math Symbols"
).split()
FACES = (
    LATIN,
    "NotoSans-Regular.ttf",
    *(f"NotoSans{script}-Regular.ttf" for script in SCRIPTS),
    "NotoSansKR-Medium.ttf",
    "DroidSansFallbackFull.ttf",
    EMOJI,
)
"""The first font with all glyphs of a cluster draws it."""

IGNORABLE = regex.compile(r"[\p{Default_Ignorable_Code_Point}--[\U000E0020-\U000E007F]]", regex.VERSION1)
"""Invisible characters, except tags, which select a flag."""
PICTURE = regex.compile(r"\p{Emoji_Presentation}|\p{Emoji}\uFE0F")
PRIVATE = regex.compile(r"\p{Co}")


@functools.cache
def typeface(face: str) -> skia.Typeface:
    """Return a bundled font."""
    return _manager().makeFromData(skia.Data.MakeWithCopy(gzip.decompress((FONTS / f"{face}.gz").read_bytes())))


@functools.cache
def _manager() -> skia.FontMgr:
    """Return a font manager without the machine's fonts."""
    return skia.FontMgr.New_Custom_Empty()


@functools.lru_cache(maxsize=20_000)
def face_of(cluster: str) -> str | None:
    """Return the font that can draw a grapheme cluster; None if there is none, or nothing to draw."""
    drawn = [ord(character) for character in IGNORABLE.sub("", cluster)]
    if not drawn or PRIVATE.match(cluster):
        return None
    faces = (EMOJI, *FACES) if PICTURE.match(cluster) else FACES
    return next((face for face in faces if all(typeface(face).unicharsToGlyphs(drawn))), None)
