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
    """How many frames of a clip can be decoded, and whether it is black, or frozen, for its whole duration."""

    frames: int
    is_black: bool
    is_frozen: bool


async def check_content(path: Path, runner: Ffmpeg) -> ContentReport:
    """Decode picture and sound of a local clip, and report on its picture.

    Raises:
        FfmpegFailed, FfmpegTimedOut: the clip cannot be decoded completely.
    """
    report = path.with_suffix(".checks")
    # One thread: others would notice some damage only after its frame was used.
    clip = ffmpeg.input(str(path), f="mov", err_detect="explode", threads=1)
    samples = (
        clip.video.filter("fps", SAMPLES_PER_SECOND)
        .filter("scale", *SAMPLE_SIZE, flags="area")
        .filter("format", "gray")
        .filter("blackdetect", d=0, pic_th=1, pix_th=BLACK_LUMA)
        .filter("freezedetect", d=SHORTEST_FREEZE_SECONDS, n=FREEZE_NOISE)
        .filter("metadata", "print", file=str(report))
    )
    everything = ffmpeg.output(clip["v:0"], clip["a?"], "-", f="null", fps_mode="passthrough")
    outputs = ffmpeg.merge_outputs(everything, ffmpeg.output(samples, "-", f="null")).global_args("-xerror")
    counted = [0]
    arguments = [str(argument) for argument in ffmpeg.compile(outputs)[1:]]
    await runner.run(arguments, time_limit=LIMIT_SECONDS, on_frame=counted.append)
    found = report.read_text().split()
    return ContentReport(
        frames=counted[-1],
        is_black=_never_ends(found, "lavfi.black_start", "lavfi.black_end"),
        is_frozen=_never_ends(found, "lavfi.freezedetect.freeze_start", "lavfi.freezedetect.freeze_end"),
    )


def _never_ends(found: list[str], start: str, end: str) -> bool:
    """Return whether an interval starts with the first frame and has no end."""
    return f"{start}=0" in found and not any(entry.startswith(f"{end}=") for entry in found)
