"""Stub."""

from collections.abc import Sequence
from pathlib import Path

from composer.sound.tracks import Track
from shared.media.ffmpeg import Ffmpeg


async def mix_sound(
    tracks: Sequence[tuple[Track, Path]],  # noqa: ARG001
    frames: int,
    target: Path,
    ffmpeg: Ffmpeg,
    *,
    evened: bool = True,  # noqa: ARG001
) -> None:
    """Write silence."""
    await ffmpeg.run(
        [
            "-f",
            "lavfi",
            "-i",
            "anullsrc=r=48000:cl=stereo",
            "-t",
            f"{frames / 24:.6f}",
            "-c:a",
            "aac",
            "-y",
            str(target),
        ],
        time_limit=60,
    )
