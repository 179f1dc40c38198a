"""The picture that stands for a film: a typical frame of its first scene that is neither black nor in a transition."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import ffmpeg as graph

from shared.contracts.media import FRAME_RATE
from shared.contracts.timeline import Slot, total_frames
from shared.media.ffmpeg import Ffmpeg

WIDEST = 1280
DARK_LUMA = 32
BLACK_PERCENT = 98
"""A frame is black when this much of it is darker than `DARK_LUMA` of 255."""

CHOICE = FRAME_RATE
"""Out of so many frames the most typical one is taken."""

Span = tuple[int, int]
"""The first frame, and the one after the last."""


class NoPictureTaken(Exception):
    """The film gave no frame at all."""


async def take_thumbnail(film: Path, target: Path, slots: Sequence[Slot], ffmpeg: Ffmpeg) -> None:
    """Write a JPEG of the first scene that is not black; of a film that is black all through, a black one.

    Raises:
        NoPictureTaken: there is no frame to take.
        FfmpegFailed: the film cannot be decoded.
        FfmpegTimedOut: it took too long.
    """
    whole = (0, total_frames(slots))
    time_limit = 10 + 10 * whole[1] / FRAME_RATE
    tries = [*((span, True) for span in (*_second_halves(slots), whole)), (whole, False)]
    for span, must_be_lit in tries:
        # Where no frame is left ffmpeg ends well and writes nothing.
        await ffmpeg.run(_arguments(film, target, span, must_be_lit=must_be_lit), time_limit=time_limit)
        if await asyncio.to_thread(target.exists):
            return
    raise NoPictureTaken


def _second_halves(slots: Sequence[Slot]) -> Iterator[Span]:
    """Each scene from its middle to its end, where it is alone on screen."""
    overlaps = [0, *(slot.overlap for slot in slots[:-1])]
    for slot, before in zip(slots, overlaps, strict=True):
        end = slot.start + slot.frames
        middle = (slot.start + before + end) // 2
        yield middle, end


def _arguments(film: Path, target: Path, span: Span, *, must_be_lit: bool) -> list[str]:
    first, end = span
    place = {"ss": max(0, first - 0.5) / FRAME_RATE, "t": (end - first) / FRAME_RATE}
    picture = graph.input(str(film), f="mov", protocol_whitelist="file", **place)["v:0"]
    if must_be_lit:
        picture = picture.filter("blackframe", amount=0, threshold=DARK_LUMA).filter(
            "metadata", "select", key="lavfi.blackframe.pblack", value=BLACK_PERCENT, function="less"
        )
    # JPEG has colours of its own (BT.601, full range); "unofficial" lets ffmpeg end well with no frame at all.
    picture = picture.filter("thumbnail", CHOICE).filter(
        "scale", f"min({WIDEST},iw)", -2, out_color_matrix="bt601", out_range="pc"
    )
    still = {"f": "image2", "c:v": "mjpeg", "frames:v": 1, "update": 1, "q:v": 3, "strict": "unofficial"}
    output = graph.output(picture, str(target), map_metadata=-1, **still)
    return list(graph.compile(output, overwrite_output=True)[1:])
