"""Clips are joined into a film with the planned scenes, transitions and length."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from composer.film import ClipTooShort, ClipUnusable, FilmWrong, Plan, _compare, _decode, compose
from composer.graph import ClipFile
from composer.thumbnail import take_thumbnail
from shared.contracts.story import Scene, Transition
from shared.contracts.timeline import Slot, timeline
from shared.media.ffmpeg import Ffmpeg, FfmpegFailed
from shared.media.probe import MediaUnreadable, probe

pytestmark = pytest.mark.slow

SIZE = (160, 90)
COLOURS = ["red", "lime", "blue", "yellow", "white"]
RGB = {"red": (255, 0, 0), "lime": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0), "white": (255,) * 3}
Film = Callable[..., object]


def plan(*cuts: tuple[float, Transition]) -> tuple[Slot, ...]:
    return timeline(
        [
            Scene(scene_number=n, description="d", camera_angle="wide", duration=d, action="a", transition=t)
            for n, (d, t) in enumerate(cuts, start=1)
        ]
    )


async def clip(folder: Path, colour: str, frames: int, tone: int | None = None) -> ClipFile:
    path = folder / f"{colour}-{frames}.mp4"
    sound = ["-f", "lavfi", "-i", f"sine={tone}:r=48000:d={frames / 24}", "-c:a", "aac"] if tone else []
    picture = ["-f", "lavfi", "-i", f"color={colour}:s={SIZE[0]}x{SIZE[1]}:r=24:d={frames / 24}"]
    form = ["-frames:v", str(frames), "-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"]
    await Ffmpeg().run([*picture, *sound, *form, "-y", str(path)], time_limit=30)
    return ClipFile(path, frames, tone is not None)


async def film(folder: Path, slots: tuple[Slot, ...], **more: int) -> Path:
    clips = [await clip(folder, colour, slot.clip_frames, **more) for slot, colour in zip(slots, COLOURS, strict=False)]
    target = folder / "film.mp4"
    await compose(slots, clips, target, SIZE, Ffmpeg())
    return target


def pictures(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def looks(picture: np.ndarray, colour: str) -> bool:
    return bool(np.abs(picture.mean(axis=(0, 1)) - RGB[colour]).max() < 40)


@pytest.mark.parametrize(
    "cuts",
    [
        [(2, "cut")],
        [(2, "cut"), (1.5, "cut")],
        [(2, "fade"), (1.5, "cut")],
        [(2, "dissolve"), (3.3, "wipe"), (1.7, "cut")],
        [(2, "fade"), (1.5, "dissolve"), (2.3, "wipe"), (1, "cut"), (1.2, "cut")],
    ],
)
async def test_the_film_has_exactly_the_planned_frames_and_each_scene_in_its_place(
    tmp_path: Path, cuts: list[tuple[float, Transition]]
) -> None:
    slots = plan(*cuts)
    path = await film(tmp_path, slots)
    shown = pictures(path)
    assert len(shown) == round(sum(duration for duration, _ in cuts) * 24)
    for slot, colour in zip(slots, COLOURS, strict=False):
        after_the_join = slot.start + 20
        assert looks(shown[after_the_join], colour), f"scene {slot.scene.scene_number}"


async def test_a_cut_changes_between_two_frames(tmp_path: Path) -> None:
    shown = pictures(await film(tmp_path, plan((1, "cut"), (1, "cut"))))
    assert looks(shown[23], "red")
    assert looks(shown[24], "lime")


async def test_a_dissolve_mixes_both_scenes_half_way(tmp_path: Path) -> None:
    slots = plan((2, "dissolve"), (2, "cut"))
    middle = pictures(await film(tmp_path, slots))[48 + slots[0].overlap // 2].mean(axis=(0, 1))
    assert middle[0] > 60
    assert middle[1] > 60


async def test_a_fade_is_dark_half_way(tmp_path: Path) -> None:
    slots = plan((2, "fade"), (2, "cut"))
    assert pictures(await film(tmp_path, slots))[48 + slots[0].overlap // 2].mean() < 40


async def test_a_wipe_shows_both_scenes_side_by_side(tmp_path: Path) -> None:
    slots = plan((2, "wipe"), (2, "cut"))
    middle = pictures(await film(tmp_path, slots))[48 + slots[0].overlap // 2]
    assert looks(middle[:, :20], "red")
    assert looks(middle[:, -20:], "lime")


async def test_sound_is_where_its_clip_is_and_silence_elsewhere(tmp_path: Path) -> None:
    slots = plan((2, "cut"), (2, "cut"))
    clips = [await clip(tmp_path, "red", 48), await clip(tmp_path, "lime", 48, tone=440)]
    target = tmp_path / "film.mp4"
    await compose(slots, clips, target, SIZE, Ffmpeg())
    with av.open(str(target)) as container:
        sound = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)[0]
    assert np.abs(sound[: int(1.8 * 48_000)]).max() < 0.01
    assert np.abs(sound[int(2.2 * 48_000) : int(3.8 * 48_000)]).max() > 0.05


async def test_a_slightly_short_clip_repeats_its_last_frame(tmp_path: Path) -> None:
    slots = plan((2, "cut"))
    await compose(slots, [await clip(tmp_path, "red", 40)], tmp_path / "film.mp4", SIZE, Ffmpeg())
    assert len(pictures(tmp_path / "film.mp4")) == 48


async def test_a_much_too_short_clip_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ClipTooShort, match="scene 1 has 20 frames; 48 are needed"):
        await compose(plan((2, "cut")), [await clip(tmp_path, "red", 20)], tmp_path / "f.mp4", SIZE, Ffmpeg())


@pytest.mark.parametrize("content", [b"", b"<html>", b"#EXTM3U\n#EXTINF:1,\nother.ts\n", b"ffconcat version 1.0\n"])
async def test_a_file_that_is_no_clip_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(content)
    with pytest.raises(ClipUnusable):
        await compose(plan((2, "cut")), [ClipFile(path, 48, has_audio=False)], tmp_path / "f.mp4", SIZE, Ffmpeg())
    with pytest.raises(MediaUnreadable):
        await probe(path)


async def test_a_film_that_is_not_the_planned_one_is_not_accepted(tmp_path: Path) -> None:
    facts = await probe(await film(tmp_path, plan((2, "cut"))))
    _compare(facts, Plan(SIZE, 48))
    for wrong in (Plan(SIZE, 47), Plan((320, 180), 48)):
        with pytest.raises(FilmWrong):
            _compare(facts, wrong)


async def test_the_thumbnail_shows_the_first_scene(tmp_path: Path) -> None:
    slots = plan((2, "fade"), (2, "cut"))
    await take_thumbnail(await film(tmp_path, slots), tmp_path / "t.jpg", slots, Ffmpeg())
    with av.open(str(tmp_path / "t.jpg")) as container:
        [picture] = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert picture.shape == (90, 160, 3)
    assert looks(picture, "red")


async def test_a_clip_with_fewer_frames_than_announced_is_refused(tmp_path: Path) -> None:
    short = await clip(tmp_path, "red", 10)
    with pytest.raises(ClipUnusable):
        await compose(plan((3, "cut")), [ClipFile(short.path, 72, short.has_audio)], tmp_path / "f.mp4", SIZE, Ffmpeg())


async def test_a_clip_cut_off_in_the_middle_is_refused(tmp_path: Path) -> None:
    path, cut_off = tmp_path / "noise.mp4", tmp_path / "cut-off.mp4"
    await noise(path, 72)
    cut_off.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    with pytest.raises(ClipUnusable):
        await compose(plan((3, "cut")), [ClipFile(cut_off, 72, has_audio=False)], tmp_path / "f.mp4", SIZE, Ffmpeg())


async def test_a_damaged_clip_makes_no_film(tmp_path: Path) -> None:
    path = tmp_path / "noise.mp4"
    await noise(path, 72)
    damage(path)
    with pytest.raises(FfmpegFailed):
        await compose(plan((3, "cut")), [ClipFile(path, 72, has_audio=False)], tmp_path / "f.mp4", SIZE, Ffmpeg())


async def test_a_damaged_film_is_not_accepted(tmp_path: Path) -> None:
    path = tmp_path / "noise.mp4"
    await noise(path, 72)
    assert await _decode(path, Ffmpeg(), 60) == 72
    damage(path)
    with pytest.raises(FilmWrong, match="decoding") as wrong:
        await _decode(path, Ffmpeg(), 60)
    assert str(tmp_path) not in str(wrong.value), "the message is published"


async def test_the_thumbnail_of_a_scene_that_turns_black_is_not_black(tmp_path: Path) -> None:
    slots = plan((3, "fade"), (2, "cut"))
    black = "drawbox=t=fill:c=black:enable='between(n,20,60)'"
    path = tmp_path / "turns-black.mp4"
    source = f"color=red:s={SIZE[0]}x{SIZE[1]}:r=24,{black}"
    await Ffmpeg().run(
        ["-f", "lavfi", "-i", source, "-frames:v", "84", "-pix_fmt", "yuv420p", str(path)], time_limit=30
    )
    clips = [ClipFile(path, 84, has_audio=False), await clip(tmp_path, "lime", 48)]
    await compose(slots, clips, tmp_path / "film.mp4", SIZE, Ffmpeg())
    await take_thumbnail(tmp_path / "film.mp4", tmp_path / "t.jpg", slots, Ffmpeg())
    assert looks(pictures(tmp_path / "t.jpg")[0], "red")


async def test_chapters_of_a_clip_do_not_come_into_the_film(tmp_path: Path) -> None:
    slots = plan((2, "dissolve"), (2, "cut"))
    first, second = await clip(tmp_path, "red", slots[0].clip_frames), await clip(tmp_path, "lime", 48)
    chapters, path = tmp_path / "chapters.txt", tmp_path / "with-chapters.mp4"
    chapters.write_text(";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1500\ntitle=One\n")
    arguments = ["-i", str(first.path), "-i", str(chapters), "-map_chapters", "1", "-map", "0", "-c", "copy", str(path)]
    await Ffmpeg().run(arguments, time_limit=30)
    assert (await probe(path)).others == 2
    clips = [ClipFile(path, first.frames, first.has_audio), second]
    assert (await compose(slots, clips, tmp_path / "film.mp4", SIZE, Ffmpeg())).others == 0


async def test_a_clip_that_does_not_say_its_colours_keeps_them_beside_one_that_does(tmp_path: Path) -> None:
    slots = plan((1, "cut"), (1, "cut"))
    tagged = await clip(tmp_path, "lime", 24)
    untagged = tmp_path / "untagged.mp4"
    tags = "h264_metadata=matrix_coefficients=2:colour_primaries=2:transfer_characteristics=2"
    await Ffmpeg().run(["-i", str(tagged.path), "-c", "copy", "-bsf:v", tags, str(untagged)], time_limit=30)
    assert (await probe(untagged)).colour.matrix == 2
    clips = [tagged, ClipFile(untagged, 24, has_audio=False)]
    await compose(slots, clips, tmp_path / "film.mp4", SIZE, Ffmpeg())
    shown = pictures(tmp_path / "film.mp4")
    assert np.abs(shown[10].mean(axis=(0, 1)) - shown[34].mean(axis=(0, 1))).max() < 3


async def noise(path: Path, frames: int) -> None:
    source = f"testsrc2=s={SIZE[0]}x{SIZE[1]}:r=24,noise=alls=20:allf=t"
    arguments = ["-f", "lavfi", "-i", source, "-frames:v", str(frames), "-pix_fmt", "yuv420p"]
    await Ffmpeg().run([*arguments, "-movflags", "+faststart", str(path)], time_limit=30)


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = (content.find(b"mdat") + len(content)) // 2
    content[middle : middle + 6000] = bytes(n * 131 % 256 for n in range(6000))
    path.write_bytes(content)
