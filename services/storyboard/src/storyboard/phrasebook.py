"""The words of the template writer, in English and Indonesian.

Each niche has a little story of its own in five beats: how it begins, a closer look, the turn, what answers it, how it
ends; and a place to set it in, with a light.
"""

from dataclasses import dataclass
from typing import Literal

from shared.contracts.niches import niche_key
from shared.contracts.story import CameraAngle

BookLanguage = Literal["en", "id"]


@dataclass(frozen=True)
class Niche:
    """The phrases of a niche in one language."""

    place: str
    light: str
    begin: str
    closer: str
    turn: str
    answer: str
    end: str


ENGLISH: dict[str, Niche] = {
    "general": Niche(
        "a quiet street just before the day begins", "soft morning light",
        "A door opens and the first steps ring on the empty street.",
        "Hands close around the one thing that matters today.",
        "Everything stops: the way ahead is suddenly closed.",
        "A stranger points up, to a path nobody had seen.",
        "At the end of the path the whole city lies in golden light.",
    ),
    "food": Niche(
        "a small kitchen with copper pans on the wall", "warm light from the stove",
        "The stove is lit and steam climbs past the window.",
        "A knife runs through fresh herbs, one even beat after another.",
        "The spoon stops in mid-air: the taste is not right yet.",
        "A pinch of something old and forgotten goes into the pot.",
        "The first bite is taken, and a slow smile fills the table.",
    ),
    "travel": Niche(
        "a winding road above a sleeping valley", "the blue hour turning to gold",
        "A backpack is shouldered and the road bends out of sight.",
        "Fingers follow a line on a worn paper map.",
        "Clouds roll in and the trail disappears.",
        "A lantern swings ahead: somebody is showing the way.",
        "Above the clouds the view opens, as far as the sea.",
    ),
    "tech": Niche(
        "a workshop full of screens and half-built machines", "cool light with one warm lamp",
        "A switch clicks and a row of small lights wakes up.",
        "Solder glows where two fine wires meet.",
        "A red light blinks and every screen goes dark.",
        "One line is rewritten, and a single fan begins to turn.",
        "The machine lifts its arm and waves for the first time.",
    ),
    "fitness": Niche(
        "an empty running track under high lamps", "the first sun over the stands",
        "Laces are tied tight and the first lap begins.",
        "Breath clouds the cold air, shoes hammer the lane.",
        "A knee hits the ground; the others run past.",
        "A hand reaches down, and the race goes on together.",
        "The finish line is crossed, arms up, side by side.",
    ),
    "nature": Niche(
        "a forest clearing with mist between the trees", "sunbeams through high leaves",
        "Mist lifts off the clearing and the first bird calls.",
        "A drop of dew runs down a blade of grass and falls.",
        "The wind turns and every animal looks up at once.",
        "Rain comes, and the dry stream begins to move again.",
        "The sun breaks through, and the whole valley shines.",
    ),
    "fashion": Niche(
        "a studio with bolts of cloth up to the ceiling", "clear light from a tall window",
        "A bolt of cloth rolls open across the long table.",
        "A needle draws a single bright thread through dark fabric.",
        "The seam tears an hour before the show.",
        "The tear becomes a fold that nobody has seen before.",
        "The dress turns once in the light, and the room is silent.",
    ),
    "finance": Niche(
        "a small shop with a ledger open on the counter", "late afternoon light through blinds",
        "The shutter goes up and the first coin drops into the till.",
        "A pencil runs down a column of figures and stops.",
        "The last line is red, and rent is due tomorrow.",
        "One page is torn out and a simpler plan is drawn.",
        "The jar on the shelf is full at last, and is lifted down.",
    ),
    "education": Niche(
        "a classroom with one open window", "bright light on the blackboard",
        "Chalk touches the board and the whispering stops.",
        "A pencil taps the desk, one question still unanswered.",
        "The wrong answer is on the board, and everybody sees it.",
        "The youngest stands up and draws the missing line.",
        "The bell rings, but nobody wants to leave.",
    ),
    "kids": Niche(
        "a garden with a treehouse and a paper moon", "bright, friendly light",
        "A small door in the treehouse swings open.",
        "Two eyes look out from under a cardboard helmet.",
        "Oh no: the paper moon has fallen into the pond!",
        "All the frogs hop together and carry it to the shore.",
        "The moon hangs in the tree again, and everybody cheers.",
    ),
    "horror": Niche(
        "a long corridor in an abandoned house", "one flickering lamp",
        "The front door falls shut, though there is no wind.",
        "Dust moves on the floor where nobody is walking.",
        "The lamp goes out. Somebody is breathing.",
        "A match is struck, and the mirror shows one person too many.",
        "At dawn the house is empty, and its door stands open.",
    ),
}  # fmt: skip

INDONESIAN: dict[str, Niche] = {
    "general": Niche(
        "jalan yang sunyi sebelum hari dimulai", "cahaya pagi yang lembut",
        "Sebuah pintu terbuka, langkah pertama terdengar di jalan yang sepi.",
        "Dua tangan menggenggam satu hal terpenting hari ini.",
        "Semua berhenti: jalan di depan tiba-tiba tertutup.",
        "Seorang asing menunjuk ke atas, ke jalan yang tak pernah terlihat.",
        "Di ujung jalan, seluruh kota terbentang dalam cahaya keemasan.",
    ),
    "food": Niche(
        "dapur kecil dengan wajan tembaga di dinding", "cahaya hangat dari tungku",
        "Tungku menyala dan uap naik melewati jendela.",
        "Pisau memotong bumbu segar, satu ketukan demi satu ketukan.",
        "Sendok berhenti di udara: rasanya belum tepat.",
        "Sejumput rempah lama yang terlupakan masuk ke dalam panci.",
        "Suapan pertama dinikmati, dan senyum perlahan memenuhi meja.",
    ),
    "travel": Niche(
        "jalan berkelok di atas lembah yang masih tidur", "langit biru yang berubah keemasan",
        "Ransel dipanggul dan jalan berbelok jauh ke depan.",
        "Jari menyusuri garis pada peta kertas yang usang.",
        "Awan turun dan jalan setapak menghilang.",
        "Sebuah lentera berayun di depan: ada yang menunjukkan jalan.",
        "Di atas awan, pemandangan terbuka sampai ke laut.",
    ),
    "tech": Niche(
        "bengkel penuh layar dan mesin setengah jadi", "cahaya dingin dengan satu lampu hangat",
        "Sebuah sakelar ditekan dan sederet lampu kecil menyala.",
        "Timah menyala di pertemuan dua kabel halus.",
        "Lampu merah berkedip dan semua layar padam.",
        "Satu baris ditulis ulang, dan sebuah kipas mulai berputar.",
        "Mesin itu mengangkat lengannya dan melambai untuk pertama kali.",
    ),
    "fitness": Niche(
        "lintasan lari yang kosong di bawah lampu tinggi", "matahari pertama di atas tribun",
        "Tali sepatu dikencangkan dan putaran pertama dimulai.",
        "Napas mengepul di udara dingin, sepatu menghentak lintasan.",
        "Sebuah lutut jatuh ke tanah; yang lain terus berlari.",
        "Sebuah tangan terulur, dan perlombaan berlanjut bersama.",
        "Garis akhir dilewati, tangan terangkat, berdampingan.",
    ),
    "nature": Niche(
        "hutan terbuka dengan kabut di antara pepohonan", "berkas matahari menembus dedaunan",
        "Kabut terangkat dan burung pertama berkicau.",
        "Setetes embun meluncur di sehelai rumput lalu jatuh.",
        "Angin berubah arah dan semua hewan menoleh serentak.",
        "Hujan datang, dan sungai kering mulai mengalir lagi.",
        "Matahari muncul, dan seluruh lembah bersinar.",
    ),
    "fashion": Niche(
        "studio dengan gulungan kain sampai ke langit-langit", "cahaya jernih dari jendela tinggi",
        "Segulung kain terbuka di atas meja panjang.",
        "Jarum menarik seutas benang terang di kain gelap.",
        "Jahitan robek satu jam sebelum peragaan.",
        "Robekan itu menjadi lipatan yang belum pernah ada.",
        "Gaun itu berputar sekali dalam cahaya, dan ruangan terdiam.",
    ),
    "finance": Niche(
        "toko kecil dengan buku kas terbuka di meja", "cahaya sore menembus kerai",
        "Pintu toko diangkat dan koin pertama jatuh ke laci.",
        "Pensil menyusuri kolom angka lalu berhenti.",
        "Baris terakhir merah, dan sewa jatuh tempo besok.",
        "Satu halaman disobek dan rencana yang lebih sederhana digambar.",
        "Stoples di rak akhirnya penuh, lalu diturunkan.",
    ),
    "education": Niche(
        "ruang kelas dengan satu jendela terbuka", "cahaya terang di papan tulis",
        "Kapur menyentuh papan dan bisik-bisik berhenti.",
        "Pensil mengetuk meja, satu pertanyaan belum terjawab.",
        "Jawaban yang salah ada di papan, dan semua melihatnya.",
        "Si bungsu berdiri dan menggambar garis yang hilang.",
        "Bel berbunyi, tetapi tak seorang pun ingin pulang.",
    ),
    "kids": Niche(
        "kebun dengan rumah pohon dan bulan kertas", "cahaya terang yang ramah",
        "Pintu kecil di rumah pohon terbuka lebar.",
        "Dua mata mengintip dari bawah helm kardus.",
        "Aduh: bulan kertas jatuh ke kolam!",
        "Semua katak melompat bersama dan membawanya ke tepi.",
        "Bulan tergantung lagi di pohon, dan semua bersorak.",
    ),
    "horror": Niche(
        "lorong panjang di rumah kosong", "satu lampu yang berkedip",
        "Pintu depan tertutup sendiri, padahal tidak ada angin.",
        "Debu bergerak di lantai tanpa ada yang berjalan.",
        "Lampu padam. Ada yang bernapas.",
        "Korek dinyalakan, dan cermin menunjukkan satu orang terlalu banyak.",
        "Saat fajar rumah itu kosong, dan pintunya terbuka.",
    ),
}  # fmt: skip

BOOKS: dict[BookLanguage, dict[str, Niche]] = {"en": ENGLISH, "id": INDONESIAN}

SHOT: dict[BookLanguage, dict[CameraAngle, str]] = {
    "en": {
        "wide": "Wide shot", "medium": "Medium shot", "close-up": "Close-up", "overhead": "View from above",
        "pov": "First-person view",
    },
    "id": {
        "wide": "Bidikan lebar", "medium": "Bidikan sedang", "close-up": "Bidikan dekat",
        "overhead": "Pandangan dari atas", "pov": "Sudut pandang orang pertama",
    },
}  # fmt: skip


def niche_of(name: str, language: BookLanguage) -> Niche:
    """Return the phrases of a niche, or the general ones if it is unknown."""
    return BOOKS[language].get(niche_key(name), BOOKS[language]["general"])
