"""Encodes a part of a film with one run of ffmpeg: a transition, or frames of a clip that cannot be copied."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ffmpeg

from composer.film.segments import Encoded, Excerpt
from shared.contracts.media import FRAME_RATE
from shared.contracts.story import Transition
from shared.media.encoding_profile import CLIP_VIDEO, COLOUR_TAGS, CONTAINER, PIXEL_FORMAT
from shared.media.ffmpeg import Ffmpeg

LIMIT_SECONDS = 60.0
LIMIT_SECONDS_PER_SECOND = 15.0
"""Time limits for a slow, busy machine: a constant part, and one for each second of film."""

QUALITY = {"preset": "superfast", "crf": 18}

XFADE: dict[Transition, str] = {"fade": "fadeblack", "dissolve": "fade", "wipe": "wipeleft"}
"""ffmpeg's names of our transitions. Its own `dissolve` scatters pixels."""


async def encode(part: Encoded, clips: Mapping[int, Path], target: Path, size: tuple[int, int], runner: Ffmpeg) -> None:
    """Encode a part of a film to `target`, from the `clips` by scene number. `size` is in pixels.

    Raises:
        FfmpegFailed, FfmpegTimedOut: ffmpeg cannot encode it.
    """
    limit = LIMIT_SECONDS + LIMIT_SECONDS_PER_SECOND * part.frames / FRAME_RATE
    await runner.run(arguments(part, clips, target, size), time_limit=limit)


def arguments(part: Encoded, clips: Mapping[int, Path], target: Path, size: tuple[int, int]) -> list[str]:
    """Return ffmpeg's arguments, without the binary."""
    pictures = [_picture(excerpt, clips[excerpt.scene_number], size) for excerpt in part.excerpts]
    picture = pictures[0]
    if part.overlap:
        offset = part.excerpts[0].length - part.overlap
        joined = ffmpeg.filter(
            pictures,
            "xfade",
            transition=XFADE[part.transition],
            duration=_seconds(part.overlap),
            offset=_seconds(offset),
        )
        picture = _numbered(joined)
    output = ffmpeg.output(
        picture, str(target), **{"frames:v": part.frames}, **QUALITY, **CLIP_VIDEO, **CONTAINER
    ).global_args("-xerror")
    return [str(argument) for argument in ffmpeg.compile(output, overwrite_output=True)[1:]]


def _picture(excerpt: Excerpt, clip: Path, size: tuple[int, int]) -> Any:  # noqa: ANN401 - ffmpeg-python has no types
    # Half a frame early, so that rounding does not matter; one frame more than needed.
    place = {"ss": _seconds(excerpt.first - 0.5)} if excerpt.first else {}
    source = ffmpeg.input(
        str(clip),
        **place,
        t=_seconds(excerpt.frames + 1),
        f="mov",
        err_detect="explode",
        # Clips are upright and uncropped: ignore what the container says and use frames as encoded.
        noautorotate=None,
        apply_cropping="codec",
    )
    # ffmpeg would convert between tagged and untagged clips.
    picture = source["v:0"].filter("setparams", **COLOUR_TAGS).filter("scale", *size).filter("setsar", 1)
    picture = _numbered(picture.filter("trim", end_frame=excerpt.frames))
    if excerpt.freeze:
        picture = _numbered(picture.filter("tpad", stop_mode="clone", stop=excerpt.freeze))
    return picture


def _numbered(picture: Any) -> Any:  # noqa: ANN401 - ffmpeg-python has no types
    """Set the timestamps to n/FRAME_RATE exactly: filters leave rounding errors."""
    return picture.filter("format", PIXEL_FORMAT).filter("settb", f"1/{FRAME_RATE}").filter("setpts", "N")


def _seconds(frames: float) -> str:
    return f"{frames / FRAME_RATE:.6f}"
