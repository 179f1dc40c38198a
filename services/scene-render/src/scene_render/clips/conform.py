"""Converts clips to the encoding profile, joins the parts of a scene, extracts single frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ffmpeg

from scene_render.clips.colour import Filter, film_colours, has_film_colours
from shared.contracts.media import FRAME_RATE
from shared.media.encoding_profile import (
    AUDIO_CHANNELS,
    AUDIO_CODEC,
    AUDIO_LAYOUT,
    AUDIO_RATE,
    CLIP_AUDIO,
    CLIP_VIDEO,
    COLOUR_TAGS,
    CONTAINER,
    H264_PROFILES,
    PIXEL_FORMAT,
    TRACK_TIMESCALE,
    VIDEO_CODEC,
    forced_idr,
)
from shared.media.ffmpeg import Ffmpeg
from shared.media.probe import UPRIGHT, MediaFacts

LIMIT_SECONDS = 120.0
LIMIT_SECONDS_PER_SECOND = 15.0
QUALITY = {"preset": "veryfast", "crf": 18}
TRANSPOSITIONS = {
    (True, False): "clock", (False, True): "cclock", (True, True): "cclock_flip", (False, False): "clock_flip",
}  # fmt: skip
"""ffmpeg's names of transpositions, by whether rows run down and columns run right."""


@dataclass(frozen=True)
class Conversion:
    """How a clip with these `facts` is converted: to at most `frames` frames of `size` pixels.

    The clip starts with its first picture after `skip` seconds. Its frames `boundaries` become IDR pictures.
    """

    facts: MediaFacts
    size: tuple[int, int]
    frames: int
    skip: float = 0.0
    boundaries: tuple[int, ...] = ()


def matches_profile(facts: MediaFacts, size: tuple[int, int]) -> bool:
    """Return whether a clip has every property of the encoding profile."""
    audio_format = (facts.audio_codec, facts.audio_rate, facts.audio_channels)
    sound = facts.sound is None or (
        audio_format == (AUDIO_CODEC, AUDIO_RATE, AUDIO_CHANNELS) and abs(facts.audio_start) < 1 / FRAME_RATE
    )
    return picture_matches_profile(facts, size) and sound and facts.others == 0


def picture_matches_profile(facts: MediaFacts, size: tuple[int, int]) -> bool:
    """Return whether the picture of a clip, with its timing, has every property of the encoding profile."""
    picture = (
        facts.container == "mov"
        and (facts.width, facts.height) == size
        and facts.sample_aspect == 1
        and facts.turning == UPRIGHT
        and not facts.is_cropped
        and not facts.is_interlaced
        and facts.video_codec == VIDEO_CODEC
        and facts.profile in H264_PROFILES
        and facts.pixel_format == PIXEL_FORMAT
        and has_film_colours(facts)
    )
    timing = (
        facts.frame_rate == FRAME_RATE
        and facts.constant_rate
        and facts.start == 0
        # An edit list may only remove the decoder's delay.
        and facts.hidden == 0
    )
    return picture and timing


async def conform(source: Path, target: Path, conversion: Conversion, runner: Ffmpeg) -> None:
    """Convert `source` to the encoding profile and write it to `target`.

    The picture is turned upright, deinterlaced, cropped to the aspect ratio of the film and scaled to its size with
    square pixels. Sound stays in sync.

    Raises:
        FfmpegFailed, FfmpegTimedOut: ffmpeg cannot convert it.
    """
    facts, frames = conversion.facts, conversion.frames
    clip = _open(source, facts.container)
    begin = facts.start + conversion.skip
    streams, graphs = [clip[str(facts.picture)]], {"vf": graph(_picture(facts, begin, conversion.size))}
    if facts.sound is not None:
        streams.append(clip[str(facts.sound)])
        graphs["af"] = graph(_sound(begin, frames))
    # A restarted graph does not know the earlier frames: number and rate of frames are set on the output.
    timing = {"frames:v": frames, "fps_mode": "cfr", **forced_idr(conversion.boundaries)}
    output = ffmpeg.output(
        *streams, str(target), **graphs, **timing, **QUALITY, **CLIP_VIDEO, **CLIP_AUDIO, **CONTAINER
    )
    # MPEG-TS that was cut or joined has gaps in its counters, which ffmpeg takes for damage.
    strict = [] if facts.container == "mpegts" else ["-xerror"]
    # Keep the file's timestamps, which `facts` refer to.
    arguments = _arguments(output.global_args("-copyts", *strict))
    await runner.run(arguments, time_limit=_limit(frames))


async def remux(source: Path, target: Path, facts: MediaFacts, runner: Ffmpeg) -> None:
    """Copy a picture that matches the encoding profile to `target`, convert its sound, and leave out all else.

    Raises:
        FfmpegFailed, FfmpegTimedOut: ffmpeg cannot convert it.
    """
    clip = _open(source)
    streams, sound = [clip[str(facts.picture)]], {}
    if facts.sound is not None:
        streams.append(clip[str(facts.sound)])
        sound = {"af": graph(_sound(0.0, facts.frames)), **CLIP_AUDIO}
    container = {**CONTAINER, "video_track_timescale": TRACK_TIMESCALE}
    output = ffmpeg.output(*streams, str(target), **{"c:v": "copy"}, **sound, **container)
    await runner.run(_arguments(output.global_args("-copyts", "-xerror")), time_limit=_limit(facts.frames))


async def join(pieces: Sequence[tuple[Path, int]], target: Path, boundaries: Sequence[int], runner: Ffmpeg) -> None:
    """Join clips that match the encoding profile, the given number of frames of each, without their sound.

    The frames `boundaries` of the result become IDR pictures.

    Raises:
        FfmpegFailed, FfmpegTimedOut: ffmpeg cannot join them.
    """
    pictures = [
        _tagged(_open(path).video).filter("trim", end_frame=frames).filter("setpts", "N/FRAME_RATE/TB")
        for path, frames in pieces
    ]
    frames = sum(frames for _, frames in pieces)
    joined = _tagged(ffmpeg.concat(*pictures, v=1, a=0))
    options = {"frames:v": frames, **QUALITY, **CLIP_VIDEO, **forced_idr(boundaries)}
    output = ffmpeg.output(joined, str(target), **options, **CONTAINER)
    await runner.run(_arguments(output), time_limit=_limit(frames))


async def take_frame(source: Path, number: int, target: Path, runner: Ffmpeg) -> None:
    """Write one frame of a clip that matches the encoding profile, counted from 0, as a JPEG."""
    picture = _tagged(_open(source).video).filter("trim", start_frame=number)
    # JPEG uses BT.601 in full range.
    picture = picture.filter("scale", out_color_matrix="bt601", out_range="pc").filter("format", "yuvj420p")
    output = ffmpeg.output(picture, str(target), **{"frames:v": 1, "q:v": 2, "update": 1})
    await runner.run(_arguments(output), time_limit=LIMIT_SECONDS)


def _open(source: Path, container: str = "mov") -> Any:  # noqa: ANN401 - ffmpeg-python has no types
    options = {"f": container, "noautorotate": None}
    return ffmpeg.input(str(source), **options)


def _picture(facts: MediaFacts, begin: float, size: tuple[int, int]) -> Sequence[Filter]:
    """Return the filters that convert the picture. ffmpeg applies the container's cropping before them."""
    width, height = size
    deinterlace: Filter = ("bwdif", {"mode": "send_frame", "deint": "interlaced"})
    return (
        *([deinterlace] if facts.is_interlaced else []),
        *upright(facts.turning),
        ("setpts", {"expr": f"PTS-{begin:.9f}/TB"}),
        ("fps", {"fps": FRAME_RATE}),
        ("crop", {"w": f"min(iw,ih*{width}/{height}/sar)", "h": f"min(ih,iw*sar*{height}/{width})"}),
        *film_colours(facts, size),
        ("format", {"pix_fmts": PIXEL_FORMAT}),
        ("setsar", {"sar": 1}),
        ("setparams", COLOUR_TAGS),
        # Side data such as HDR metadata or captions describes the source only.
        ("sidedata", {"mode": "delete"}),
    )


def upright(turning: tuple[int, int, int, int]) -> Sequence[Filter]:
    """Return the filters that turn a picture upright, by right angles only, as players do.

    ffmpeg's own rotation restarts its graph at frames without a display matrix; in H.264 only the first frame has one.
    """
    row_right, row_down, column_right, column_down = turning
    if abs(row_right) + abs(column_down) < abs(row_down) + abs(column_right):
        return (("transpose", {"dir": TRANSPOSITIONS[row_down > 0, column_right > 0]}),)
    flips = (("hflip", row_right < 0), ("vflip", column_down < 0))
    return tuple((name, {}) for name, is_flipped in flips if is_flipped)


def _sound(begin: float, frames: int) -> Sequence[Filter]:
    """Return the filters that start the sound with the picture and fill its gaps with silence."""
    return (
        ("asetpts", {"expr": f"PTS-{begin:.9f}/TB"}),
        ("aresample", {"sample_rate": AUDIO_RATE, "async": 1}),
        ("aformat", {"channel_layouts": AUDIO_LAYOUT}),
        ("atrim", {"start": 0, "end": f"{frames / FRAME_RATE:.6f}"}),
    )


def graph(filters: Sequence[Filter]) -> str:
    """Return the text of a separate graph, so that ffmpeg restarts only this one when its stream changes."""
    texts = []
    for name, options in filters:
        values = ":".join(f"{option}='{value}'" for option, value in options.items())
        texts.append(f"{name}={values}" if values else name)
    return ",".join(texts)


def _tagged(picture: Any) -> Any:  # noqa: ANN401 - as above
    return picture.filter("setparams", **COLOUR_TAGS)


def _arguments(output: Any) -> list[str]:  # noqa: ANN401 - as above
    return [str(argument) for argument in ffmpeg.compile(output, overwrite_output=True)[1:]]


def _limit(frames: int) -> float:
    return LIMIT_SECONDS + LIMIT_SECONDS_PER_SECOND * frames / FRAME_RATE
