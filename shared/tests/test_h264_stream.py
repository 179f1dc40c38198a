"""The cut points of a clip are those that a decoder finds, and what cannot be copied is told from what is damaged."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import av
import pytest

from shared.contracts.media import FRAME_SIZE
from shared.media.encoding_profile import CLIP_VIDEO, forced_idr
from shared.media.ffmpeg import Ffmpeg
from shared.media.h264_stream import NotCopyable, ParameterSets, configuration_record, cut_points
from shared.media.probe import MediaDamaged

Make = Callable[..., Path]
SOURCE = "testsrc2=s=160x90:r=24:d=3"
FORMS = {
    "cabac": "-bf 3 -g 24",
    "cavlc": "-coder 0 -g 24",
    "baseline": "-profile:v baseline -g 24",
    "no b-frames": "-bf 0 -g 30",
    "6 references": "-refs 6 -g 48",
    "a single idr": "-g 1000",
    "open groups": "-g 24 -x264-params open-gop=1:scenecut=0",
    "4 slices": "-g 24 -slices 4",
    "set number 5": "-g 24 -x264-params sps-id=5",
}


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes a clip by ffmpeg's options."""
    folder = tmp_path_factory.mktemp("h264")

    def run(
        options: str, name: str = "clip", source: str = f"-f lavfi -i {SOURCE} -c:v libx264 -pix_fmt yuv420p"
    ) -> Path:
        target = folder / f"{name.replace(' ', '-')}.mp4"
        arguments = [*source.split(), *options.split(), "-y", str(target)]
        subprocess.run([Ffmpeg().binary, "-v", "error", "-nostdin", *arguments], check=True)
        return target

    return run


def record_of(path: Path) -> bytes:
    with av.open(str(path)) as media:
        return media.streams.video[0].codec_context.extradata or b""


def decoded_times(path: Path, count: int | None = None) -> list[int]:
    """The times of the frames that the first `count` packets decode to."""
    with av.open(str(path)) as media:
        stream = media.streams.video[0]
        packets = [packet for packet in media.demux(stream) if packet.size][:count]
        decoder = av.CodecContext.create("h264", "r")
        decoder.extradata = stream.codec_context.extradata
        frames = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    return [frame.pts for frame in frames if frame.pts is not None]


@pytest.mark.parametrize("form", FORMS)
def test_cut_points_are_those_of_a_decoder(make: Make, form: str) -> None:
    path = make(FORMS[form], form)
    points = cut_points(path)
    shown = decoded_times(path)
    assert len(shown) == 72
    for count in range(1, 73):
        is_clean = decoded_times(path, count) == shown[:count]
        assert is_clean == (count in points.clean_ends), f"after {count} packets"
    with av.open(str(path)) as media:
        # ffmpeg also calls the first picture of an open group a key frame; a decoder cannot begin there.
        keys = {packet.pts for packet in media.demux(video=0) if packet.is_keyframe}
    expected = [0] if form == "open groups" else [n for n, time in enumerate(shown) if time in keys]
    assert list(points.idr_frames) == expected
    assert points.parameter_set_id == (5 if form == "set number 5" else 0)


@pytest.mark.parametrize("size", FRAME_SIZE.values(), ids=FRAME_SIZE)
def test_all_that_we_encode_in_one_size_has_the_same_parameter_sets(make: Make, size: tuple[int, int]) -> None:
    digests, numbers = set(), set()
    ours = " ".join(f"-{key} {value}" for key, value in CLIP_VIDEO.items())
    for number, (preset, crf, frames) in enumerate([("superfast", 20, 30), ("superfast", 18, 8), ("veryfast", 18, 30)]):
        forced = " ".join(f"-{key} {value}" for key, value in forced_idr([7, 20][:number]).items())
        source = f"-f lavfi -i testsrc2=s={size[0]}x{size[1]}:r=24 -frames:v {frames}"
        points = cut_points(make(f"{ours} -preset {preset} -crf {crf} {forced}", f"ours-{number}", source))
        assert {7, 20}.intersection(points.idr_frames) == set([7, 20][:number])
        digests.add(points.parameter_sets)
        numbers.add(points.parameter_set_id)
    assert (len(digests), numbers) == (1, {1})


def test_sets_of_two_numbers_fit_into_one_record(make: Make) -> None:
    sets = [ParameterSets.read(record_of(make(FORMS[form], form))) for form in ("cabac", "set number 5")]
    assert ParameterSets.read(configuration_record(sets[:1])) == sets[0]
    record = configuration_record(sets)
    assert all(one.sequence in record and one.picture in record for one in sets)
    with pytest.raises(NotCopyable, match="more than one"):
        ParameterSets.read(record)


@pytest.mark.parametrize(
    "record",
    [None, b"", b"\0\0\0\1gd\0\x1f", b"\1d\0\x1f\xfc\xe1\0\x04gd\0\x1f\1\0\1h", b"\1d\0\x1f\xff\xe1", b"\1" * 9],
)
def test_a_record_without_one_valid_set_is_refused(record: bytes | None) -> None:
    with pytest.raises(NotCopyable):
        ParameterSets.read(record)


def in_band(clip: Path, change: Callable[[bytes], bytes] = lambda sets: sets) -> Path:
    """Put the parameter sets into the first packet as well, changed."""
    sets, target = ParameterSets.read(record_of(clip)), clip.with_name("in-band.mp4")
    with av.open(str(clip)) as source, av.open(str(target), "w") as media:
        stream = media.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(packet for packet in source.demux(video=0) if packet.size):
            picture = change(sets.picture)
            units = [sets.sequence, picture] if number == 24 else []
            data = b"".join(len(unit).to_bytes(4) + unit for unit in units) + bytes(packet)
            again = av.Packet(data)
            again.pts, again.dts, again.time_base = packet.pts, packet.dts, packet.time_base
            again.is_keyframe, again.stream = packet.is_keyframe, stream
            media.mux(again)
    return target


def test_parameter_sets_may_be_repeated_but_not_changed(make: Make) -> None:
    clip = make(FORMS["no b-frames"], "no b-frames")
    assert cut_points(in_band(clip)).idr_frames == cut_points(clip).idr_frames
    with pytest.raises(NotCopyable, match="parameter sets change"):
        cut_points(in_band(clip, lambda picture: picture[:-1] + bytes([picture[-1] ^ 0x10])))


def test_a_clip_that_does_not_begin_with_an_idr_picture_cannot_be_copied(make: Make) -> None:
    whole = make(FORMS["open groups"], "open groups")
    part = make("-c copy -copyts", "part", f"-ss 1.02 -i {whole}")
    with pytest.raises(NotCopyable, match="IDR"):
        cut_points(part)


def test_damaged_lengths_are_damage(make: Make) -> None:
    clip = make(FORMS["cabac"], "cabac")
    with av.open(str(clip)) as media:
        middle = next(packet for n, packet in enumerate(media.demux(video=0)) if n == 24)
        place = middle.pos
    data = bytearray(clip.read_bytes())
    data[place : place + 2000] = bytes(2000)
    hole = clip.with_name("hole.mp4")
    hole.write_bytes(data)
    with pytest.raises(MediaDamaged):
        cut_points(hole)
