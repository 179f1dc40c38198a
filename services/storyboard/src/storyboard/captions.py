"""Text that fits on a picture: how wide it is, where it may be cut, and how it starts and ends."""

import re
import unicodedata

CAPTION = 110
"""The widest caption, in columns: a full-width letter takes two."""

BREAKS = ",;:—–、，；：،؛"
ENDINGS = ".!?…。！？؟۔।"
JOINERS = {"\u200c", "\u200d"}
PAIRS = (("“", "”"), ("«", "»"), ("(", ")"), ("[", "]"), ("「", "」"), ("『", "』"), ("„", "“"))
DANGLING = frozenset(
    "a an the and or but of in on at to from with for by into as is are that which who his her their its my your "
    "yang dan di ke dari dengan untuk pada dalam oleh atau sebuah seorang seekor para si sang "
    "el la los las de del y en con un una le les du des et der die das und mit von".split()
)


def width(text: str) -> int:
    """How many columns a text takes."""
    return sum(_columns(letter) for letter in text)


def clip(text: str, limit: int = CAPTION) -> str:
    """Cut a text that is too wide, best after a clause, else after a word, and mark the cut."""
    if width(text) <= limit:
        return text
    head = _fitting(text, limit - 1)
    clause = max((head.rfind(mark) for mark in BREAKS), default=-1)
    word = head.rfind(" ") if not text[len(head)].isspace() else len(head)
    if clause >= len(head) * 0.6:
        head = head[:clause]
    elif word >= len(head) * 0.4:
        head = head[:word]
    return balanced(_without_dangling(head.rstrip(BREAKS + ENDINGS + " ")) + "…")


def sentence(text: str) -> str:
    """A text that starts with a capital and ends with a mark."""
    text = capital(text.strip())
    last = text.rstrip("\"'”’»)]」』")[-1:]
    return text if not text or last in ENDINGS else text.rstrip(BREAKS + " ") + "."


def capital(text: str) -> str:
    """A text whose first letter is a capital, unless its first word has capitals of its own, as in iPhone."""
    first = text.split(" ", 1)[0]
    return text if any(letter.isupper() for letter in first) else text[:1].upper() + text[1:]


def balanced(text: str) -> str:
    """A text without quotes and brackets that open or close nothing."""
    for opening, closing in PAIRS:
        if text.count(opening) != text.count(closing):
            text = text.replace(opening, "").replace(closing, "")
    if text.count('"') % 2:
        text = text.replace('"', "")
    return re.sub(" {2,}", " ", text).strip()


def _fitting(text: str, limit: int) -> str:
    """As much of the start as fits, without cutting a letter from its accents or an emoji from its parts."""
    columns = 0
    end = 0
    for end, letter in enumerate(text):  # noqa: B007  # the cut is where the loop stopped
        columns += _columns(letter)
        if columns > limit:
            break
    while end > 1 and (_columns(text[end]) == 0 or text[end - 1] in JOINERS):
        end -= 1
    return text[:end]


def _without_dangling(text: str) -> str:
    while " " in text and text.rsplit(" ", 1)[1].lower() in DANGLING:
        text = text.rsplit(" ", 1)[0].rstrip(BREAKS + " ")
    return text


def _columns(letter: str) -> int:
    if letter in JOINERS or unicodedata.category(letter) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(letter) in {"W", "F"} else 1
