"""Checks of text from people and models: is it visible, and does it have characters that no field accepts."""

import unicodedata

LINE_BREAKS_AND_TABS = frozenset("\n\r\t")
DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Bidi embeddings, overrides and isolates: unless closed, they affect the text that follows."""
BYTE_ORDER_MARK = "\ufeff"
EMPTY = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters, marks and symbols without a visible glyph."""


def is_blank(text: str) -> bool:
    """Return whether a text has no visible character."""
    return not any(_is_visible(character) for character in text)


def one_line(text: str) -> str:
    """Replace line breaks and control characters by single spaces; keep characters that join or divide letters."""
    return " ".join("".join(map(_in_line, text)).split())


def forbidden_in(text: str) -> str | None:
    """Return the first forbidden character, as U+0000: an unpaired surrogate, or a control character.

    Line breaks and tabs are allowed.
    """
    for character in text:
        kind = unicodedata.category(character)
        if kind == "Cs" or (kind == "Cc" and character not in LINE_BREAKS_AND_TABS):
            return f"U+{ord(character):04X}"
    return None


def _is_visible(character: str) -> bool:
    kind = unicodedata.category(character)
    if kind[0] == "Z" or kind in ("Cc", "Cf", "Cs") or character in EMPTY:
        return False
    return not unicodedata.name(character, "").startswith(("VARIATION SELECTOR", "MONGOLIAN FREE VARIATION"))


def _in_line(character: str) -> str:
    if character in DIRECTIONS or character == BYTE_ORDER_MARK:
        return ""
    return " " if character.isspace() or unicodedata.category(character) in ("Cc", "Cs") else character
