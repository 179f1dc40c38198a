"""Pictures of a finished film: a contact sheet, a looping animation, and a sheet of pictures for scrubbing."""

import asyncio
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import ffmpeg as graph

from shared.contracts.media import FRAME_RATE, ScrubSheet
from shared.contracts.timeline import Slot, total_frames
from shared.media.ffmpeg import Ffmpeg

LIMIT_SECONDS = 60.0
LIMIT_SECONDS_PER_SECOND = 10.0
"""Time limits for a slow, busy machine: a constant part, and one for each second of film."""
LONGEST_GAP = 3.0
"""Seconds between keyframes up to which keyframes alone show enough of a film."""

FILM = {"f": "mov", "reinit_filter": 0}
"""Films have clips of several encoders: without the option a graph starts anew where their colour tags differ."""

SHEET_COLUMNS, SHEET_ROWS, SHEET_WIDTH = 4, 3, 320
SCRUB_COLUMNS, SCRUB_SIDE = 10, 160
MOST_SCRUB_PICTURES = 60

ANIMATED_SCENES = 3
ANIMATED_SECONDS = 1.0
"""Of each of these scenes."""
ANIMATED_RATE = 8
LARGEST_ANIMATION = 400_000
"""Bytes."""
ANIMATIONS = ((320, 60), (320, 40), (256, 30), (192, 20), (128, 10))
"""Widths in pixels and qualities, until the animation is small enough."""


class AnimationTooLarge(Exception):
    """No animation of a film is small enough."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the smallest animation has {size} bytes; at most {LARGEST_ANIMATION} are stored")
        self.size = size


async def make_contact_sheet(film: Path, frames: int, target: Path, ffmpeg: Ffmpeg) -> None:
    """Write a JPEG with `SHEET_COLUMNS` x `SHEET_ROWS` pictures from the whole film.

    Raises:
        FfmpegFailed, FfmpegTimedOut: the film cannot be decoded.
    """
    count = SHEET_COLUMNS * SHEET_ROWS
    picture = _sampled(film, count / (frames / FRAME_RATE), count)
    picture = picture.filter("scale", SHEET_WIDTH, -2).filter("tile", f"{SHEET_COLUMNS}x{SHEET_ROWS}")
    await _write_jpeg(picture, target, frames, ffmpeg)


async def make_scrub_sheet(film: Path, frames: int, target: Path, ffmpeg: Ffmpeg) -> ScrubSheet:
    """Write a JPEG with a picture for each second or two of the film, and return where they are in it.

    Raises:
        FfmpegFailed, FfmpegTimedOut: the film cannot be decoded.
    """
    seconds = math.ceil(frames / FRAME_RATE / MOST_SCRUB_PICTURES)
    count = math.ceil(frames / FRAME_RATE / seconds)
    columns = min(count, SCRUB_COLUMNS)
    rows = math.ceil(count / columns)
    picture = _sampled(film, 1 / seconds, count)
    picture = picture.filter(
        "scale", SCRUB_SIDE, SCRUB_SIDE, force_original_aspect_ratio="decrease", force_divisible_by=2
    )
    await _write_jpeg(picture.filter("tile", f"{columns}x{rows}"), target, frames, ffmpeg)
    with av.open(str(target)) as sheet:
        size = sheet.streams.video[0]
        width, height = size.width // columns, size.height // rows
    return ScrubSheet(columns=columns, count=count, width=width, height=height, seconds=seconds)


async def make_animation(film: Path, slots: Sequence[Slot], target: Path, ffmpeg: Ffmpeg) -> None:
    """Write a looping WebP of at most `LARGEST_ANIMATION` bytes, with a second of each of a few scenes.

    Raises:
        FfmpegFailed, FfmpegTimedOut: the film cannot be decoded.
        AnimationTooLarge: even the smallest one has more bytes.
    """
    shown = [slots[n * len(slots) // min(len(slots), ANIMATED_SCENES)] for n in range(min(len(slots), ANIMATED_SCENES))]
    size = 0
    for width, quality in ANIMATIONS:
        pieces = [_excerpt(film, slot, width) for slot in shown]
        picture = graph.concat(*pieces, v=1, a=0) if len(pieces) > 1 else pieces[0]
        form = {"c:v": "libwebp_anim", "loop": 0, "q:v": quality, "compression_level": 2, "f": "webp"}
        await ffmpeg.run(_arguments(picture, target, form), time_limit=_limit(total_frames(slots)))
        size = (await asyncio.to_thread(target.stat)).st_size
        if size <= LARGEST_ANIMATION:
            return
    raise AnimationTooLarge(size)


def _excerpt(film: Path, slot: Slot, width: int) -> Any:  # noqa: ANN401 - ffmpeg-python has no types
    middle = (slot.start + slot.lead + slot.start + slot.frames) / 2 / FRAME_RATE
    begin = max(middle - ANIMATED_SECONDS / 2, slot.start / FRAME_RATE)
    source = graph.input(str(film), ss=f"{begin:.3f}", t=ANIMATED_SECONDS, **FILM)
    picture = source["v:0"].filter("fps", ANIMATED_RATE).filter("scale", width, -2).filter("setsar", 1)
    return picture.filter("setpts", "PTS-STARTPTS")


def _sampled(film: Path, rate: float, count: int) -> Any:  # noqa: ANN401 - as above
    """Return `count` pictures at regular times: the last keyframe before each, or the very frame if they are rare."""
    sparse = {"skip_frame": "nokey"} if _keyframes_suffice(film) else {}
    source = graph.input(str(film), **sparse, **FILM)
    picture = source["v:0"].filter("fps", fps=f"{rate:.6f}", round="up", start_time=0)
    return picture.filter("tpad", stop_mode="clone", stop=count).filter("trim", end_frame=count)


def _keyframes_suffice(film: Path) -> bool:
    with av.open(str(film), format="mov", options={"protocol_whitelist": "file"}) as media:
        stream = media.streams.video[0]
        keyframes = [
            float(one.pts * one.time_base) for one in media.demux(stream) if one.pts is not None and one.is_keyframe
        ]
        end = float((stream.duration or 0) * (stream.time_base or 0))
    return all(later - earlier <= LONGEST_GAP for earlier, later in pairwise([*keyframes, end]))


async def _write_jpeg(picture: Any, target: Path, frames: int, ffmpeg: Ffmpeg) -> None:  # noqa: ANN401 - as above
    # JPEG uses BT.601 in full range.
    picture = picture.filter("scale", out_color_matrix="bt601", out_range="pc").filter("format", "yuvj420p")
    form = {"f": "image2", "c:v": "mjpeg", "frames:v": 1, "update": 1, "q:v": 4}
    await ffmpeg.run(_arguments(picture, target, form), time_limit=_limit(frames))


def _arguments(picture: Any, target: Path, form: dict[str, object]) -> list[str]:  # noqa: ANN401 - as above
    output = graph.output(picture, str(target), map_metadata=-1, **form)
    return [str(one) for one in graph.compile(output, overwrite_output=True)[1:]]


def _limit(frames: int) -> float:
    return LIMIT_SECONDS + LIMIT_SECONDS_PER_SECOND * frames / FRAME_RATE
