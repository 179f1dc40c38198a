"""Text is laid out by grapheme clusters in the direction of its script; clusters without a font are omitted."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from scene_render.animatic.text_layout import TextBlock, block_of, drawable, line_of

WHITE = (255, 255, 255, 255)
SIZE = 40
FAMILY = "👨\u200d👩\u200d👧\u200d👦"
DRAWN = [
    "বাংলা নদীর ধারে, ক্ষুদ্র শ্রী",
    "கடற்கரையில் ஒரு மீனவர் ஸ்ரீ",
    "ស្ត្រីម្នាក់កំពុងលក់ផ្លែឈើនៅផ្សារ",
    "ꦲꦏ꧀ꦱꦫꦗꦮ ꦩꦭꦩ꧀ ꦪꦺꦴꦒꦾꦏꦂꦠ",
    "ᬩᬮᬶ ᮞᮥᮔ᮪ᮓ ᯅᯖᯂ᯲ ᨅᨔ",
    "Hindi हिन्दी in Latin: क्षत्रिय बाज़ार",
    "She says السَّلامُ عَلَيْكُمْ to all (softly)",
    "او می\u200cخواهد کتاب\u200cها را بخواند",
    "שלום (עולם) 123 abc [45%]",
    "ชาวประมงกำลังดึงอวนขึ้นจากทะเล",
    "საქართველო, Հայաստան, አማርኛ",
    "తెలుగు ಕನ್ನಡ മലയാളം ગુજરાતી ਪੰਜਾਬੀ ଓଡ଼ିଆ සිංහල",
    "မြန်မာ ລາວ ދިވެހި ⵜⵉⴼⵉⵏⴰⵖ",
    "𝓑𝓮𝓼𝓽 𝔇𝔞𝔶 𝕖𝕧𝕖𝕣 𝟙𝟚𝟛 𝑥² → ℝ",
    "Ελλάδα, Россия Ђурђевак, Łódź, Việt Nam ạ̈",
    "東京の夜、魚を売る 北京 서울의 밤",
    f"1️⃣ #️⃣ ❤️ ☀️ {FAMILY} 👩🏽\u200d🚀 🐙 🚀",
]
LEFT_OUT = {
    "The flag 🇮🇩 of Indonesia": "The flag of Indonesia",
    "flag 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f of England": "flag of England",
    "one\n\ttwo\r\n\x00\x07three\u2028four": "one two three four",
    "a \u093f lone ्mark": "a lone mark",
    "\u202eabc\u202c \u2067def": "abc def",
    "private \ue000 and \U0010ffff none": "private and none",
    "\ufeffค\u200bน": "ค\u200bน",
    "\u200b\u200d\ufeff": "",
    "\U00013000\U00012000": "",
    "": "",
}


@pytest.mark.parametrize("text", DRAWN)
def test_every_cluster_of_a_script_is_drawn(text: str) -> None:
    assert "".join(drawable(text)) == text
    assert ink(line_of(text, SIZE, WHITE)).sum() > 1000


@pytest.mark.parametrize(("text", "kept"), LEFT_OUT.items(), ids=map(ascii, LEFT_OUT))
def test_clusters_without_a_font_are_omitted(text: str, kept: str) -> None:
    assert "".join(drawable(text)) == kept


def test_text_without_visible_clusters_has_no_width() -> None:
    assert [block_of(text, SIZE, WHITE, 500, 3) for text in ("", "\u200b\u200d\ufeff", "\U00013000", " \n")] == [
        None
    ] * 4


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        (("ক", "ষ"), "ক্ষ"),
        (("क", "ष"), "क्ष"),
        (("ஸ", "ரீ"), "ஸ்ரீ"),
        (("ស", "ត", "រី"), "ស្ត្រី"),
        (("ꦏ", "ꦱ"), "ꦏ꧀ꦱ"),
        (("ل", "ا"), "لا"),
        (("👨", "👩", "👧", "👦"), FAMILY),
        (("👩", "🏽", "🚀"), "👩🏽\u200d🚀"),
    ],
)
def test_letters_that_are_written_as_one_are_drawn_as_one(parts: tuple[str, ...], whole: str) -> None:
    assert width(whole) < 0.9 * sum(width(part) for part in parts)


@pytest.mark.parametrize(("with_mark", "without"), [("عَلَيْكُمْ", "عليكم"), ("é", "é"), ("n̈", "n"), ("שָׁלוֹם", "שלום")])
def test_marks_are_drawn_over_their_letters(with_mark: str, without: str) -> None:
    assert abs(width(f"in {with_mark} Latin") - width(f"in {without} Latin")) < 2


def test_keycaps_and_hearts_are_emoji_only_with_a_variation_selector() -> None:
    assert abs(width("1️⃣") - width("🐙")) < 1
    assert colourful("❤️")
    assert not colourful("❤")
    assert not colourful("1")


def test_a_non_joiner_keeps_letters_apart_without_a_space() -> None:
    joined, apart, spaced = (width(f"می{between}خواهد") for between in ("", "\u200c", " "))
    assert joined < apart < spaced


@pytest.mark.parametrize(
    ("text", "left_to_right"),
    [
        ("hello 🔴 world 🔵", True),
        ("hello 🔴 שלום 🔵", True),
        ("שלום 🔴 עולם 🔵", False),
        ("שלום 🔴 world 🔵 עולם", False),
        ("123 رحلة 🔴 (12:30) 🔵 abc", False),
    ],
)
def test_the_first_letter_decides_the_direction(text: str, left_to_right: bool) -> None:
    red, blue = (np.flatnonzero(one_colour(text, channel).any(axis=0)).mean() for channel in (0, 2))
    assert (red < blue) == left_to_right


def test_brackets_are_mirrored_in_right_to_left_text() -> None:
    # Both begin with the same bracket at the left.
    hebrew, latin = (left_end(line_of(text, SIZE, WHITE)) for text in ("(ש)", "(x)"))
    assert hebrew.shape == latin.shape
    assert (hebrew != latin).mean() < 0.1
    assert (hebrew != latin[:, ::-1]).mean() > 0.3


@pytest.mark.parametrize(
    ("first", "second"),
    [("สวัสดี", "ครับ"), ("ស្ត្រី", "ម្នាក់"), ("ສະບາຍ", "ດີ"), ("hello", " you"), ("東京の", "夜。")],
)
def test_lines_break_where_the_language_does(first: str, second: str) -> None:
    whole = line_of(first + second, SIZE, WHITE)
    block = block_of(first + second, SIZE, WHITE, whole.width - 4, 3)
    assert block
    assert block.height > whole.height * 1.5
    assert abs(block.paragraph.LongestLine - max(width(first), width(second.strip()))) < 1


@pytest.mark.parametrize("text", ["word " * 80, "x" * 400, "ស្ត្រី" * 60, FAMILY * 40, "سلام " * 70, "魚" * 300])
def test_long_text_ends_with_an_ellipsis(text: str) -> None:
    block = block_of(text, SIZE, WHITE, 600, 3)
    assert block
    assert block.paragraph.LongestLine <= block.width <= 600
    assert block.height < 3 * SIZE * 2.2


def test_skia_needs_no_system_opengl() -> None:
    code = (
        "import scene_render.animatic.text_layout\n"
        "print(*{line.split()[-2] if line.endswith('(deleted)\\n') else line.split()[-1]"
        " for line in open('/proc/self/maps') if 'libGL' in line or 'libEGL' in line})"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert sorted(loaded) == ["/memfd:libEGL.so.1", "/memfd:libGL.so.1"]


def picture(block: TextBlock) -> np.ndarray:
    sheet = Image.new("RGBA", (round(block.width) + 4 * SIZE, round(block.height) + 4 * SIZE))
    block.draw(sheet, 2 * SIZE, 2 * SIZE)
    return np.asarray(sheet).astype(int)


def ink(block: TextBlock) -> np.ndarray:
    return picture(block)[..., 3] > 0


def left_end(block: TextBlock) -> np.ndarray:
    drawn = ink(block)
    first = np.flatnonzero(drawn.any(axis=0))[0]
    drawn = drawn[:, first : first + 8]
    return drawn[drawn.any(axis=1)]


def width(text: str) -> float:
    return float(line_of(text, SIZE, WHITE).paragraph.LongestLine)


def one_colour(text: str, channel: int) -> np.ndarray:
    pixels = picture(line_of(text, SIZE, WHITE))
    return pixels[..., channel] > 80 + np.delete(pixels[..., :3], channel, axis=2).max(axis=2)


def colourful(text: str) -> bool:
    pixels = picture(line_of(text, SIZE, WHITE))[..., :3]
    return bool((pixels.max(axis=2) - pixels.min(axis=2) > 60).any())
