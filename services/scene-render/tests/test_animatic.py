"""The animatic renderer: exactly the clip that was asked for, and a picture worth looking at."""

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from scene_render.animatic import draw
from scene_render.animatic.captions import overlay, readable
from scene_render.animatic.palette import palette_of
from scene_render.animatic_order import AnimaticOrder
from scene_render.clips import fits
from shared.contracts.media import FRAME_SIZE
from shared.contracts.story import Scene
from shared.ffmpeg import Ffmpeg
from shared.probe import probe

ANGLES = ("wide", "medium", "close-up", "overhead", "pov")


def order(angle: str = "wide", aspect: str = "16:9", frames: int = 24, action: str = "A fox waits.") -> AnimaticOrder:
    scene = Scene(
        scene_number=2, description="d", camera_angle=angle, duration=frames / 24, action=action, transition="cut"
    )
    return AnimaticOrder(
        scene=scene, scene_count=3, aspect_ratio=aspect, niche="food", clip_frames=frames, seed="one film"
    )


async def drawn(folder: Path, wish: AnimaticOrder) -> Path:
    target = folder / "clip.mp4"
    await draw(wish, target, Ffmpeg(), workspace=folder)
    return target


def pictures(path: Path, which: Sequence[int]) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]
    return [frames[n] for n in which]


@pytest.mark.parametrize(("aspect", "frames"), [("16:9", 24), ("9:16", 31), ("1:1", 18)])
async def test_a_clip_has_the_film_s_form_to_the_frame(tmp_path: Path, aspect: str, frames: int) -> None:
    facts = await probe(await drawn(tmp_path, order(aspect=aspect, frames=frames)))
    assert fits(facts, FRAME_SIZE[aspect], frames)
    assert facts.frames == frames
    assert (facts.audio_codec, facts.audio_rate, facts.audio_channels) == ("aac", 48_000, 2)
    assert abs(facts.audio_duration - frames / 24) <= 1 / 24


async def test_every_angle_looks_different_moves_and_is_not_black(tmp_path: Path) -> None:
    middles = []
    extradata = set()
    for angle in ANGLES:
        path = await drawn(tmp_path, order(angle, frames=36))
        first, middle, last = pictures(path, (0, 18, 35))
        assert middle.mean() > 25, f"{angle} is dark"
        assert np.abs(first - last).mean() > 0.7, f"{angle} stands still"
        assert np.abs(first - last).mean() < 40, f"{angle} jumps"
        middles.append(middle)
        with av.open(str(path)) as container:
            extradata.add(container.streams.video[0].codec_context.extradata)
    for n, one in enumerate(middles):
        for other in middles[n + 1 :]:
            assert np.abs(one - other).mean() > 12
    assert len(extradata) == 1, "clips of one size must share their parameter sets"


async def test_the_same_order_makes_the_same_picture(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    [one], [other] = [pictures(await drawn(tmp_path / name, order(frames=3)), (1,)) for name in "ab"]
    assert (one == other).all()


@pytest.mark.parametrize(
    "text",
    [
        "Kopi hangat di pagi yang dingin, uapnya naik perlahan.",
        "夜の東京を走る猫が魚屋を見つける",
        "قطة سوداء تعبر المدينة",
        "Кот идёт домой",
        "बिल्ली घर जाती है",
        "it's 100% \\ {weird}: 'quoted', [x]; %{pts}",
        "line\nbreak\x00\x1b",
        "x" * 4000,
        "word " * 800,
    ],
)
def test_a_caption_in_any_script_leaves_ink(text: str) -> None:
    size = FRAME_SIZE["9:16"]
    palette = palette_of("food", "s", 1)
    plain, written = (overlay(size, order(action=action).scene, 3, palette) for action in ("", text))
    assert np.abs(np.asarray(plain).astype(int) - np.asarray(written).astype(int)).sum() > 10_000


@pytest.mark.parametrize("text", ["", " ", "\n", "\U0010fffd"])
def test_a_caption_of_nothing_is_no_caption(text: str) -> None:
    assert readable(text)[1] == ""


async def test_progress_is_told_up_to_the_end(tmp_path: Path) -> None:
    told: list[float] = []
    await draw(order(frames=48), tmp_path / "c.mp4", Ffmpeg(), workspace=tmp_path, on_progress=told.append)
    assert told == sorted(told)
    assert told[-1] == 100
