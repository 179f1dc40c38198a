"""The still that stands for a film."""

from collections.abc import Sequence
from pathlib import Path

import ffmpeg

from shared.contracts.media import FRAME_RATE
from shared.contracts.timeline import Slot
from shared.ffmpeg import Ffmpeg

LIMIT_SECONDS = 60.0


async def take_thumbnail(film: Path, target: Path, slots: Sequence[Slot], runner: Ffmpeg) -> None:
    """Write a JPEG from the middle of the film's first scene, where no transition darkens it."""
    middle = (slots[0].frames // 2) / FRAME_RATE
    picture = ffmpeg.input(str(film), f="mov", protocol_whitelist="file", ss=f"{middle:.3f}")
    output = ffmpeg.output(picture.video, str(target), **{"frames:v": 1, "q:v": 3, "update": 1}, format="image2")
    await runner.run(ffmpeg.compile(output, overwrite_output=True)[1:], time_limit=LIMIT_SECONDS)
