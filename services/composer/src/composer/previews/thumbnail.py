"""The thumbnail of a film: a typical frame of a clip that is not black."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import ffmpeg as graph

from shared.contracts.media import FRAME_RATE
from shared.media.ffmpeg import Ffmpeg

WIDEST = 1280
DARK_LUMA = 32
BLACK_PERCENT = 98
"""A frame is black if this share of its pixels is darker than `DARK_LUMA` of 255."""

CHOICE = FRAME_RATE
"""The most typical of this many frames is taken."""


@dataclass(frozen=True)
class Choice:
    """The frames from `first` to `end` of which one is taken."""

    first: int
    end: int
    keyframes: bool = False
    may_be_black: bool = False


class NoPictureTaken(Exception):
    """No frame of the clip could be decoded."""

    def __init__(self) -> None:
        super().__init__("no frame of the first scene can be shown")


async def take_thumbnail(clip: Path, target: Path, first: int, end: int, ffmpeg: Ffmpeg) -> None:
    """Write a JPEG of a frame from `first` to `end`; of an earlier one if these are black, or of a black one.

    Raises:
        NoPictureTaken: there is no frame to take.
        FfmpegFailed: the clip cannot be decoded.
        FfmpegTimedOut: decoding took too long.
    """
    time_limit = 10 + 10 * end / FRAME_RATE
    # Keyframes alone are much faster to decode; a clip may have none between these frames.
    tries = (
        Choice(first, end, keyframes=True),
        Choice(first, end),
        Choice(0, end),
        Choice(0, end, may_be_black=True),
    )
    for choice in tries:
        # Without a matching frame ffmpeg succeeds and writes nothing.
        await ffmpeg.run(_arguments(clip, target, choice), time_limit=time_limit)
        if await asyncio.to_thread(target.exists):
            return
    raise NoPictureTaken


def _arguments(clip: Path, target: Path, choice: Choice) -> list[str]:
    first, end = choice.first, choice.end
    place = {"ss": max(0, first - 0.5) / FRAME_RATE, "t": (end - first) / FRAME_RATE}
    sparse = {"skip_frame": "nokey"} if choice.keyframes else {}
    picture = graph.input(str(clip), **sparse, f="mov", protocol_whitelist="file", **place)["v:0"]
    if not choice.may_be_black:
        picture = picture.filter("blackframe", amount=0, threshold=DARK_LUMA).filter(
            "metadata", "select", key="lavfi.blackframe.pblack", value=BLACK_PERCENT, function="less"
        )
    # JPEG uses BT.601 in full range; "unofficial" lets ffmpeg succeed without any frame.
    picture = picture.filter("thumbnail", CHOICE).filter(
        "scale", f"min({WIDEST},iw)", -2, out_color_matrix="bt601", out_range="pc"
    )
    still = {"f": "image2", "c:v": "mjpeg", "frames:v": 1, "update": 1, "q:v": 3, "strict": "unofficial"}
    output = graph.output(picture, str(target), map_metadata=-1, **still)
    return list(graph.compile(output, overwrite_output=True)[1:])
