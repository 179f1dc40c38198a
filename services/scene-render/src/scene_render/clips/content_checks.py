"""Whether a clip shows anything: looked at twice a second, small and grey."""

import itertools
from dataclasses import dataclass
from pathlib import Path

from shared.media.ffmpeg import Ffmpeg

WIDTH, HEIGHT = 64, 36
LOOKS_PER_SECOND = 2
BLACKEST = 20
"""Of 255: a picture whose brightest spot is darker shows nothing. Video's own black is 16."""
STILLEST = 0.05
"""Mean difference, of 255, between two looks: what an encoder makes of a still picture is less."""
LIMIT_SECONDS = 120.0


@dataclass(frozen=True)
class Look:
    """What a clip looks like, from beginning to end."""

    is_black: bool
    is_frozen: bool


async def look(path: Path, ffmpeg: Ffmpeg) -> Look:
    """Look at a local clip. Raises `FfmpegFailed`, `FfmpegTimedOut`."""
    raw = path.with_suffix(".gray")
    scale = f"fps={LOOKS_PER_SECOND},scale={WIDTH}:{HEIGHT}:flags=area,format=gray"
    source = ["-xerror", "-err_detect", "explode", "-f", "mov", "-protocol_whitelist", "file", "-i", str(path)]
    await ffmpeg.run([*source, "-an", "-vf", scale, "-f", "rawvideo", "-y", str(raw)], time_limit=LIMIT_SECONDS)
    return judge(raw.read_bytes())


def judge(grey: bytes) -> Look:
    """Judge pictures of `WIDTH` x `HEIGHT` grey bytes, one after the other."""
    length = WIDTH * HEIGHT
    pictures = [grey[start : start + length] for start in range(0, len(grey), length)]
    moves = any(_difference(one, other) > STILLEST for one, other in itertools.pairwise(pictures))
    return Look(is_black=all(max(one) < BLACKEST for one in pictures), is_frozen=len(pictures) > 1 and not moves)


def _difference(one: bytes, other: bytes) -> float:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / len(one)
