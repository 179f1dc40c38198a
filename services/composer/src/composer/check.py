"""Looks at a finished film before anybody else does: a film that is not exactly as planned is not published."""

import asyncio
import struct
from pathlib import Path

from composer.graph import SAMPLE_RATE
from shared.contracts.media import FRAME_RATE
from shared.ffmpeg import Ffmpeg, FfmpegFailed
from shared.probe import MediaFacts, MediaUnreadable, probe


class FilmWrong(Exception):
    """The film is not what was planned."""

    def __init__(self, what: str, expected: object, got: object) -> None:
        super().__init__(f"The film's {what}: expected {expected}, got {got}")
        self.what = what
        self.expected = expected
        self.got = got


async def check_film(
    film: Path, frames: int, size: tuple[int, int], ffmpeg: Ffmpeg, *, time_limit: float
) -> MediaFacts:
    """Read and decode a whole film, and return its facts if they are the planned ones.

    Raises:
        FilmWrong: something differs, or cannot be decoded.
        FfmpegTimedOut: decoding took longer than `time_limit` seconds.
    """
    _compare("boxes", ["ftyp", "moov", "mdat"], await asyncio.to_thread(_boxes, film))
    try:
        facts = await probe(film)
    except MediaUnreadable as error:
        raise FilmWrong("form", "MP4", error.reason) from error
    _compare("frames", frames, facts.frames)
    _compare("size", size, (facts.width, facts.height))
    _compare("picture", ("h264", "High", "yuv420p"), (facts.video_codec, facts.profile, facts.pixel_format))
    _compare("frame rate", (FRAME_RATE, True), (facts.frame_rate, facts.constant_rate))
    # As many frames at a constant rate end at this time only if the first one is at 0.
    _compare("duration in frames", frames, round(facts.duration * FRAME_RATE, 3))
    _compare("sound", ("aac", SAMPLE_RATE, 2), (facts.audio_codec, facts.audio_rate, facts.audio_channels))
    if abs(facts.audio_duration - facts.duration) > 1 / FRAME_RATE:
        raise FilmWrong("sound's duration", facts.duration, facts.audio_duration)
    _compare("decoded frames", frames, await _decoded_frames(film, ffmpeg, time_limit))
    return facts


def _compare(what: str, expected: object, got: object) -> None:
    if got != expected:
        raise FilmWrong(what, expected, got)


def _boxes(film: Path) -> list[str]:
    """The kinds of the file's outermost boxes, paddings left out; a last one cut short has a "…" after its kind."""
    kinds, end = [], film.stat().st_size
    with film.open("rb") as file:
        position = 0
        while position < end:
            file.seek(position)
            length, kind = struct.unpack(">I4s", file.read(8).ljust(8, b"\0"))
            if length == 1:
                (length,) = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))
            position += length if length >= 8 else end
            kinds.append(kind.decode("latin-1") + ("…" if position > end else ""))
    return [kind for kind in kinds if kind != "free"]


async def _decoded_frames(film: Path, ffmpeg: Ffmpeg, time_limit: float) -> int:
    counted = 0

    def count(frames: int) -> None:
        nonlocal counted
        counted = frames

    strict = ["-xerror", "-err_detect", "explode", "-f", "mov", "-protocol_whitelist", "file"]
    try:
        stderr = await ffmpeg.run([*strict, "-i", str(film), "-f", "null", "-"], time_limit=time_limit, on_frame=count)
    except FfmpegFailed as error:
        raise FilmWrong("decoding", "no errors", error.stderr) from error
    _compare("decoding", "", stderr)
    return counted
