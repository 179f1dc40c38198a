"""Detects the language of a prompt: English, Indonesian, or another one."""

import re
from typing import Literal

Language = Literal["en", "id", "other"]

WORD = re.compile(r"[^\W\d_]+")

ENGLISH = set(
    """
    the a an of and in on at with to for from his her its their is are was who that when while then into
    about across finds makes builds returns learns one every how why by as through under over
    """.split()
)
INDONESIAN = set(
    """
    yang dan di dari dengan untuk sebuah seorang seekor tentang ini itu ke pada saat ketika lalu
    kemudian adalah anak kopi pagi malam hari gunung pantai kota desa laut hutan rumah hujan ibu ayah
    nenek kakek tua muda kecil besar cara resep warung pasar sekolah kerja bisnis jalan cinta mimpi
    hidup dunia tidak akan sudah sedang oleh menjadi membuat menemukan mencari belajar pulang pergi
    kucing anjing burung petani nelayan pedagang
    """.split()
)
# Words of Spanish, Portuguese, French, German, Italian and Dutch that are in neither list above
OTHERS = set(
    """
    el la los las una uno que del por para con como su sus y e o do da dos das um uma no na le les des
    du une est dans avec qui sur et der die das und ein eine einen mit im ist von zu den il lo gli che
    della nel een het van niet op ne pas
    """.split()
)
INDONESIAN_FORM = re.compile(r"^(me[mnr]|ber|ter|pe[mn]g?)\w{4,}$|\w{4,}(nya|kan)$")


NAMES: dict[Language, str] = {"en": "English", "id": "Indonesian", "other": "another language"}
FEWEST_WORDS_OF_OTHERS = 3


def language_of(text: str) -> Language:
    """Return the language of a text. Latin letters without signs of another language count as English."""
    if _is_foreign_script(text):
        return "other"
    indonesian, form, english, others = _signs(text)
    indonesian += form
    best = max(indonesian, english, others)
    if best == 0 or english == best:
        return "en"
    return "id" if indonesian == best else "other"


def evident_language(text: str) -> Language | None:
    """Return the language of a text; None if its words are ambiguous."""
    if _is_foreign_script(text):
        return "other"
    indonesian, form, english, others = _signs(text)
    # English has words of these forms too (members, penguin), so the form alone proves nothing.
    counts: dict[Language, int] = {
        "id": indonesian + form if indonesian else 0,
        "en": english,
        "other": others if others >= FEWEST_WORDS_OF_OTHERS else 0,
    }
    best = max(counts, key=lambda language: counts[language])
    rivals = [count for language, count in counts.items() if language != best]
    return best if counts[best] > max(rivals) else None


def _is_foreign_script(text: str) -> bool:
    letters = [c for c in text if c.isalpha()]
    return bool(letters) and sum(c < "\u0250" for c in letters) < len(letters) * 0.8


def _signs(text: str) -> tuple[int, int, int, int]:
    """Count the words that are Indonesian, have an Indonesian form, are English, are of other languages."""
    words = [word.lower() for word in WORD.findall(text)]
    known = INDONESIAN | ENGLISH
    return (
        sum(word in INDONESIAN for word in words),
        sum(word not in known and bool(INDONESIAN_FORM.match(word)) for word in words),
        sum(word in ENGLISH for word in words),
        sum(word in OTHERS for word in words),
    )
