"""Text as it comes from people and models, made fit to be shown and counted."""

import regex

from shared.contracts.text import one_line

CLUSTER = regex.compile(r"\X")


def flat(text: str) -> str:
    """One line, single spaces, no control characters; what joins letters and emoji stays."""
    return one_line(text)


def cut(text: str, longest: int) -> str:
    """At most so many characters, cut at a word, or else between grapheme clusters, and closed with an ellipsis."""
    if len(text) <= longest:
        return text
    head = _whole_clusters(text, longest - 1)
    words = head.rpartition(" ")[0]
    return (words if len(words) > longest // 2 else head).rstrip(" ,;:.-–—") + "…"


def capitalised(text: str) -> str:
    """A text that begins with a capital, where its script has them.

    Title case is what begins a sentence: upper case of a Georgian letter is for whole words in capitals alone.
    """
    first = text[:1].title()
    return first + text[1:] if len(first) == 1 else text


def _whole_clusters(text: str, longest: int) -> str:
    end = 0
    for cluster in CLUSTER.finditer(text):
        if cluster.end() > longest:
            break
        end = cluster.end()
    # A single cluster can be as long as it likes.
    return text[: end or longest]


def units(text: str) -> int:
    """The length in UTF-16 code units, as providers written in JavaScript count it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut_units(text: str, longest: int) -> str:
    """At most so many UTF-16 code units, cut like `cut`."""
    short = cut(text, longest)
    while units(short) > longest:
        short = cut(text, len(short) - 1)
    return short
