"""The pictures of a film show it: each scene at its time, small enough for galleries and players."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from composer.previews.pictures import LARGEST_ANIMATION, make_animation, make_contact_sheet, make_scrub_sheet
from composer.previews.thumbnail import take_thumbnail
from shared.contracts.story import Scene
from shared.contracts.timeline import Slot, timeline
from shared.media.ffmpeg import Ffmpeg

pytestmark = pytest.mark.slow
COLOURS = {"red": (255, 0, 0), "lime": (0, 255, 0), "blue": (0, 0, 255)}
GOPS = {"keyframes": (), "single-keyframe": ("-x264-params", "sps-id=0:keyint=1000:scenecut=0")}


def slots(*seconds: float) -> tuple[Slot, ...]:
    scene = {"description": "d", "camera_angle": "wide", "action": "a", "transition": "cut"}
    return timeline([Scene(scene_number=n, duration=length, **scene) for n, length in enumerate(seconds, 1)])


async def film(film_maker: Any, source: str = "", *form: str) -> tuple[Path, tuple[Slot, ...]]:
    """A film of three scenes of five seconds each."""
    scenes = slots(5, 5, 5)
    size = "x".join(map(str, film_maker.size))
    clips = [
        await film_maker.clip(colour, source or f"color={colour}:s={size}:r=24", slot.clip_frames, *form)
        for slot, colour in zip(scenes, COLOURS, strict=True)
    ]
    path, _ = await film_maker.make(scenes, clips)
    return path, scenes


def picture(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return next(frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))


def colour_at(image: np.ndarray, x: int, y: int) -> str:
    return min(COLOURS, key=lambda name: float(np.abs(image[y, x] - np.array(COLOURS[name], float)).sum()))


@pytest.mark.parametrize("form", GOPS.values(), ids=GOPS)
async def test_the_sheets_show_each_scene_at_its_time(film_maker: Any, tmp_path: Path, form: tuple[str, ...]) -> None:
    path, _ = await film(film_maker, "", *form)
    await make_contact_sheet(path, 360, tmp_path / "sheet.jpg", Ffmpeg())
    sheet = picture(tmp_path / "sheet.jpg")
    height, width = sheet.shape[0] // 3, sheet.shape[1] // 4
    shown = [colour_at(sheet, n % 4 * width + width // 2, n // 4 * height + height // 2) for n in range(12)]
    assert shown == ["red"] * 4 + ["lime"] * 4 + ["blue"] * 4
    layout = await make_scrub_sheet(path, 360, tmp_path / "scrub.jpg", Ffmpeg())
    scrub = picture(tmp_path / "scrub.jpg")
    assert (layout.count, layout.seconds) == (15, 1)
    for number in range(layout.count):
        x = number % layout.columns * layout.width + layout.width // 2
        y = number // layout.columns * layout.height + layout.height // 2
        assert colour_at(scrub, x, y) == list(COLOURS)[number // 5], f"second {number}"


async def test_the_animation_loops_through_the_scenes(film_maker: Any, tmp_path: Path) -> None:
    path, scenes = await film(film_maker)
    await make_animation(path, scenes, tmp_path / "a.webp", Ffmpeg())
    content = (tmp_path / "a.webp").read_bytes()
    assert content[:4] == b"RIFF"
    assert content[8:12] == b"WEBP"
    loops = content.index(b"ANIM") + 8 + 4
    assert content[loops : loops + 2] == b"\0\0", "without end"
    assert content.count(b"ANMF") >= 3


@pytest.mark.parametrize("size", [(640, 360), (128, 228)], ids=["landscape", "smallest"])
async def test_a_noisy_film_has_a_small_animation(film_maker: Any, tmp_path: Path, size: tuple[int, int]) -> None:
    film_maker.size = size
    source = f"nullsrc=s={size[0]}x{size[1]}:r=24,geq=random(1)*255:random(2)*255:random(3)*255"
    path, scenes = await film(film_maker, source)
    await make_animation(path, scenes, tmp_path / "a.webp", Ffmpeg())
    assert 10_000 < (tmp_path / "a.webp").stat().st_size <= LARGEST_ANIMATION


@pytest.mark.parametrize("form", GOPS.values(), ids=GOPS)
async def test_the_thumbnail_is_no_black_frame(film_maker: Any, tmp_path: Path, form: tuple[str, ...]) -> None:
    black = "drawbox=t=fill:c=black:enable='between(n,30,100)'"
    await film_maker.clip("clip", f"color=red:s=160x90:r=24,{black}", 110, *form)
    await take_thumbnail(tmp_path / "clip.mp4", tmp_path / "t.jpg", 48, 96, Ffmpeg())
    shown = picture(tmp_path / "t.jpg")
    assert shown.shape == (90, 160, 3)
    assert colour_at(shown, 80, 45) == "red"


async def test_a_black_clip_has_a_thumbnail(film_maker: Any, tmp_path: Path) -> None:
    await film_maker.clip("clip", "color=black:s=160x90:r=24", 48)
    await take_thumbnail(tmp_path / "clip.mp4", tmp_path / "t.jpg", 24, 48, Ffmpeg())
    assert picture(tmp_path / "t.jpg").mean() < 10


async def test_pictures_of_a_film_of_differently_tagged_clips_are_whole(film_maker: Any, tmp_path: Path) -> None:
    scenes = slots(5, 5, 5)
    untagged = ("-bsf:v", "h264_metadata=matrix_coefficients=2:colour_primaries=2:transfer_characteristics=2")
    foreign = ("-x264-params", "sps-id=0:keyint=24:scenecut=0", *untagged)
    forms = {"red": (), "lime": foreign, "blue": ()}
    clips = [await film_maker.clip(name, f"color={name}:s=160x90:r=24", 120, *form) for name, form in forms.items()]
    path, _ = await film_maker.make(scenes, clips)
    layout = await make_scrub_sheet(path, 360, tmp_path / "scrub.jpg", Ffmpeg())
    scrub = picture(tmp_path / "scrub.jpg")
    middles = [(n % layout.columns * layout.width + 80, n // layout.columns * layout.height + 45) for n in (2, 7, 12)]
    assert [colour_at(scrub, x, y) for x, y in middles] == list(COLOURS)
