"""Makes the pieces of a stream: HLS segments in fragmented MP4, by copying the packets of picture and sound."""

import asyncio
import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from shared.contracts.media import FRAME_RATE

SEGMENT_SECONDS = 2
"""A segment ends at the first IDR picture after this time."""
GAP_SECONDS = 1024 / 44_100
"""The longest packet of AAC: how much the ends of picture and sound may differ."""
INIT_NAME, PLAYLIST_NAME, SEGMENT_NAMES = "init.mp4", "piece.m3u8", "%d.mp4"

HLS = {
    "hls_time": str(SEGMENT_SECONDS),
    "hls_playlist_type": "event",
    "hls_segment_type": "fmp4",
    "hls_fmp4_init_filename": INIT_NAME,
    # Players ignore edit lists, or not: with timestamps as they are, and negative composition offsets, the picture
    # begins at 0 without one.
    "hls_segment_options": "movflags=+default_base_moof+negative_cts_offsets",
    "avoid_negative_ts": "disabled",
    "fflags": "+bitexact",
}


class PieceWrong(Exception):
    """The picture or the sound of a piece does not match its plan."""

    def __init__(self, what: str, expected: object, got: object) -> None:
        super().__init__(f"the {what} of the piece is {got} instead of {expected}")
        self.what = what
        self.expected = expected
        self.got = got


@dataclass(frozen=True)
class SegmentFile:
    """A segment on this machine. `frames` is its length."""

    path: Path
    frames: int


@dataclass(frozen=True)
class StreamPiece:
    """The files of one piece of a stream: its initialisation segment, and its segments in order."""

    init: Path
    segments: tuple[SegmentFile, ...]


async def make_stream_piece(picture: Path, sound: Path, frames: int, folder: Path) -> StreamPiece:
    """Divide a piece of a film into HLS segments in `folder`, which is created.

    `picture` is an H.264 MP4 file of exactly `frames` frames that begins with an IDR picture, `sound` an AAC MP4 file
    of the same length. No piece may lack its sound: players cannot add a track later.

    Raises:
        PieceWrong: picture or sound do not match.
    """
    return await asyncio.to_thread(_make, picture, sound, frames, folder)


def _make(picture: Path, sound: Path, frames: int, folder: Path) -> StreamPiece:
    folder.mkdir()
    options = {**HLS, "hls_segment_filename": str(folder / SEGMENT_NAMES)}
    try:
        with _open(picture) as seen, _open(sound) as heard:
            images, samples = _images(seen, frames), _samples(heard, frames)
            with av.open(str(folder / PLAYLIST_NAME), "w", format="hls", options=options) as output:
                tracks: list[tuple[Stream, Sequence[Packet[Any]]]] = [
                    (output.add_stream_from_template(seen.streams.video[0]), images),
                    (output.add_stream_from_template(heard.streams.audio[0]), samples),
                ]
                timed = [[(_seconds(one.dts, one), stream, one) for one in packets] for stream, packets in tracks]
                for _, stream, packet in heapq.merge(*timed, key=lambda one: one[0]):
                    packet.stream = stream
                    output.mux(packet)
    except (FFmpegError, IndexError) as error:
        raise PieceWrong("media", "readable", "unreadable") from error
    return StreamPiece(folder / INIT_NAME, _segments(folder, frames))


def _open(path: Path) -> InputContainer:
    return av.open(str(path), format="mov", options={"protocol_whitelist": "file"})


def _images(media: InputContainer, frames: int) -> Sequence["Packet[VideoStream]"]:
    """Return the packets of the picture. Only those at which it can be cut are marked as keyframes."""
    packets = [packet for packet in media.demux(media.streams.video[0]) if packet.pts is not None]
    times = [packet.pts or 0 for packet in packets]
    expected = [Fraction(n, FRAME_RATE) for n in range(frames)]
    if [_seconds(time, packets[0]) for time in sorted(times)] != expected:
        raise PieceWrong("picture", f"{frames} frames from 0", f"{len(times)} frames from {min(times, default=None)}")
    if not packets[0].is_keyframe or times[0] != 0:
        raise PieceWrong("first picture", "a keyframe", "another one")
    # Frames that follow an open keyframe in the file may be shown before it.
    latest_before = [-1, *accumulate(times[:-1], max)]
    earliest_from = [*accumulate(reversed(times), min)][::-1]
    for packet, time, before, following in zip(packets, times, latest_before, earliest_from, strict=True):
        packet.is_keyframe = packet.is_keyframe and before < time == following
    return packets


def _samples(media: InputContainer, frames: int) -> Sequence["Packet[AudioStream]"]:
    """Return the packets of the sound from 0 to the end of the picture.

    Without the priming of the encoder, which would be heard as a gap between two pieces.
    """
    end = Fraction(frames, FRAME_RATE)
    packets = [packet for packet in media.demux(media.streams.audio[0]) if packet.pts is not None]
    packets = [packet for packet in packets if 0 <= _seconds(packet.pts, packet) < end]
    if not packets:
        raise PieceWrong("sound", "there", "missing")
    begins = _seconds(packets[0].pts, packets[0])
    ends = _seconds(packets[-1].pts, packets[-1]) + _seconds(packets[-1].duration, packets[-1])
    if begins > GAP_SECONDS or ends < end - Fraction(GAP_SECONDS):
        raise PieceWrong("sound", f"0-{float(end):.3f} s", f"{float(begins):.3f}-{float(ends):.3f} s")
    return packets


def _segments(folder: Path, frames: int) -> tuple[SegmentFile, ...]:
    lines = (folder / PLAYLIST_NAME).read_text().splitlines()
    lengths = [line.removeprefix("#EXTINF:").rstrip(",") for line in lines if line.startswith("#EXTINF:")]
    names = [line for line in lines if not line.startswith("#")]
    pairs = zip(names, lengths, strict=True)
    segments = tuple(SegmentFile(folder / name, round(float(length) * FRAME_RATE)) for name, length in pairs)
    total = sum(segment.frames for segment in segments)
    if total != frames:
        raise PieceWrong("number of frames in its segments", frames, total)
    return segments


def _seconds(ticks: int | None, packet: "Packet[Any]") -> Fraction:
    return (ticks or 0) * packet.time_base
