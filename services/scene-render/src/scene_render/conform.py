"""Brings clips of another form into the film's, joins those of one scene, takes single frames out of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ffmpeg

from scene_render.form import CONTAINER, PICTURE, SOUND, TAGS
from shared.contracts.media import FRAME_RATE
from shared.ffmpeg import Ffmpeg

LIMIT_SECONDS = 120.0
LIMIT_SECONDS_PER_SECOND = 15.0
LARGEST_PICTURE = 9_437_184
QUALITY = {"preset": "veryfast", "crf": 18}


async def conform(
    source: Path, target: Path, size: tuple[int, int], frames: int, runner: Ffmpeg, *, start: float = 0.0
) -> None:
    """Write `source` as `target`: this size (cropped where its shape differs), this rate, at most so many frames.

    What comes before `start`, in seconds, is left out.

    Raises:
        FfmpegFailed, FfmpegTimedOut: ffmpeg cannot read it.
    """
    clip = _open(source, **({"ss": f"{start:.6f}"} if start else {}))
    output = ffmpeg.output(
        _picture(clip, size).filter("setparams", **_tags()),
        # The sound may be missing.
        clip["a:0?"],
        str(target),
        **{"frames:v": frames, "t": f"{frames / FRAME_RATE:.6f}"},
        **QUALITY,
        **PICTURE,
        **SOUND,
        **CONTAINER,
    )
    await runner.run(_arguments(output), time_limit=_limit(frames))


async def join(pieces: Sequence[tuple[Path, int]], target: Path, size: tuple[int, int], runner: Ffmpeg) -> None:
    """Write clips, so many frames of each, one after the other. Their sound is left out.

    Raises:
        FfmpegFailed, FfmpegTimedOut: ffmpeg cannot read them.
    """
    pictures = [
        _picture(_open(path), size).filter("trim", end_frame=frames).filter("setpts", "N/FRAME_RATE/TB")
        for path, frames in pieces
    ]
    frames = sum(frames for _, frames in pieces)
    joined = ffmpeg.concat(*pictures, v=1, a=0).filter("setparams", **_tags())
    output = ffmpeg.output(joined, str(target), **{"frames:v": frames}, **QUALITY, **PICTURE, **CONTAINER)
    await runner.run(_arguments(output), time_limit=_limit(frames))


async def take_frame(source: Path, number: int, target: Path, runner: Ffmpeg) -> None:
    """Write one frame, counted from 0, as a JPEG."""
    picture = _open(source).video.filter("trim", start_frame=number)
    output = ffmpeg.output(picture, str(target), **{"frames:v": 1, "q:v": 2, "update": 1})
    await runner.run(_arguments(output), time_limit=LIMIT_SECONDS)


def _open(source: Path, **options: str) -> Any:  # noqa: ANN401 - ffmpeg-python has no types
    return ffmpeg.input(str(source), f="mov", protocol_whitelist="file", max_pixels=LARGEST_PICTURE, **options)


def _picture(clip: Any, size: tuple[int, int]) -> Any:  # noqa: ANN401 - as above
    width, height = size
    return (
        clip.video.filter("fps", FRAME_RATE)
        .filter("scale", width, height, force_original_aspect_ratio="increase", flags="bicubic")
        .filter("crop", width, height)
        .filter("setsar", 1)
        .filter("format", "yuv420p")
    )


def _tags() -> dict[str, str]:
    return dict(tag.split("=") for tag in TAGS.split(":"))


def _arguments(output: Any) -> list[str]:  # noqa: ANN401 - as above
    return [str(argument) for argument in ffmpeg.compile(output, overwrite_output=True)[1:]]


def _limit(frames: int) -> float:
    return LIMIT_SECONDS + LIMIT_SECONDS_PER_SECOND * frames / FRAME_RATE
