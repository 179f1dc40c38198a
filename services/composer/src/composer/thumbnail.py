"""The thumbnail of a film: a typical frame of its first scene that is neither black nor in a transition."""

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
"""A frame is black if this share of its pixels is darker than `DARK_LUMA` of 255."""

CHOICE = FRAME_RATE
"""The most typical of this many frames is taken."""

Span = tuple[int, int]
"""The first frame, and the one after the last."""


class NoPictureTaken(Exception):
    """No frame of the film could be decoded."""


async def take_thumbnail(film: Path, target: Path, slots: Sequence[Slot], ffmpeg: Ffmpeg) -> None:
    """Write a JPEG of the first scene that is not black, or of a black frame if the whole film is black.

    Raises:
        NoPictureTaken: there is no frame to take.
        FfmpegFailed: the film cannot be decoded.
        FfmpegTimedOut: decoding took too long.
    """
    whole = (0, total_frames(slots))
    time_limit = 10 + 10 * whole[1] / FRAME_RATE
    tries = [*((span, True) for span in (*_second_halves(slots), whole)), (whole, False)]
    for span, must_be_lit in tries:
        # Without a matching frame ffmpeg succeeds and writes nothing.
        await ffmpeg.run(_arguments(film, target, span, must_be_lit=must_be_lit), time_limit=time_limit)
        if await asyncio.to_thread(target.exists):
            return
    raise NoPictureTaken


def _second_halves(slots: Sequence[Slot]) -> Iterator[Span]:
    """Yield the second half of each scene, up to its transition."""
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
    # JPEG uses BT.601 in full range; "unofficial" lets ffmpeg succeed without any frame.
    picture = picture.filter("thumbnail", CHOICE).filter(
        "scale", f"min({WIDEST},iw)", -2, out_color_matrix="bt601", out_range="pc"
    )
    still = {"f": "image2", "c:v": "mjpeg", "frames:v": 1, "update": 1, "q:v": 3, "strict": "unofficial"}
    output = graph.output(picture, str(target), map_metadata=-1, **still)
    return list(graph.compile(output, overwrite_output=True)[1:])
