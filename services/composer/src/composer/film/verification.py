"""Verifies a film: its structure, and that what was encoded for it can be decoded.

Copied frames were decoded when their clip arrived. A copied run starts with an IDR picture, which needs nothing before
it, and is cut in decoding order, so it needs nothing after it. So only the encoded parts are decoded, each with about a
second of its neighbours, when they are made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Literal

import av
from av.container import InputContainer
from av.error import FFmpegError

from composer.film.join import TICKS
from composer.film.segments import Segment
from shared.contracts.media import FRAME_RATE
from shared.media.encoding_profile import AUDIO_CODEC, AUDIO_RATE, PIXEL_FORMAT, TRACK_TIMESCALE, VIDEO_CODEC
from shared.media.ffmpeg import blames_machine
from shared.media.mp4_boxes import index_comes_first
from shared.media.probe import LARGEST_PICTURE

Verify = Literal["encoded", "full"]


class FilmWrong(Exception):
    """A film is not as planned."""

    def __init__(self, what: str, expected: object, got: object) -> None:
        super().__init__(f"the film's {what} is {got} instead of {expected}")
        self.what = what
        self.expected = expected
        self.got = got


@dataclass
class _Packets:
    """The packets of a stream in decoding order: their times in its time base, and those of its keyframes."""

    presentation: list[int] = field(default_factory=list)
    decoding: list[int] = field(default_factory=list)
    keyframes: set[int] = field(default_factory=set)
    end: int = 0


def verify_film(film: Path, segments: Sequence[Segment], size: tuple[int, int], verify: Verify) -> None:
    """Check that a film consists of these segments, of `size` pixels, with a sound of the same length.

    Raises:
        FilmWrong: it does not.
        OSError, MemoryError: the machine is at fault.
    """
    try:
        _check_structure(film, segments, size)
        if verify == "full":
            _decode(film, sum(segment.frames for segment in segments))
    except FFmpegError as error:
        if blames_machine(error):
            raise
        raise FilmWrong("content", "readable", "damaged") from error


def verify_frames(path: Path, frames: int) -> None:
    """Decode all of a file and check that it has so many frames.

    Raises:
        FilmWrong: it has not, or is damaged.
        OSError, MemoryError: the machine is at fault.
    """
    try:
        _decode(path, frames)
    except FFmpegError as error:
        if blames_machine(error):
            raise
        raise FilmWrong("part", "readable", "damaged") from error


def _check_structure(film: Path, segments: Sequence[Segment], size: tuple[int, int]) -> None:
    total = sum(segment.frames for segment in segments)
    with _open(film) as media:
        streams = media.streams
        _compare("number of pictures and sounds", (1, 1), (len(streams.video), len(streams.audio)))
        picture, sound = streams.video[0], streams.audio[0]
        _compare("picture codec", VIDEO_CODEC, picture.codec_context.name)
        _compare("pixel format", PIXEL_FORMAT, picture.codec_context.pix_fmt)
        _compare("size", size, (picture.width, picture.height))
        _compare("ticks per second", TRACK_TIMESCALE, picture.time_base and picture.time_base.denominator)
        _compare("sound", (AUDIO_CODEC, AUDIO_RATE), (sound.codec_context.name, sound.rate))
        packets = _packets(media)
        pictures, sounds = packets[picture.index], packets[sound.index]
    _check_picture(pictures, segments, total)
    _check_sound(sounds, total)
    if not index_comes_first(film):
        raise FilmWrong("index", "at its beginning", "behind the media")


def _check_picture(packets: _Packets, segments: Sequence[Segment], total: int) -> None:
    _compare("number of frames", total, len(packets.presentation))
    if sorted(packets.presentation) != [frame * TICKS for frame in range(total)]:
        raise FilmWrong("rhythm", "constant", "uneven")
    _check_decoding("picture", packets)
    starts = accumulate((segment.frames for segment in segments[:-1]), initial=0)
    if missing := {start * TICKS for start in starts} - set(packets.keyframes):
        raise FilmWrong("keyframes", "at the start of each segment", f"not at frame {min(missing) // TICKS}")


def _check_sound(packets: _Packets, total: int) -> None:
    _check_decoding("sound", packets)
    if not packets.presentation or packets.presentation[0] > 0:
        raise FilmWrong("sound's start", 0, "later")
    frames = packets.end * FRAME_RATE / AUDIO_RATE
    if abs(frames - total) > 1:
        raise FilmWrong("sound's length in frames", total, f"{frames:.2f}")


def _check_decoding(what: str, packets: _Packets) -> None:
    if any(later <= earlier for earlier, later in pairwise(packets.decoding)):
        raise FilmWrong(f"{what}'s decoding times", "rising", "not rising")
    if any(shown < decoded for shown, decoded in zip(packets.presentation, packets.decoding, strict=True)):
        raise FilmWrong(f"{what}'s presentation times", "after decoding", "before decoding")


def _packets(media: InputContainer) -> Mapping[int, _Packets]:
    found = {stream.index: _Packets() for stream in media.streams}
    for packet in media.demux():
        if packet.pts is not None and packet.dts is not None:
            one = found[packet.stream.index]
            one.presentation.append(packet.pts)
            one.decoding.append(packet.dts)
            if packet.is_keyframe:
                one.keyframes.add(packet.pts)
            one.end = max(one.end, packet.pts + (packet.duration or 0))
    return found


def _decode(path: Path, frames: int) -> None:
    with _open(path) as media:
        _compare("number of pictures", 1, len(media.streams.video))
        stream = media.streams.video[0]
        stream.thread_type = "AUTO"
        stream.codec_context.options = {"err_detect": "explode", "max_pixels": str(LARGEST_PICTURE)}
        count = 0
        for count, frame in enumerate(media.decode(stream), 1):
            if frame.is_corrupt or frame.pts != (count - 1) * TICKS:
                raise FilmWrong("content", "readable", f"damaged at frame {count - 1}")
    _compare("number of decoded frames", frames, count)


def _compare(what: str, expected: object, got: object) -> None:
    if expected != got:
        raise FilmWrong(what, expected, got)


def _open(path: Path) -> InputContainer:
    return av.open(str(path), format="mov", options={"protocol_whitelist": "file"})
