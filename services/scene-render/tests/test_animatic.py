"""An animatic is a clip in the film's format for any scene, with a distinct angle and readable text."""

import asyncio
import functools
import itertools
import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from scene_render.animatic import draw
from scene_render.animatic.camera_motion import corners
from scene_render.animatic.captions import overlay
from scene_render.animatic.palette import NICHES, palette_of
from scene_render.animatic.shots import staged
from scene_render.providers.animatic_order import AnimaticOrder
from shared.contracts.base import AspectRatio
from shared.contracts.media import FRAME_SIZE
from shared.contracts.story import CameraAngle, Scene
from shared.media.encoding_profile import PARAMETER_SET_ID
from shared.media.ffmpeg import Ffmpeg
from shared.media.h264_stream import cut_points
from shared.media.probe import probe

pytestmark = pytest.mark.slow

ANGLES: list[CameraAngle] = ["wide", "medium", "close-up", "overhead", "pov"]
INDONESIAN = "Seorang barista menuang susu ke dalam cangkir, uap mengepul di udara pagi"
HOSTILE = {
    "quotes": "'\"`´' :\\=,;[]() %{pts} ${HOME} $(id) %d\\n\\",
    "lines": "one\n\ttwo\r\n\x00\x07three\u2028four",
    "long": "word " * 800,
    "one word": "x" * 4000,
    "right to left": "رحلة إلى الصحراء، حيث نلتقي بالنجوم \u202e abc",
    "empty": "",
    "nothing printable": "\u200b\u200d\ufeff",
    "only emoji": "🐙🚀👩‍🚀",
    "surrogate-like": "\U0010ffff\ue000 end",
}


def order(
    angle: CameraAngle = "wide",
    ratio: AspectRatio = "16:9",
    frames: int = 24,
    action: str = INDONESIAN,
    niche: str = "food",
    number: int = 2,
    seed: str = "3f1c",
) -> AnimaticOrder:
    scene = Scene(
        scene_number=number, description="d", camera_angle=angle, duration=frames / 24, action=action, transition="cut"
    )
    return AnimaticOrder(scene=scene, scene_count=5, aspect_ratio=ratio, niche=niche, clip_frames=frames, seed=seed)


async def drawn(folder: Path, wanted: AnimaticOrder, name: str = "clip") -> Path:
    workspace = folder / name
    workspace.mkdir()
    target = folder / f"{name}.mp4"
    await draw(wanted, target, Ffmpeg(), workspace=workspace)
    return target


def frames_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24").astype(np.int16) for frame in container.decode(video=0)]


def difference(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first - second).mean())


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[CameraAngle, Path]:
    """A second of every angle, in one film."""
    folder = tmp_path_factory.mktemp("angles")
    return {
        angle: asyncio.run(drawn(folder, order(angle, number=number), angle))
        for number, angle in enumerate(ANGLES, start=1)
    }


@pytest.fixture(scope="module")
def pictures(clips: dict[CameraAngle, Path]) -> dict[CameraAngle, list[np.ndarray]]:
    return {angle: frames_of(path) for angle, path in clips.items()}


async def test_a_scene_shows_the_picture_that_it_brings_and_its_caption(tmp_path: Path) -> None:
    Image.new("RGB", (900, 900), (20, 160, 60)).save(tmp_path / "own.png")
    target = tmp_path / "clip.mp4"
    await draw(order(frames=48), target, Ffmpeg(), workspace=tmp_path, picture=tmp_path / "own.png")
    first, green = frames_of(target)[0], np.full((720, 1280, 3), (20, 160, 60), np.int16)
    middle = (slice(250, 400), slice(300, 900))
    assert difference(first[middle], green[middle]) < 6
    assert difference(first[500:], green[500:]) > 6, "the caption is there"


@pytest.mark.parametrize(("ratio", "frames"), [("16:9", 25), ("9:16", 24), ("1:1", 31)])
async def test_a_clip_has_the_format_of_the_film(tmp_path: Path, ratio: AspectRatio, frames: int) -> None:
    emitted: list[float] = []
    target = tmp_path / "clip.mp4"
    await draw(order("medium", ratio, frames), target, Ffmpeg(), workspace=tmp_path, on_progress=emitted.append)
    facts = await probe(target)
    assert (facts.width, facts.height) == FRAME_SIZE[ratio]
    assert (facts.frames, facts.frame_rate, facts.constant_rate) == (frames, Fraction(24), True)
    assert (facts.video_codec, facts.profile, facts.pixel_format) == ("h264", "High", "yuv420p")
    assert facts.audio_codec is None
    assert facts.duration == pytest.approx(frames / 24, abs=0.001)
    assert emitted == sorted(emitted)
    assert emitted[-1] == 100


async def test_a_clip_can_be_joined_without_conversion(clips: dict[CameraAngle, Path]) -> None:
    parameter_sets = set()
    for path in clips.values():
        data = path.read_bytes()
        assert data.index(b"moov") < data.index(b"mdat")
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            parameter_sets.add(stream.codec_context.extradata)
            assert stream.codec_context.colorspace == 1
            assert stream.codec_context.color_range == 1
            packets = [packet for packet in container.demux(stream) if packet.pts is not None]
        assert min(packet.pts for packet in packets) == 0
        assert [n for n, packet in enumerate(packets) if packet.is_keyframe] == [0]
    assert len(parameter_sets) == 1


async def test_a_clip_can_be_cut_where_scenes_overlap(tmp_path: Path) -> None:
    wanted = order(frames=30).model_copy(update={"lead_frames": 12, "tail_frames": 9})
    points = cut_points(await drawn(tmp_path, wanted))
    assert points.idr_frames == (0, 12, 21)
    assert {12, 21, 30} <= set(points.clean_ends)
    assert points.parameter_set_id == PARAMETER_SET_ID


def test_each_angle_is_another_picture(pictures: dict[CameraAngle, list[np.ndarray]]) -> None:
    middles = {angle: frames[len(frames) // 2] for angle, frames in pictures.items()}
    for first in ANGLES:
        for second in ANGLES:
            if first < second:
                assert difference(middles[first], middles[second]) > 14, f"{first} and {second} look the same"


@pytest.mark.parametrize("angle", ANGLES)
def test_a_picture_moves_smoothly_and_is_not_dark(
    pictures: dict[CameraAngle, list[np.ndarray]], angle: CameraAngle
) -> None:
    frames = pictures[angle]
    assert difference(frames[0], frames[-1]) > 1.2
    steps = [difference(before, after) for before, after in itertools.pairwise(frames)]
    assert max(steps) < 12
    for frame in (frames[0], frames[-1]):
        assert 25 < frame.mean() < 215
        assert frame.std() > 15


async def test_the_same_order_makes_the_same_picture(tmp_path: Path) -> None:
    same = [await drawn(tmp_path, order("overhead", frames=3), name) for name in ("first", "again")]
    assert same[0].read_bytes() == same[1].read_bytes()


async def test_another_video_of_the_niche_looks_different(tmp_path: Path) -> None:
    clips = [await drawn(tmp_path, order("wide", frames=2, seed=seed, niche="travel"), seed) for seed in ("a", "b")]
    first, second = (frames_of(path)[0] for path in clips)
    assert difference(first, second) > 3


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_words_never_fail(text: str) -> None:
    for ratio in FRAME_SIZE:
        sheet = _words(text, ratio)
        assert sheet.shape[:2] == FRAME_SIZE[ratio][::-1]


async def test_a_clip_with_hostile_words_is_drawn(tmp_path: Path) -> None:
    path = await drawn(tmp_path, order("close-up", frames=2, action=HOSTILE["quotes"], niche="'; DROP %{n}"))
    assert len(frames_of(path)) == 2


@pytest.mark.parametrize(
    "text",
    [
        INDONESIAN,
        "Ein Müller träumt: Ça va, naïve Łódź?",
        "Маленький робот идёт под дождём",
        "Ένα μικρό ρομπότ στη βροχή",
        "小さなロボットが雨の中を歩く。猫に出会う。",
        "작은 로봇이 빗속을 걷는다",
        "رحلة إلى الصحراء",
        "एक छोटा रोबोट बारिश में चलता है",
        "หุ่นยนต์ตัวน้อยเดินกลางสายฝน",
        "רובוט קטן בגשם",
        "A rocket 🚀 takes off",
    ],
)
def test_words_of_many_scripts_leave_ink(text: str) -> None:
    blank = _words("", "9:16")
    assert (_words(text, "9:16") != blank).any(axis=2).sum() > 1500


@pytest.mark.parametrize("words", ["Wörter " * 60, "ꦩꦸꦫꦶꦢ꧀ꦥꦿ " * 40, "ស្ត្រីម្នាក់កំពុង" * 20, "ฟื้นที่ปู่ญี่ปุ่น " * 40])
@pytest.mark.parametrize("ratio", list(FRAME_SIZE))
def test_words_stay_inside_the_safe_area(ratio: AspectRatio, words: str) -> None:
    width, height = FRAME_SIZE[ratio]
    changed = (_words(words, ratio) != _words("", ratio)).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    margin = round(min(width, height) * 0.06)
    assert margin <= columns[0] <= columns[-1] < width - margin
    assert height * 0.6 < rows[0] <= rows[-1] < height - margin


def test_a_known_niche_keeps_its_colours_and_an_unknown_one_gets_some() -> None:
    assert palette_of("FOOD ", "a", 1) == palette_of("food", "a", 1)
    assert palette_of("beekeeping", "a", 1) == palette_of("beekeeping", "a", 1)
    assert len({palette_of(niche, "a", 1).sky for niche in NICHES}) == len(NICHES)


@pytest.mark.parametrize(("niche", "ratio"), [("horror", "16:9"), ("kids", "9:16"), ("tech", "1:1")])
@pytest.mark.parametrize("angle", ANGLES)
def test_the_camera_never_sees_past_an_edge(angle: CameraAngle, niche: str, ratio: AspectRatio) -> None:
    width, height = size = FRAME_SIZE[ratio]
    longest = order(angle, ratio, niche=niche, frames=60 * 24)
    shot = staged(longest, size, palette_of(niche, longest.seed, 2))
    assert shot.layers[0].pictures[0].convert("RGBA").getchannel("A").getextrema() == (255, 255)
    for layer in shot.layers:
        glide = abs(layer.glide) * 60 * layer.rate / len(layer.pictures)
        for axis, gone in ((0, glide), (1, 0)):
            spare = layer.pictures[0].size[axis] - size[axis]
            assert gone + abs(layer.slide[axis]) * size[axis] + 2 * layer.sway[axis] * min(size) <= spare
    # ffmpeg's expressions are Python's as well.
    known = {"W": width, "H": height, "PI": math.pi, "sin": math.sin, "cos": math.cos}
    for name, expression in (corners(shot.move, 240) if shot.move else {}).items():
        for frame in range(241):
            place = eval(expression, {}, {**known, "on": frame})  # noqa: S307 - our own words
            assert 0 <= place <= (width if name[0] == "x" else height), f"{name} in frame {frame}"


@functools.cache
def _words(text: str, ratio: AspectRatio) -> np.ndarray:
    scene = order(ratio=ratio, action=text).scene
    return np.asarray(overlay(FRAME_SIZE[ratio], scene, 5, palette_of("food", "a", 1)))
