"""Which language a prompt is in, as far as the template writer must know: English, Indonesian, or another one."""

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
# Spanish, Portuguese, French, German, Italian, Dutch: words that neither of the two above has
OTHERS = set(
    """
    el la los las una uno que del por para con como su sus y e o do da dos das um uma no na le les des
    du une est dans avec qui sur et der die das und ein eine einen mit im ist von zu den il lo gli che
    della nel een het van niet op ne pas
    """.split()
)
INDONESIAN_FORM = re.compile(r"^(me[mnr]|ber|ter|pe[mn]g?)\w{4,}$|\w{4,}(nya|kan)$")


def language_of(text: str) -> Language:
    """The language of a text. Latin letters without any sign of another language count as English."""
    letters = [c for c in text if c.isalpha()]
    if letters and sum(c < "\u0250" for c in letters) < len(letters) * 0.8:
        return "other"
    words = [word.lower() for word in WORD.findall(text)]
    indonesian = sum(
        word in INDONESIAN or (word not in ENGLISH and bool(INDONESIAN_FORM.match(word))) for word in words
    )
    english = sum(word in ENGLISH for word in words)
    others = sum(word in OTHERS for word in words)
    best = max(indonesian, english, others)
    if best == 0 or english == best:
        return "en"
    return "id" if indonesian == best else "other"
