"""Which phrase book fits a prompt. It counts small words, and says `other` rather than guess wrong."""

import re
import unicodedata
from typing import Literal

Language = Literal["en", "id", "other"]

ENGLISH = frozenset(
    "a an the and or but of in on at to from with without for about into over under by as is are was were be been has "
    "have had do does how what why when where who which that this these those it its he she they we you i my your his "
    "her their our me not no then until while after before through between make makes video story film please".split()
)
INDONESIAN = frozenset(
    "yang dan di ke dari dengan tanpa untuk tentang mengenai sebuah seorang seekor suatu para ini itu adalah ialah "
    "tidak bukan tak akan sudah telah sedang masih lalu kemudian akhirnya saat ketika sebelum sesudah setelah sampai "
    "hingga pada dalam oleh karena atau tetapi tapi juga saya aku kamu kita kami mereka dia ia nya cara bagaimana "
    "mengapa kenapa apa siapa buat buatkan bikin bikinkan tolong cerita kisah ada bisa dapat agar supaya seperti "
    "antara atas bawah seluruh setiap semua banyak lebih paling sangat hari si sang".split()
)
ENGLISH_CONTENT = frozenset(
    "day night morning city street house home coffee tea food cooking kitchen bread cat dog robot dragon girl boy man "
    "woman child children kids old young new small big little lonely last first lost secret best world life love time "
    "water sea ocean beach mountain forest river rain snow sun moon star stars sky space fire light dark market "
    "school teacher book music dance game phone car train road journey travel money business budget saving health "
    "workout running yoga fashion style dress shoes red blue green black white golden magic haunted ghost summer "
    "winter spring autumn garden flower tree bird fish horse king queen friend family mother father tips guide "
    "review history future learning".split()
)
INDONESIAN_CONTENT = frozenset(
    "kopi teh nasi goreng rendang sate bakso soto gudeg sambal gorengan jajanan kuliner masak masakan dapur warung "
    "pasar makanan minuman resep pagi siang sore malam senja fajar desa kampung kota jalan rumah sekolah guru anak "
    "ibu ayah bapak kakek nenek gadis pemuda nelayan petani kucing anjing burung ikan gajah harimau komodo naga "
    "pantai laut gunung hutan sungai danau sawah hujan langit bulan matahari bintang pulau wisata liburan perjalanan "
    "petualangan mudik budaya batik tari wayang gamelan teknologi uang keuangan menabung investasi usaha bisnis "
    "olahraga lari senam sehat kesehatan mode busana hijab alam hewan bunga pohon pendidikan belajar dongeng hantu "
    "horor kuntilanak pocong cinta hidup mimpi sejarah masa depan merah putih biru hijau hitam tua muda kecil besar "
    "baru lama terakhir pertama rahasia indah tradisional umum hiburan gaya".split()
)
NEIGHBOURS = frozenset(
    # Spanish, Portuguese, French, Italian, German, Dutch: told apart from English, not from each other
    "el la los las un una unos del y que en con por para su sus se lo al es está como pero más sobre cuando hasta "
    "o os um uma do da dos das e ou não com em no na ao seu sua le les une des du et est dans avec pour sur qui que "
    "au aux ce cette il elle mais gli uno di che non per nel della della sono der die das den dem ein eine einer "
    "einen und ist mit von zu im auf für nicht sich aus bei het een van en is op voor met niet zijn aan".split()
)

NEIGHBOURS_ONLY = NEIGHBOURS - ENGLISH - INDONESIAN
WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
ENGLISH_ENDING = re.compile(r".{2,}(?:ing|tion|tions|ness|ful|less|ly|ed|'s|’s)$")
INDONESIAN_FORM = re.compile(r"(?:(?:me[mn]|meng|meny|ber|ter|peng?|per|di|ke|se)[a-z]{3,}(?:kan|nya|an|i)|[a-z]{4,}nya)$")
STRANGE_FROM = 4
"""So many words without a single known one are a language we do not know."""


def language_of(prompt: str, niche: str = "") -> Language:
    """The language of a prompt; a prompt that does not tell is taken for its niche's language, else for English."""
    words = [word.lower() for word in WORD.findall(prompt)]
    letters = [letter for letter in prompt if letter.isalpha()]
    if sum(_is_latin(letter) for letter in letters) * 2 < len(letters):
        return "other"

    english = _score(words, ENGLISH, ENGLISH_CONTENT, ENGLISH_ENDING)
    indonesian = _score(words, INDONESIAN, INDONESIAN_CONTENT, INDONESIAN_FORM)
    neighbours = 2.0 * sum(word in NEIGHBOURS_ONLY for word in words)
    neighbours += 2.0 * sum(any(ord(letter) > 0x7F for letter in word) and "’" not in word for word in words)
    best = max(english, indonesian, neighbours)
    if best == 0:
        return "other" if len(words) >= STRANGE_FROM else _language_of_niche(niche)
    if neighbours == best:
        return "other"
    if english == indonesian:
        return _language_of_niche(niche)
    return "en" if english == best else "id"


def _score(words: list[str], small: frozenset[str], content: frozenset[str], form: re.Pattern[str]) -> float:
    """Small words weigh most: names and loan words travel between languages, they do not."""
    return sum(
        2.0 if word in small else 1.0 if word in content else 0.5 if form.match(word) else 0.0 for word in words
    )


def _language_of_niche(niche: str) -> Language:
    words = {word.lower() for word in WORD.findall(niche)}
    return "id" if words & (INDONESIAN | INDONESIAN_CONTENT) else "en"


def _is_latin(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith(("LATIN", "FULLWIDTH LATIN"))
