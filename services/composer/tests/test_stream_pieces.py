"""A piece of a film is divided into segments at IDR pictures, by copying: exact to the frame, without offsets."""

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import av
import pytest

from composer.stream.pieces import PieceWrong, StreamPiece, make_stream_piece
from shared.contracts.media import FRAME_RATE
from shared.media.ffmpeg import Ffmpeg

pytestmark = pytest.mark.slow

GOP_OF_A_SECOND = "keyint=24:min-keyint=24:scenecut=0:open-gop=0:bframes=3"
ONE_IDR = "keyint=infinite:scenecut=0:bframes=3"
OPEN_GOP = "keyint=24:min-keyint=24:scenecut=0:open-gop=1:bframes=3:b-adapt=0"
NO_B_FRAMES = "keyint=24:min-keyint=24:scenecut=0:bframes=0"


async def picture(path: Path, frames: int, encoder: str) -> Path:
    source = ["-f", "lavfi", "-i", f"testsrc2=s=160x90:r={FRAME_RATE}", "-frames:v", str(frames)]
    form = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-x264-params", encoder, "-video_track_timescale", "12288"]
    await Ffmpeg().run([*source, *form, str(path)], time_limit=60)
    return path


async def sound(path: Path, frames: float) -> Path:
    source = ["-f", "lavfi", "-i", f"sine=r=48000,atrim=end_sample={round(frames * 48_000 / FRAME_RATE)}"]
    await Ffmpeg().run([*source, "-c:a", "aac", str(path)], time_limit=60)
    return path


@dataclass
class Packets:
    """The packets of one track: their times in ticks, when they are shown and decoded, and what they are."""

    times: list[int]
    decoded: list[float]
    seconds: list[float]
    keyframes: list[bool]
    content: list[bytes]


def packets_of(source: Path | BytesIO, kind: str) -> Packets:
    with av.open(str(source) if isinstance(source, Path) else source, "r", format="mov") as media:
        [stream] = [stream for stream in media.streams if stream.type == kind]
        packets = [packet for packet in media.demux(stream) if packet.pts is not None]
        return Packets(
            [packet.pts or 0 for packet in packets],
            [float((packet.dts or 0) * packet.time_base) for packet in packets],
            [float((packet.pts or 0) * packet.time_base) for packet in packets],
            [packet.is_keyframe for packet in packets],
            [bytes(packet) for packet in packets],
        )


def _segments(piece: StreamPiece) -> Iterator[BytesIO]:
    """Yield each segment with its initialisation before it, as a player reads it."""
    for segment in piece.segments:
        yield BytesIO(piece.init.read_bytes() + segment.path.read_bytes())


def whole(piece: StreamPiece) -> BytesIO:
    return BytesIO(piece.init.read_bytes() + b"".join(one.path.read_bytes() for one in piece.segments))


@pytest.mark.parametrize(
    ("encoder", "lengths"),
    [
        (GOP_OF_A_SECOND, [48, 48, 13]),
        (NO_B_FRAMES, [48, 48, 13]),
        (ONE_IDR, [109]),
        # Its further keyframes are no places to cut: frames that follow them are shown before them.
        (OPEN_GOP, [109]),
    ],
)
async def test_segments_begin_at_idr_pictures_and_hold_every_frame(
    tmp_path: Path, encoder: str, lengths: list[int]
) -> None:
    source = await picture(tmp_path / "picture.mp4", 109, encoder)
    piece = await make_stream_piece(source, await sound(tmp_path / "sound.mp4", 109), 109, tmp_path / "piece")
    assert [segment.frames for segment in piece.segments] == lengths
    begin = 0
    for segment, length in zip(_segments(piece), lengths, strict=True):
        packets = packets_of(segment, "video")
        assert packets.keyframes[0]
        assert packets.decoded[0] == pytest.approx(begin / FRAME_RATE)
        # ffmpeg shows frames later than their file says where others are decoded before them; browsers do not.
        since_first = sorted(seconds - packets.seconds[0] for seconds in packets.seconds)
        assert since_first == pytest.approx([n / FRAME_RATE for n in range(length)])
        begin += length


async def test_the_packets_are_those_of_the_film_and_begin_at_zero(tmp_path: Path) -> None:
    source = await picture(tmp_path / "picture.mp4", 60, GOP_OF_A_SECOND)
    heard = await sound(tmp_path / "sound.mp4", 60)
    piece = await make_stream_piece(source, heard, 60, tmp_path / "piece")
    assert packets_of(whole(piece), "video").content == packets_of(source, "video").content
    before, after = packets_of(heard, "audio"), packets_of(whole(piece), "audio")
    assert before.times[0] < 0, "the encoder no longer primes its sound"
    first = next(n for n, time in enumerate(before.times) if time >= 0)
    assert after.content == before.content[first:][: len(after.content)]
    assert after.times == [1024 * n for n in range(len(after.times))]
    assert 0 <= after.seconds[-1] + 1024 / 48_000 - 60 / FRAME_RATE < 1024 / 48_000
    # Some players ignore edit lists, so nothing may depend on one.
    assert b"elst" not in piece.init.read_bytes() or _edits(piece.init.read_bytes()) == {0}


def _edits(boxes: bytes) -> set[int]:
    """Return the start times of all edit lists: -1 stands for a delay."""
    starts, at = set(), boxes.find(b"elst")
    while at >= 0:
        count = int.from_bytes(boxes[at + 8 : at + 12])
        entries = (boxes[at + 12 + 12 * n :][:12] for n in range(count))
        starts |= {int.from_bytes(entry[4:8], signed=True) for entry in entries}
        at = boxes.find(b"elst", at + 4)
    return starts


@pytest.mark.parametrize(("frames", "frames_of_sound"), [(59, 60), (61, 60), (60, 58), (60, 0.2)])
async def test_a_piece_that_is_not_as_planned_is_refused(tmp_path: Path, frames: int, frames_of_sound: float) -> None:
    source = await picture(tmp_path / "picture.mp4", 60, GOP_OF_A_SECOND)
    heard = await sound(tmp_path / "sound.mp4", frames_of_sound)
    with pytest.raises(PieceWrong):
        await make_stream_piece(source, heard, frames, tmp_path / "piece")


async def test_a_file_that_is_no_mp4_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no film" * 100)
    heard = await sound(tmp_path / "sound.mp4", 24)
    with pytest.raises(PieceWrong):
        await make_stream_piece(tmp_path / "broken.mp4", heard, 24, tmp_path / "piece")
