"""Text as it comes from people and models, made fit to be shown and counted."""


def flat(text: str) -> str:
    """One line, single spaces, nothing that does not print."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def cut(text: str, longest: int) -> str:
    """At most so many characters, cut at a word and closed with an ellipsis."""
    if len(text) <= longest:
        return text
    head = text[: longest - 1]
    words = head.rpartition(" ")[0]
    return (words if len(words) > longest // 2 else head).rstrip(" ,;:.-–—") + "…"


def units(text: str) -> int:
    """The length in UTF-16 code units, as providers written in JavaScript count it."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut_units(text: str, longest: int) -> str:
    """At most so many UTF-16 code units, cut like `cut`."""
    short = cut(text, longest)
    while units(short) > longest:
        short = cut(text, len(short) - 1)
    return short
