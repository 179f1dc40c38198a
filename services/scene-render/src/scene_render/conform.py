"""Brings a clip of another form into the film's."""

from pathlib import Path

import ffmpeg

from scene_render.form import CONTAINER, PICTURE, SOUND, TAGS
from shared.contracts.media import FRAME_RATE
from shared.ffmpeg import Ffmpeg

LIMIT_SECONDS = 120.0
LIMIT_SECONDS_PER_SECOND = 15.0
LARGEST_PICTURE = 9_437_184


async def conform(source: Path, target: Path, size: tuple[int, int], frames: int, runner: Ffmpeg) -> None:
    """Write `source` as `target`: this size (cropped where its shape differs), this rate, at most so many frames.

    Raises:
        FfmpegFailed, FfmpegTimedOut: ffmpeg cannot read it.
    """
    width, height = size
    clip = ffmpeg.input(str(source), f="mov", protocol_whitelist="file", max_pixels=LARGEST_PICTURE)
    picture = (
        clip.video.filter("fps", FRAME_RATE)
        .filter("scale", width, height, force_original_aspect_ratio="increase", flags="bicubic")
        .filter("crop", width, height)
        .filter("setsar", 1)
        .filter("format", "yuv420p")
    )
    picture = picture.filter("setparams", **dict(tag.split("=") for tag in TAGS.split(":")))
    output = ffmpeg.output(
        picture,
        # The sound may be missing.
        clip["a:0?"],
        str(target),
        **{"frames:v": frames, "t": f"{frames / FRAME_RATE:.6f}", "preset": "veryfast", "crf": 18},
        **PICTURE,
        **SOUND,
        **CONTAINER,
    )
    limit = LIMIT_SECONDS + LIMIT_SECONDS_PER_SECOND * frames / FRAME_RATE
    await runner.run(ffmpeg.compile(output, overwrite_output=True)[1:], time_limit=limit)
