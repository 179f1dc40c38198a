"""Text as people and models write it: what of it can be seen, and what no field takes."""

import unicodedata

LINE_BREAKS_AND_TABS = frozenset("\n\r\t")
DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Bidi embeddings, overrides and isolates: they reach past the text that holds them unless they are closed."""
BYTE_ORDER_MARK = "\ufeff"
EMPTY = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters, marks and symbols that are drawn as nothing."""


def is_blank(text: str) -> bool:
    """Whether nothing of a text can be seen."""
    return not any(_is_visible(character) for character in text)


def one_line(text: str) -> str:
    """A text with single spaces for line breaks and control characters; what joins or divides letters stays."""
    return " ".join("".join(map(_in_line, text)).split())


def forbidden_in(text: str) -> str | None:
    """The first character that no text takes, as U+0000: a control character but line breaks and tabs, half a pair."""
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
