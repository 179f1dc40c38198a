"""Clips are joined into a film with the planned scenes, transitions and length, and most of it is copied."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from composer.film.join import JoinFailed, ParameterSetsDiffer, Run, join
from composer.film.plan import ClipTooShort, Rules, plan_film
from composer.film.segments import Copied, Encoded
from composer.film.verification import FilmWrong, verify_film, verify_frames
from shared.contracts.story import Scene, Transition
from shared.contracts.timeline import Slot, timeline
from shared.media.ffmpeg import Ffmpeg, FfmpegFailed
from shared.media.probe import probe

pytestmark = pytest.mark.slow

SIZE = (160, 90)
COLOURS = ["red", "lime", "blue", "yellow", "white"]
RGB = {"red": (255, 0, 0), "lime": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0), "white": (255,) * 3}
FOREIGN = "stitchable=1:open-gop=0:bframes=2:b-pyramid=0:ref=2:sps-id=0"
"""The form of a provider's clip."""


def plan(*cuts: tuple[float, Transition]) -> tuple[Slot, ...]:
    return timeline(
        [
            Scene(scene_number=n, description="d", camera_angle="wide", duration=d, action="a", transition=t)
            for n, (d, t) in enumerate(cuts, start=1)
        ]
    )


def plain(colour: str) -> str:
    return f"color={colour}:s={SIZE[0]}x{SIZE[1]}:r=24"


def foreign(gop: int) -> tuple[str, ...]:
    return ("-x264-params", f"{FOREIGN}:keyint={gop}:min-keyint=1:scenecut=0")


async def coloured(film_maker: Any, slots: Sequence[Slot], *more: str, extra: int = 0) -> list[Any]:
    return [
        await film_maker.clip(
            f"{colour}",
            plain(colour),
            slot.clip_frames + extra,
            *more,
            forced=[] if more else [frame for frame in (slot.lead, slot.frames) if frame],
        )
        for slot, colour in zip(slots, COLOURS, strict=False)
    ]


def pictures(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def packets(path: Path) -> list[str]:
    with av.open(str(path)) as container:
        return [hashlib.sha256(bytes(packet)).hexdigest() for packet in container.demux(video=0) if packet.size]


def looks(picture: np.ndarray, colour: str) -> bool:
    return bool(np.abs(picture.mean(axis=(0, 1)) - RGB[colour]).max() < 40)


@pytest.mark.parametrize("form", [(), foreign(24), foreign(250)], ids=["ours", "foreign", "single-idr"])
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
    film_maker: Any, cuts: list[tuple[float, Transition]], form: tuple[str, ...]
) -> None:
    slots = plan(*cuts)
    film, segments = await film_maker.make(slots, await coloured(film_maker, slots, *form, extra=5 if form else 0))
    shown = pictures(film)
    assert len(shown) == round(sum(duration for duration, _ in cuts) * 24)
    for slot, colour in zip(slots, COLOURS, strict=False):
        assert looks(shown[slot.start + 20], colour), f"scene {slot.scene.scene_number}"
    assert any(isinstance(segment, Copied) for segment in segments)


async def test_copied_frames_are_those_of_the_clips_bit_by_bit(film_maker: Any, tmp_path: Path) -> None:
    slots = plan((2, "dissolve"), (3, "cut"), (2, "cut"))
    source = "testsrc2=s=160x90:r=24"
    clips = [
        await film_maker.clip(
            f"c{slot.start}", source, slot.clip_frames, forced=[n for n in (slot.lead, slot.frames) if n]
        )
        for slot in slots
    ]
    film, segments = await film_maker.make(slots, clips)
    got, begin = packets(film), 0
    for segment in segments:
        if isinstance(segment, Copied):
            source_packets = packets(tmp_path / segment.media.key)[segment.first : segment.first + segment.frames]
            assert got[begin : begin + segment.frames] == source_packets
        begin += segment.frames
    assert sum(segment.frames for segment in segments if isinstance(segment, Encoded)) == slots[0].overlap


async def test_cuts_alone_encode_nothing(film_maker: Any) -> None:
    slots = plan((1, "cut"), (1, "cut"))
    film, segments = await film_maker.make(slots, await coloured(film_maker, slots))
    assert all(isinstance(segment, Copied) for segment in segments)
    shown = pictures(film)
    assert looks(shown[23], "red")
    assert looks(shown[24], "lime")


async def test_a_dissolve_mixes_both_scenes_half_way(film_maker: Any) -> None:
    slots = plan((2, "dissolve"), (2, "cut"))
    film, _ = await film_maker.make(slots, await coloured(film_maker, slots))
    middle = pictures(film)[48 + slots[0].overlap // 2].mean(axis=(0, 1))
    assert middle[0] > 60
    assert middle[1] > 60


async def test_a_fade_is_dark_half_way(film_maker: Any) -> None:
    slots = plan((2, "fade"), (2, "cut"))
    film, _ = await film_maker.make(slots, await coloured(film_maker, slots))
    assert pictures(film)[48 + slots[0].overlap // 2].mean() < 40


async def test_a_wipe_shows_both_scenes_side_by_side(film_maker: Any) -> None:
    slots = plan((2, "wipe"), (2, "cut"))
    film, _ = await film_maker.make(slots, await coloured(film_maker, slots))
    middle = pictures(film)[48 + slots[0].overlap // 2]
    assert looks(middle[:, :20], "red")
    assert looks(middle[:, -20:], "lime")


async def test_a_clip_that_can_only_be_cut_at_its_beginning_stands_still_during_the_transition(film_maker: Any) -> None:
    slots = plan((2, "wipe"), (3, "cut"))
    moving = "color=black:s=160x90:r=24,drawbox=x=2*n:y=0:w=8:h=90:c=white:t=fill"
    first = await film_maker.clip("first", plain("red"), slots[0].clip_frames)
    second = await film_maker.clip("second", moving.replace("n:", "t*24:"), slots[1].clip_frames, *foreign(250))
    film, segments = await film_maker.make(slots, [first, second])
    assert sum(segment.frames for segment in segments if isinstance(segment, Encoded)) <= slots[0].overlap + 3
    shown = pictures(film)
    begin = slots[1].start + slots[0].overlap
    assert np.abs(shown[begin - 1][:, 100:].astype(int) - shown[begin][:, 100:]).mean() < 3
    film, segments = await film_maker.make(slots, [first, second], holds="never")
    assert sum(segment.frames for segment in segments if isinstance(segment, Encoded)) >= slots[1].frames


async def test_a_slightly_short_clip_repeats_its_last_frame(film_maker: Any) -> None:
    slots = plan((2, "cut"), (1, "cut"))
    clips = [await film_maker.clip("red", plain("red"), 40), await film_maker.clip("lime", plain("lime"), 24)]
    film, _ = await film_maker.make(slots, clips)
    shown = pictures(film)
    assert len(shown) == 72
    assert looks(shown[47], "red")


async def test_a_much_too_short_clip_is_rejected(film_maker: Any) -> None:
    clip = await film_maker.clip("red", plain("red"), 20)
    with pytest.raises(ClipTooShort, match="scene 1 has 20 frames; 48 are needed"):
        plan_film(plan((2, "cut")), {1: clip}, Rules({}))


async def test_clips_of_different_encoders_are_encoded_into_one_film(film_maker: Any) -> None:
    slots = plan((2, "cut"), (2, "fade"), (2, "cut"))
    other = FOREIGN.replace("bframes=2", "bframes=0:cabac=0")
    clips = [
        await film_maker.clip("a", plain("red"), slots[0].clip_frames, "-x264-params", f"{FOREIGN}:keyint=24"),
        await film_maker.clip("b", plain("lime"), slots[1].clip_frames, "-x264-params", f"{other}:keyint=24"),
        await film_maker.clip("c", plain("blue"), slots[2].clip_frames),
    ]
    assert clips[0].cut_points.parameter_sets != clips[1].cut_points.parameter_sets
    film, segments = await film_maker.make(slots, clips)
    assert [one.scene_number for one in segments if isinstance(one, Copied)] == [1, 3]
    shown = pictures(film)
    assert [looks(shown[slot.start + 20], colour) for slot, colour in zip(slots, COLOURS, strict=False)] == [True] * 3


async def test_nothing_is_copied_where_that_is_forbidden(film_maker: Any) -> None:
    slots = plan((1, "dissolve"), (1, "cut"))
    film, segments = await film_maker.make(slots, await coloured(film_maker, slots), copies=False)
    assert all(isinstance(segment, Encoded) for segment in segments)
    assert len(pictures(film)) == 48


async def test_different_parameter_sets_of_the_same_number_are_not_joined(film_maker: Any, tmp_path: Path) -> None:
    await film_maker.clip("a", plain("red"), 24)
    await film_maker.clip("b", plain("red"), 24, "-x264-params", "sps-id=1:ref=1:bframes=0")
    with pytest.raises(ParameterSetsDiffer):
        join([Run(tmp_path / "a.mp4", 0, 24), Run(tmp_path / "b.mp4", 0, 24)], None, tmp_path / "f.mp4")


async def test_a_run_that_is_not_in_its_file_is_not_joined(film_maker: Any, tmp_path: Path) -> None:
    await film_maker.clip("a", plain("red"), 24)
    with pytest.raises(JoinFailed, match="24 packets"):
        join([Run(tmp_path / "a.mp4", 0, 25)], None, tmp_path / "f.mp4")


async def test_a_film_that_is_not_the_planned_one_is_not_accepted(film_maker: Any) -> None:
    slots = plan((2, "cut"), (1, "cut"))
    film, segments = await film_maker.make(slots, await coloured(film_maker, slots))
    for wrong, size in ((segments[:1], SIZE), ([*segments, segments[0]], SIZE), (segments, (320, 180))):
        with pytest.raises(FilmWrong):
            verify_film(film, wrong, size, "encoded")


async def test_a_damaged_film_is_not_accepted(film_maker: Any, tmp_path: Path) -> None:
    await film_maker.clip("a", "testsrc2=s=160x90:r=24,noise=alls=20:allf=t", 72)
    path = tmp_path / "a.mp4"
    verify_frames(path, 72)
    damage(path)
    with pytest.raises(FilmWrong) as wrong:
        verify_frames(path, 72)
    assert str(tmp_path) not in str(wrong.value), "the message is published"


async def test_a_part_with_fewer_frames_than_planned_is_not_made(film_maker: Any, tmp_path: Path) -> None:
    slots = plan((3, "cut"))
    clip = await film_maker.clip("red", plain("red"), 10)
    announced = clip.model_copy(update={"frames": 72, "cut_points": None})
    with pytest.raises((FilmWrong, FfmpegFailed, JoinFailed)):
        await film_maker.make(slots, [announced])


async def test_a_clip_that_does_not_say_its_colours_keeps_them_beside_one_that_does(
    film_maker: Any, tmp_path: Path
) -> None:
    slots = plan((1, "dissolve"), (1, "cut"))
    tagged = await film_maker.clip("tagged", plain("lime"), slots[0].clip_frames)
    await film_maker.clip("second", plain("lime"), 24)
    tags = "h264_metadata=matrix_coefficients=2:colour_primaries=2:transfer_characteristics=2"
    untagged = tmp_path / "untagged.mp4"
    source = ["-f", "mov", "-i", str(tmp_path / "second.mp4")]
    await Ffmpeg().run([*source, "-c", "copy", "-bsf:v", tags, str(untagged)], time_limit=30)
    assert (await probe(untagged)).colour.matrix == 2
    film, _ = await film_maker.make(slots, [tagged, (await film_maker.described(untagged))], copies=False)
    shown = pictures(film)
    assert np.abs(shown[10].mean(axis=(0, 1)) - shown[45].mean(axis=(0, 1))).max() < 3


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    middle = (content.find(b"mdat") + len(content)) // 2
    content[middle : middle + 6000] = bytes(n * 131 % 256 for n in range(6000))
    path.write_bytes(content)
