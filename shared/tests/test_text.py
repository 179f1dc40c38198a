"""The contract defines the allowed characters of text, both for requests and for edited storyboards."""

from collections.abc import Callable
from uuid import UUID

import pytest
from pydantic import ValidationError

from shared.contracts.events import VideoRequested
from shared.contracts.story import Storyboard
from shared.contracts.text import is_blank, one_line

INVISIBLE = [
    "\u200b",
    "\u200d\ufeff",
    "\u2060 \u200c\n",
    "\u3164",
    "\u115f\u1160",
    "\u2800",
    "\ufe0f",
    "\U000e0041",
    "\u00ad\u061c",
]
FORBIDDEN = ["a\x00b", "\x1b[2Ja", "a\x07", "a\x7f", "a\x9b2J", "a\u0085b", "a\ud800", "\udc00a"]
KEPT = [
    "a fox\nand\ta hen\r\nmeet",
    "می\u200cخواهد",
    "👨\u200d👩\u200d👧",
    "1️⃣",
    "\u202eabc",
    "\U0001fae8",
    "\ue000",
    "ก",
]


def requested(**wish: object) -> VideoRequested:
    return VideoRequested.model_validate({"videoId": UUID(int=1), "prompt": "a fox"} | wish)


def a_board(**changed: object) -> Storyboard:
    scene = {
        "sceneNumber": 1,
        "description": "d",
        "cameraAngle": "wide",
        "duration": 15,
        "action": "a",
        "transition": "cut",
    }
    board = {"title": "t", "niche": "n", "overallPrompt": "p", "totalDuration": 15, "style": "s"}
    parts = {name: changed.pop(name) for name in ("action", "shot", "description") if name in changed}
    return Storyboard.model_validate(board | {"scenes": [scene | parts]} | changed)


@pytest.mark.parametrize("text", FORBIDDEN, ids=ascii)
@pytest.mark.parametrize(
    ("made", "field"),
    [(requested, "prompt"), (requested, "niche")]
    + [(a_board, name) for name in ("title", "niche", "overallPrompt", "style", "action", "shot", "description")],
)
def test_control_characters_and_half_pairs_are_refused(made: Callable[..., object], field: str, text: str) -> None:
    with pytest.raises(ValidationError, match=r"U\+|string_unicode"):
        made(**{field: text})


@pytest.mark.parametrize("text", INVISIBLE, ids=ascii)
@pytest.mark.parametrize("field", ["prompt", "niche"])
def test_an_invisible_text_is_not_a_prompt(field: str, text: str) -> None:
    with pytest.raises(ValidationError):
        requested(**{field: text})


@pytest.mark.parametrize("text", KEPT, ids=ascii)
def test_every_other_text_is_kept_unchanged(text: str) -> None:
    assert (requested(prompt=text).prompt, requested(niche=text).niche) == (text, text)
    assert a_board(action=text).scenes[0].action == text


@pytest.mark.parametrize("metadata", [{"a\x00": 1}, {"a": "\x00"}, {"a": [{"b": ["c\x00"]}]}])
def test_metadata_holds_no_character_that_a_database_refuses(metadata: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"U\+0000"):
        requested(metadata=metadata)


def test_metadata_keeps_every_other_character() -> None:
    assert requested(metadata={"a": ["\\u0000", "\x1b", "\n"]}).metadata == {"a": ["\\u0000", "\x1b", "\n"]}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("می\u200cخواهد", "می\u200cخواهد"),
        ("👨\u200d👩\u200d👧 1️⃣", "👨\u200d👩\u200d👧 1️⃣"),
        ("a\n\tb\r\n\x00c\u2028d\u3000e", "a b c d e"),
        ("\ufeff\u202ea\u202c\u2067b\u2069", "ab"),
        ("a\ud800b", "a b"),
        ("\U0001fae8", "\U0001fae8"),
    ],
    ids=ascii,
)
def test_a_line_keeps_what_joins_letters(text: str, line: str) -> None:
    assert one_line(text) == line


def test_blank_means_no_visible_character() -> None:
    assert all(is_blank(text) for text in (*INVISIBLE, "", " \n"))
    assert not any(is_blank(text) for text in KEPT)
