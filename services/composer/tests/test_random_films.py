"""Films of random plans over mixed clips are exact, and play; mutated clips never do more than fail a film."""

import asyncio
import contextlib
import json
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import av
import pytest
import structlog
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from composer.film.join import JoinFailed
from composer.film.segments import Copied, Segment
from composer.film.verification import FilmWrong
from composer.previews.thumbnail import NoPictureTaken, take_thumbnail
from composer.sound.mix import mix_sound
from composer.sound.tracks import Track
from shared.contracts.media import FRAME_RATE, LONGEST_FREEZE_FRAMES, Clip
from shared.contracts.story import Scene, Transition
from shared.contracts.timeline import Slot, timeline, total_frames
from shared.media.encoding_profile import AUDIO_RATE
from shared.media.ffmpeg import Ffmpeg, FfmpegFailed, FfmpegTimedOut
from shared.messaging.errors import StepFailed
from shared_testing.servers import _or_skip

log = structlog.get_logger()

pytestmark = pytest.mark.slow

SOURCE = f"testsrc2=s=160x90:r={FRAME_RATE}"
WITH_SOUND = f"{SOURCE}:d=4[out0];sine=300:r={AUDIO_RATE}:d=4[out1]"
FOREIGN = "stitchable=1:open-gop=0:bframes=2:b-pyramid=0:ref=2:sps-id=0:scenecut=0:min-keyint=1"
TRANSITIONS: tuple[Transition, ...] = ("cut", "fade", "dissolve", "wipe")
FORMS = ("ours", "gop", "single", "short", "uncopyable")
LONGEST = 60
LENGTH = 96
"""Frames of a clip: the longest scene, its overlap, and some more."""
SHORT_LENGTHS = (24, 36, 48, 60, 72, 84)
CLIENTS = Path(__file__).parents[2] / "gateway" / "tests" / "clients"

Plan = Sequence[tuple[int, Transition, str]]
"""The frames, the transition and the form of the clip of each scene."""


def plan(scenes: Plan) -> tuple[Slot, ...]:
    return timeline(
        [
            Scene(
                scene_number=n,
                description="d",
                camera_angle="wide",
                duration=frames / FRAME_RATE,
                action="a",
                transition=transition,
            )
            for n, (frames, transition, _) in enumerate(scenes, 1)
        ]
    )


class Pool:
    """Clips in all forms, drawn once."""

    def __init__(self, maker: Any, clips: Mapping[str, Clip]) -> None:
        self.maker, self.clips = maker, clips

    @property
    def folder(self) -> Path:
        return Path(self.maker.folder)

    def choose(self, slots: Sequence[Slot], scenes: Plan) -> list[Clip]:
        return [self._clip(slot, form) for slot, (_, _, form) in zip(slots, scenes, strict=True)]

    def _clip(self, slot: Slot, form: str) -> Clip:
        if form != "short":
            return self.clips[form]
        length = max(length for length in SHORT_LENGTHS if length < max(slot.clip_frames, SHORT_LENGTHS[0] + 1))
        assert slot.clip_frames - length <= LONGEST_FREEZE_FRAMES
        return self.clips[f"short-{length}"]

    async def make(self, scenes: Plan) -> tuple[Path, list[Segment], tuple[Slot, ...]]:
        slots = plan(scenes)
        film, segments = await self.maker.make(slots, self.choose(slots, scenes))
        return film, segments, slots


async def drawn(maker: Any) -> Pool:
    foreign = {name: ("-x264-params", f"{FOREIGN}:keyint={gop}") for name, gop in (("gop", 24), ("single", 250))}
    clips = {name: await maker.clip(name, WITH_SOUND, LENGTH, *form) for name, form in foreign.items()}
    clips["ours"] = await maker.clip("ours", WITH_SOUND, LENGTH, forced=[12, LONGEST])
    uncopyable = await maker.clip("uncopyable", SOURCE, LENGTH, "-x264-params", "slices=2:sps-id=0")
    clips["uncopyable"] = uncopyable.model_copy(update={"cut_points": None})
    for length in SHORT_LENGTHS:
        clips[f"short-{length}"] = await maker.clip(f"short-{length}", SOURCE, length)
    return Pool(maker, clips)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory, make_film_maker: Callable[[Path], Any]) -> Pool:
    return asyncio.run(drawn(make_film_maker(tmp_path_factory.mktemp("pool"))))


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def lengths(path: Path) -> tuple[int, float]:
    """The number of frames that can be decoded, and the length of the sound in frames."""
    with av.open(str(path)) as container:
        frames = sum(1 for _ in container.decode(video=0))
    with av.open(str(path)) as container:
        sound = [packet for packet in container.demux(audio=0) if packet.pts is not None]
        return frames, ((sound[-1].pts or 0) + (sound[-1].duration or 0)) * FRAME_RATE / AUDIO_RATE


def test_any_plan_over_any_clips_becomes_an_exact_film(pool: Pool, pytestconfig: pytest.Config) -> None:
    scene = st.tuples(st.integers(24, LONGEST), st.sampled_from(TRANSITIONS), st.sampled_from(FORMS))

    @settings(
        max_examples=150 if pytestconfig.getoption("--all") else 12,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(scenes=st.lists(scene, min_size=1, max_size=5))
    def check(scenes: Plan) -> None:
        film, segments, slots = asyncio.run(pool.make(scenes))
        frames, sound = lengths(film)
        assert frames == total_frames(slots) == sum(frames for frames, _, _ in scenes)
        assert abs(sound - frames) <= 1
        shown, begin = packets(film), 0
        for segment in segments:
            if isinstance(segment, Copied):
                source = packets(pool.folder / segment.media.key)[segment.first : segment.first + segment.frames]
                assert shown[begin : begin + segment.frames] == source
            begin += segment.frames

    check()


PLAYED: Sequence[Plan] = (
    [(36, "cut", "ours"), (30, "cut", "gop"), (24, "cut", "single")],
    [(48, "fade", "gop"), (60, "dissolve", "ours"), (40, "cut", "gop")],
    [(40, "dissolve", "single"), (60, "wipe", "single"), (50, "cut", "ours")],
    [(30, "cut", "short"), (41, "dissolve", "short"), (47, "cut", "gop")],
    [(25, "cut", "gop"), (35, "cut", "single"), (45, "wipe", "ours"), (55, "cut", "gop")],
    [(33, "wipe", "uncopyable"), (60, "fade", "gop"), (29, "cut", "ours"), (24, "cut", "short"), (30, "cut", "gop")],
)


def test_films_play_to_their_ends_in_a_browser_and_can_be_sought_at_each_join(
    pool: Pool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        _or_skip(request, "Chromium", "no chromium is installed")
    node = shutil.which("node")
    if node is None or not (CLIENTS / "node_modules").is_dir():
        _or_skip(request, "Node.js", "no node, or its packages are not installed (make test does it where npm is)")
    films = []
    for number, scenes in enumerate(PLAYED):
        film, segments, slots = asyncio.run(pool.make(scenes))
        film.rename(tmp_path / f"{number}.mp4")
        joins, begin = [0], 0
        for segment in segments:
            begin += segment.frames
            joins.append(begin)
        end = total_frames(slots)
        places = sorted({min(max(join + step, 0), end - 1) for join in joins for step in range(-2, 3)})
        films.append({"source": f"{number}.mp4", "seeks": [(place + 0.5) / FRAME_RATE for place in places]})
    (tmp_path / "page.html").write_text("<!doctype html><link rel=icon href=data:,>")
    arguments = ["play.mjs", str(chromium), (tmp_path / "page.html").as_uri(), str(tmp_path), json.dumps(films)]
    done = subprocess.run(
        [str(node), *arguments], cwd=CLIENTS, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert "error" not in seen, seen
    for number, scenes in enumerate(PLAYED):
        length = sum(frames for frames, _, _ in scenes) / FRAME_RATE
        one = seen["films"][number]
        assert (one["fault"], one["ended"], one["missed"]) == (None, True, []), number
        assert one["duration"] == pytest.approx(length, abs=1 / FRAME_RATE)
        assert one["currentTime"] == pytest.approx(length, abs=1 / FRAME_RATE)


EXPECTED = (JoinFailed, FilmWrong, FfmpegFailed, FfmpegTimedOut, StepFailed, NoPictureTaken)
LARGEST_GROWTH = 200 * 2**20


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Damage a file as a wrong transfer or another encoder could; half of the time its index."""
    index = content.find(b"moov") if rng.random() < 0.5 else content.find(b"mdat")
    place = min(index + int(rng.random() ** 2 * 2500), len(content) - 8)
    end = min(place + rng.choice((1, 2, 4, 40, 400)), len(content))
    match rng.randrange(6):
        case 0:
            return content[:place] + rng.randbytes(end - place) + content[end:]
        case 1:
            return content[:place] + bytes(end - place) + content[end:]
        case 2:
            return content[: rng.randrange(len(content))]
        case 3:
            return content[:place] + content[end:]
        case 4:
            return content[:place] + content[place:end] * 3 + content[end:]
        case _:
            return content[:place] + b"\xff" * (end - place) + content[end:]


def memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.timeout(3600)
def test_a_mutated_clip_fails_its_film_at_most(pool: Pool, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    count = 250 if pytestconfig.getoption("--all") else 15
    maker = type(pool.maker)(tmp_path, pool.maker.size)
    encoded: Plan = [(40, "cut", "gop"), (40, "dissolve", "gop"), (36, "cut", "ours")]
    copied: Plan = [(40, "cut", "gop"), (60, "cut", "ours")]
    ends: Counter[str] = Counter()

    before = 0
    for seed in range(count):
        rng = random.Random(seed)
        scenes = encoded if seed % 2 else copied
        slots = plan(scenes)
        clips = pool.choose(slots, scenes)
        for clip in clips:
            shutil.copy(pool.folder / clip.media.key, tmp_path)
        wrong = tmp_path / rng.choice(clips).media.key
        content = wrong.read_bytes()
        for _ in range(rng.choice((1, 1, 3))):
            content = mutated(content, rng)
        wrong.write_bytes(content)
        sound = (Track(begin=0, frames=40), wrong)
        steps = {
            "film": maker.make(slots, clips, copies=seed % 3 > 0),
            "thumbnail": take_thumbnail(wrong, tmp_path / "t.jpg", 20, 40, Ffmpeg()),
            "sound": mix_sound([sound], 40, tmp_path / "mix.m4a", Ffmpeg(), evened=seed % 5 > 0),
        }
        for step, taken in steps.items():
            try:
                asyncio.run(taken)
                ends[f"{step} made"] += 1
            except EXPECTED as error:
                ends[f"{step}: {type(error).__name__}"] += 1
        for name in ("t.jpg", "mix.m4a", "mix.wav", "mix.loudness"):
            with contextlib.suppress(FileNotFoundError):
                (tmp_path / name).unlink()
        if seed == 10:
            before = memory()
    known = {path.name for path in tmp_path.iterdir()}
    log.info("films.mutated", count=count, ends=dict(ends), more_memory_mib=round((memory() - before) / 2**20))
    assert ends["film made"] < count
    assert ends["film made"] + ends["film: FilmWrong"] + ends["film: JoinFailed"] > 0
    assert known <= {"gop.mp4", "ours.mp4", "film.mp4", "sound.m4a", *(f"part-{n}.mp4" for n in range(9))}
    assert memory() - before < LARGEST_GROWTH
