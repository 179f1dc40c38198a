"""Reads the facts of an untrusted media file from its content, not from its name."""

import asyncio
import itertools
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.codec.context import CodecContext
from av.container import InputContainer
from av.error import FFmpegError
from av.sidedata.sidedata import SideData
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from shared.media.mp4_boxes import claimed_samples, may_be_cropped

LARGEST_PICTURE = 9_437_184
"""Pixels; 4096 x 2304. A larger picture is refused before it is decoded."""

MOST_PACKETS = 200_000
"""Of a file. A file with more is refused; ten minutes of picture and sound have about 50 000."""

MOST_CLAIMED_SAMPLES = 10_000_000
"""Of an MP4 file, without a byte for each; they take 40 bytes of memory each. A minute of raw sound has 3 million."""

UPRIGHT = (0x10000, 0, 0, 0x10000)
"""The rotation part of the identity display matrix."""

FULL_RANGE = 2
"""ffmpeg's AVCOL_RANGE_JPEG."""

PROGRESSIVE = (0, 1)
"""ffmpeg's AV_FIELD_UNKNOWN and AV_FIELD_PROGRESSIVE."""


class MediaUnreadable(Exception):
    """The file has no picture that we can read. `reason` is for people; `detail` is for the log."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail or reason


class MediaUnsupported(MediaUnreadable):
    """The format of the file is not supported. Another file of the same origin would have the same format."""


class MediaDamaged(MediaUnreadable):
    """The format of the file is supported, but the file is incomplete or damaged."""


@dataclass(frozen=True)
class Colour:
    """The colour encoding of a picture, as code points of ITU-T H.273; 2 is "unspecified"."""

    matrix: int
    primaries: int
    transfer: int
    full_range: bool


@dataclass(frozen=True)
class MediaFacts:
    """The facts of a media file. All durations and times are in seconds.

    `container` is ffmpeg's name of the demuxer; `picture` and `sound` are the indices of the streams that the other
    facts describe. `frames` counts the frames that are shown, `hidden` those that only help to decode others.
    `turning` is the rotation part of the display matrix: right and down per row, then right and down per column.
    `is_cropped`: the container may crop the picture. `others` counts everything else: further streams, cover pictures,
    chapters.
    """

    container: str
    picture: int
    width: int
    height: int
    sample_aspect: Fraction
    turning: tuple[int, int, int, int]
    is_cropped: bool
    is_interlaced: bool
    frames: int
    hidden: int
    frame_rate: Fraction
    constant_rate: bool
    start: float
    duration: float
    video_codec: str
    profile: str
    pixel_format: str
    is_rgb: bool
    colour: Colour
    sound: int | None
    audio_codec: str | None
    audio_rate: int | None
    audio_channels: int | None
    audio_start: float
    audio_duration: float
    others: int


@dataclass
class _Packets:
    """The packets of one stream: the times of the shown ones, in units of the stream, and the latest end."""

    times: list[int] = field(default_factory=list)
    hidden: int = 0
    end: int = 0


async def probe(path: Path) -> MediaFacts:
    """Read the facts of a local media file. This decodes one frame.

    Raises:
        MediaUnsupported: its format is not supported, or it has no picture or one that is too large.
        MediaDamaged: it is incomplete or damaged.
    """
    return await asyncio.to_thread(_probe, path)


def _probe(path: Path) -> MediaFacts:
    container = _container_of(path)
    if container == "mov" and (samples := claimed_samples(path)) > MOST_CLAIMED_SAMPLES:
        raise MediaDamaged("it is incomplete or damaged", f"it claims {samples} samples")
    try:
        with _open(path, container) as media:
            packets = _read(media)
            picture = _picture_of(media, packets)
            facts_of_sound = _sound(media, packets)
            others = len(media.streams) + len(media.chapters()) - 1 - (facts_of_sound["sound"] is not None)
            index = picture.index
        # Decode from the first packet again.
        with _open(path, container) as media:
            stream = media.streams[index]
            assert isinstance(stream, VideoStream)  # noqa: S101 - it was one above
            facts = _facts(stream, _first_frame(media, stream), packets[index])
    except (FFmpegError, ValueError) as error:
        raise MediaDamaged("it is incomplete or damaged", str(error)) from error
    is_cropped = container == "mov" and may_be_cropped(path)
    return MediaFacts(container=container, is_cropped=is_cropped, others=others, **facts, **facts_of_sound)


def _open(path: Path, container: str) -> InputContainer:
    # Force the demuxer: others would follow a playlist to other files.
    return av.open(str(path), format=container, options={"protocol_whitelist": "file"})


def _container_of(path: Path) -> str:
    """Recognise the container by its first bytes; none of these formats refers to other files."""
    with path.open("rb") as file:
        head = file.read(189)
    if not head:
        raise MediaDamaged("it is empty")
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"):
        return "mov"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "matroska"
    if head.startswith(b"RIFF") and head[8:11] == b"AVI":
        return "avi"
    if head[0:1] == head[188:189] == b"G":
        return "mpegts"
    what = "a web page" if head.lstrip()[:1] == b"<" else "of an unknown kind"
    raise MediaUnsupported(f"it is {what}, not MP4, QuickTime, WebM, Matroska, AVI or MPEG-TS", head[:32].hex())


def _read(media: InputContainer) -> Mapping[int, _Packets]:
    packets = {stream.index: _Packets() for stream in media.streams}
    for number, packet in enumerate(media.demux()):
        if number >= MOST_PACKETS:
            raise MediaUnsupported(f"it has more than {MOST_PACKETS} packets")
        if packet.pts is None:
            continue
        read = packets[packet.stream.index]
        if packet.is_discard:
            read.hidden += 1
            continue
        read.times.append(packet.pts)
        read.end = max(read.end, packet.pts + (packet.duration or 0))
    for read in packets.values():
        read.times.sort()
    return packets


def _picture_of(media: InputContainer, packets: Mapping[int, _Packets]) -> VideoStream:
    """Choose the picture: the default or largest stream with many frames, and no cover or preview."""
    known = [stream for stream in media.streams.video if not _is_cover(stream)]
    most = max((len(packets[stream.index].times) for stream in known), default=0)
    if not most:
        raise MediaUnsupported("it holds no picture")
    moving = [stream for stream in known if len(packets[stream.index].times) * 2 >= most]
    decodable = [stream for stream in moving if _decoder(stream) is not None]
    if not decodable:
        raise MediaUnsupported("its picture is encoded in a way that we cannot decode")
    chosen = max(decodable, key=lambda stream: (_is_default(stream), stream.width * stream.height))
    if chosen.width * chosen.height > LARGEST_PICTURE:
        reason = f"its picture has {chosen.width}x{chosen.height} pixels; at most {LARGEST_PICTURE} are read"
        raise MediaUnsupported(reason)
    return chosen


def _is_cover(stream: Stream) -> bool:
    return bool(stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails))


def _is_default(stream: Stream) -> bool:
    return bool(stream.disposition & Disposition.default)


def _decoder(stream: Stream) -> CodecContext | None:
    # PyAV has no codec context where ffmpeg has no decoder, and does not say so in its types.
    return getattr(stream, "codec_context", None)


def _first_frame(media: InputContainer, stream: VideoStream) -> VideoFrame:
    stream.codec_context.options = {"max_pixels": str(LARGEST_PICTURE)}
    frame = next(media.decode(stream), None)
    if frame is None:
        raise MediaDamaged("it is damaged: no frame of it can be decoded")
    return frame


def _facts(stream: VideoStream, frame: VideoFrame, packets: _Packets) -> dict[str, Any]:
    """Return the facts of the picture. A decoded frame has more and better facts than the container."""
    time_base = stream.time_base or Fraction(1)
    start = packets.times[0] * time_base
    steps = {later - earlier for earlier, later in itertools.pairwise(packets.times)}
    matrix = frame.side_data.get("DISPLAYMATRIX")
    return {
        "picture": stream.index,
        "width": frame.width,
        "height": frame.height,
        "sample_aspect": stream.sample_aspect_ratio or Fraction(1),
        "turning": _turning(bytes(matrix)) if isinstance(matrix, SideData) else UPRIGHT,
        "is_interlaced": frame.interlaced_frame or stream.codec_context.field_order not in PROGRESSIVE,
        "frames": len(packets.times),
        "hidden": packets.hidden,
        "frame_rate": stream.average_rate or Fraction(0),
        "constant_rate": len(steps) <= 1,
        "start": float(start),
        "duration": float(packets.end * time_base - start),
        "video_codec": stream.codec_context.name,
        "profile": str(stream.codec_context.profile),
        "pixel_format": frame.format.name,
        "is_rgb": frame.format.is_rgb,
        "colour": Colour(
            matrix=frame.colorspace,
            primaries=frame.color_primaries,
            transfer=frame.color_trc,
            full_range=frame.color_range == FULL_RANGE or frame.format.name.startswith("yuvj"),
        ),
    }


def _turning(matrix: bytes) -> tuple[int, int, int, int]:
    """Return the four of the nine numbers of a display matrix that rotate and mirror."""
    row_right, row_down, _, column_right, column_down, *_ = struct.unpack("=9i", matrix)
    return row_right, row_down, column_right, column_down


def _sound(media: InputContainer, packets: Mapping[int, _Packets]) -> dict[str, Any]:
    """Return the facts of the sound, ignoring streams that are empty or that we cannot decode."""
    playable = [one for one in media.streams.audio if packets[one.index].times and _decoder(one)]
    stream = min(playable, key=lambda one: (not _is_default(one), one.index), default=None)
    if stream is None:
        return {
            "sound": None, "audio_codec": None, "audio_rate": None, "audio_channels": None,
            "audio_start": 0.0, "audio_duration": 0.0,
        }  # fmt: skip
    time_base, read = stream.time_base or Fraction(1), packets[stream.index]
    return {
        "sound": stream.index,
        "audio_codec": stream.codec_context.name,
        "audio_rate": stream.rate,
        "audio_channels": stream.channels,
        "audio_start": float(read.times[0] * time_base),
        "audio_duration": float((read.end - read.times[0]) * time_base),
    }
