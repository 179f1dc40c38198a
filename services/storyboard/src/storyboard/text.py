"""Prepares text of people and models for display and for length limits."""

import regex

from shared.contracts.text import one_line

CLUSTER = regex.compile(r"\X")


def flat(text: str) -> str:
    """Return one line with single spaces and without control characters, except joiners of letters and emoji."""
    return one_line(text)


def cut(text: str, longest: int) -> str:
    """Cut a text to `longest` characters, between words or grapheme clusters, and end it with an ellipsis."""
    if len(text) <= longest:
        return text
    head = _whole_clusters(text, longest - 1)
    words = head.rpartition(" ")[0]
    return (words if len(words) > longest // 2 else head).rstrip(" ,;:.-–—") + "…"


def capitalised(text: str) -> str:
    """Return a text with a capital first letter, if its script has capitals.

    By title case: in Georgian, upper case is only for words in capitals.
    """
    first = text[:1].title()
    return first + text[1:] if len(first) == 1 else text


def _whole_clusters(text: str, longest: int) -> str:
    end = 0
    for cluster in CLUSTER.finditer(text):
        if cluster.end() > longest:
            break
        end = cluster.end()
    # A single cluster may exceed any limit.
    return text[: end or longest]


def units(text: str) -> int:
    """Return the length in UTF-16 code units, as JavaScript counts it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut_units(text: str, longest: int) -> str:
    """Cut a text to `longest` UTF-16 code units, like `cut`."""
    short = cut(text, longest)
    while units(short) > longest:
        short = cut(text, len(short) - 1)
    return short
