"""Films say, signed, how they were made; anybody can verify it, offline."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from composer.provenance.credentials import credentials_in
from composer.provenance.manifest import Origin, manifest
from composer.provenance.signing import FilmNotSigned, read, sign
from shared.contracts.events import StoryboardCreated
from shared.contracts.provenance import ALGORITHMIC, TRAINED, prompt_hashes, source_type
from shared.contracts.story import Scene
from shared.media.mp4_boxes import index_comes_first
from shared.media.probe import probe

pytestmark = pytest.mark.slow
SECRET = "A quetzal crosses the night market"


def storyboard() -> StoryboardCreated:
    scene = {"description": SECRET, "camera_angle": "wide", "duration": 1, "action": SECRET, "transition": "cut"}
    return StoryboardCreated(
        video_id="00000000-0000-0000-0000-000000000007",
        title="The Market",
        niche="n",
        overall_prompt=SECRET,
        total_duration=2,
        scenes=tuple(Scene(scene_number=n, **scene) for n in (1, 2)),
        story_script=SECRET,
        aspect_ratio="16:9",
        shots=(SECRET, SECRET + "!"),
    )


@pytest.fixture
async def signed(film_maker: Any, tmp_path: Path) -> Path:
    await film_maker.clip("film", "testsrc2=s=160x90:r=24", 48, "-movflags", "+faststart")
    origins = {1: Origin("runway", "gen4.5"), 2: Origin("luma", None)}
    sign(
        tmp_path / "film.mp4", tmp_path / "signed.mp4", manifest(storyboard(), origins), credentials_in(tmp_path / "p")
    )
    return tmp_path / "signed.mp4"


def verify(film: Path, *more: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "composer.provenance.verify", str(film), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


async def test_a_film_names_models_and_hashes_of_prompts_but_no_prompt(signed: Path) -> None:
    found = read(signed)
    assert found is not None
    assert (found.faults, found.title, found.source_type.rsplit("/", 1)[-1]) == ((), "The Market", TRAINED)
    assert [(one["provider"], one["model"]) for one in found.scenes] == [("runway", "gen4.5"), ("luma", None)]
    assert found.scenes[0]["promptSha256"] == hashlib.sha256(SECRET.encode()).hexdigest()
    assert b"quetzal" not in signed.read_bytes()


async def test_a_signed_film_plays_as_before(signed: Path) -> None:
    assert index_comes_first(signed)
    assert (await probe(signed)).frames == 48


async def test_one_changed_byte_is_noticed(signed: Path) -> None:
    content = bytearray(signed.read_bytes())
    content[-100] ^= 1
    signed.write_bytes(content)
    found = read(signed)
    assert found is not None
    assert found.faults
    code, said = verify(signed)
    assert code == 1
    assert "was changed after it was signed" in said


async def test_the_command_says_who_signed_and_whether_they_are_trusted(signed: Path, tmp_path: Path) -> None:
    code, said = verify(signed)
    assert code == 0
    assert "no trusted authority certifies it" in said
    assert "scene 1: runway, model gen4.5" in said
    chain = credentials_in(tmp_path / "p").certificates
    authority = tmp_path / "ca.pem"
    authority.write_text("-----BEGIN" + chain.split("-----BEGIN")[2])
    assert "a trusted authority certifies it" in verify(signed, "--authority", str(authority))[1]


@pytest.mark.parametrize(
    ("name", "code", "sentence"),
    [
        ("film.mp4", 1, "carries no signature"),
        ("p/self-signed/key.pem", 2, "is not a film"),
        ("none.mp4", 2, "There is no file"),
    ],
)
async def test_what_cannot_be_verified_is_said(
    signed: Path, tmp_path: Path, name: str, code: int, sentence: str
) -> None:
    assert verify(tmp_path / name)[0] == code
    assert sentence in verify(tmp_path / name)[1]


def test_a_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    first = credentials_in(tmp_path / "p")
    assert credentials_in(tmp_path / "p") == first
    assert (tmp_path / "p" / "self-signed" / "key.pem").stat().st_mode & 0o077 == 0
    (tmp_path / "p" / "key.pem").write_text("own key")
    (tmp_path / "p" / "certificates.pem").write_text("own certificates")
    assert credentials_in(tmp_path / "p").key == "own key"


async def test_a_key_that_is_none_signs_nothing(film_maker: Any, tmp_path: Path) -> None:
    await film_maker.clip("film", "testsrc2=s=160x90:r=24", 24)
    (tmp_path / "p").mkdir()
    for name in ("key.pem", "certificates.pem"):
        (tmp_path / "p" / name).write_text("nonsense")
    what = manifest(storyboard(), {1: Origin("p", None), 2: Origin("p", None)})
    with pytest.raises(FilmNotSigned):
        sign(tmp_path / "film.mp4", tmp_path / "s.mp4", what, credentials_in(tmp_path / "p"))


def test_without_a_shot_the_action_is_the_prompt() -> None:
    board = storyboard().model_copy(update={"shots": ("", "a shot")})
    assert prompt_hashes(board) == [hashlib.sha256(text.encode()).hexdigest() for text in (SECRET, "a shot")]


def test_drawings_by_rules_are_not_said_to_be_from_a_trained_model() -> None:
    assert source_type(["animatic"]).endswith(ALGORITHMIC)
    assert source_type(["animatic", "pika"]).endswith(TRAINED)
    assert source_type(["upload", "animatic"]).endswith("/composite")
    assert source_type(["upload", "pika"]).endswith("/compositeWithTrainedAlgorithmicMedia")
