"""Looks into a media file without trusting it: what it holds, not what it is called."""

import asyncio
import itertools
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.error import FFmpegError

LARGEST_PICTURE = 9_437_184
"""Pixels; 4096 x 2304. What is larger is refused before anything is decoded."""


class MediaUnreadable(Exception):
    """The file is not an MP4 with a picture that we can read."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path.name} cannot be read: {reason}")
        self.path = path
        self.reason = reason


@dataclass(frozen=True)
class MediaFacts:
    """What a media file holds. Durations are in seconds; `frames` counts the packets of the picture."""

    width: int
    height: int
    frames: int
    frame_rate: Fraction
    constant_rate: bool
    duration: float
    video_codec: str
    profile: str
    pixel_format: str
    audio_codec: str | None
    audio_rate: int | None
    audio_channels: int | None
    audio_duration: float


async def probe(path: Path) -> MediaFacts:
    """Read the facts of a local MP4 file. Nothing is decoded.

    Raises:
        MediaUnreadable: it is not an MP4, holds no picture, or is damaged where we looked.
    """
    return await asyncio.to_thread(_probe, path)


def _probe(path: Path) -> MediaFacts:
    try:
        # The demuxer is forced: a playlist called .mp4 would make others open foreign files.
        with av.open(str(path), format="mp4", options={"protocol_whitelist": "file"}) as container:
            return _facts(path, container)
    except (FFmpegError, ValueError) as error:
        raise MediaUnreadable(path, str(error)) from error


def _facts(path: Path, container: av.container.InputContainer) -> MediaFacts:
    if not container.streams.video:
        raise MediaUnreadable(path, "it holds no picture")
    video = container.streams.video[0]
    audio = container.streams.audio[0] if container.streams.audio else None
    if video.width * video.height > LARGEST_PICTURE or not video.width:
        raise MediaUnreadable(path, f"its picture is {video.width}x{video.height}")
    ends: dict[int, Fraction] = {}
    times: list[int] = []
    for packet in container.demux():
        if packet.pts is None or packet.time_base is None:
            continue
        end = (packet.pts + (packet.duration or 0)) * packet.time_base
        ends[packet.stream.index] = max(end, ends.get(packet.stream.index, Fraction(0)))
        if packet.stream is video:
            times.append(packet.pts)
    times.sort()
    steps = {later - earlier for earlier, later in itertools.pairwise(times)}
    return MediaFacts(
        width=video.width,
        height=video.height,
        frames=len(times),
        frame_rate=video.average_rate or Fraction(0),
        constant_rate=len(steps) <= 1,
        duration=float(ends.get(video.index, Fraction(0))),
        video_codec=video.codec_context.name,
        profile=str(video.codec_context.profile),
        pixel_format=video.codec_context.pix_fmt or "",
        audio_codec=audio.codec_context.name if audio else None,
        audio_rate=audio.rate if audio else None,
        audio_channels=audio.channels if audio else None,
        audio_duration=float(ends.get(audio.index, Fraction(0))) if audio else 0.0,
    )
