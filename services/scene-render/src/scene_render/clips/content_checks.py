"""Checks what a clip shows: finds clips that are black or frozen from beginning to end."""

from dataclasses import dataclass
from pathlib import Path

import ffmpeg

from shared.media.ffmpeg import Ffmpeg

SAMPLES_PER_SECOND = 2
SAMPLE_SIZE = (64, 36)
"""Pixels; averaging over an area hides compression noise and specks."""
BLACK_LUMA = 0.078
"""A pixel is black up to this share of the luma range."""
FREEZE_NOISE = 0.0002
"""The mean difference of two samples, as a share of the luma range, that encoding a still picture stays below."""
SHORTEST_FREEZE_SECONDS = 0.4
"""Less than the time between two samples, so that two equal samples are a freeze and a single one is not."""
LIMIT_SECONDS = 120.0


@dataclass(frozen=True)
class ContentReport:
    """Whether a clip is black, or frozen, for its whole duration."""

    is_black: bool
    is_frozen: bool


async def check_content(path: Path, runner: Ffmpeg) -> ContentReport:
    """Decode a local clip and report whether all of it is black or frozen.

    Raises:
        FfmpegFailed, FfmpegTimedOut: the clip cannot be decoded completely.
    """
    report = path.with_suffix(".checks")
    samples = (
        ffmpeg.input(str(path), f="mov", protocol_whitelist="file", err_detect="explode")
        .video.filter("fps", SAMPLES_PER_SECOND)
        .filter("scale", *SAMPLE_SIZE, flags="area")
        .filter("format", "gray")
        .filter("blackdetect", d=0, pic_th=1, pix_th=BLACK_LUMA)
        .filter("freezedetect", d=SHORTEST_FREEZE_SECONDS, n=FREEZE_NOISE)
        .filter("metadata", "print", file=str(report))
    )
    arguments = ffmpeg.compile(ffmpeg.output(samples, "-", f="null").global_args("-xerror"))[1:]
    await runner.run([str(argument) for argument in arguments], time_limit=LIMIT_SECONDS)
    found = report.read_text().split()
    return ContentReport(
        is_black=_never_ends(found, "lavfi.black_start", "lavfi.black_end"),
        is_frozen=_never_ends(found, "lavfi.freezedetect.freeze_start", "lavfi.freezedetect.freeze_end"),
    )


def _never_ends(found: list[str], start: str, end: str) -> bool:
    """Return whether an interval starts with the first frame and has no end."""
    return f"{start}=0" in found and not any(entry.startswith(f"{end}=") for entry in found)
