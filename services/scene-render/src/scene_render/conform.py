"""Brings clips of another form into the film's, joins those of one scene, takes single frames out of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ffmpeg

from scene_render.colour import film_colours
from scene_render.form import AUDIO_RATE, CONTAINER, PICTURE, SOUND, TAGS
from shared.contracts.media import FRAME_RATE
from shared.ffmpeg import Ffmpeg
from shared.probe import LARGEST_PICTURE, MediaFacts

LIMIT_SECONDS = 120.0
LIMIT_SECONDS_PER_SECOND = 15.0
QUALITY = {"preset": "veryfast", "crf": 18}


async def conform(
    source: Path, target: Path, facts: MediaFacts, size: tuple[int, int], frames: int, runner: Ffmpeg, skip: float = 0.0
) -> None:
    """Write `source`, of which `facts` are known, as `target` in the film's form: at most so many frames.

    The picture is turned upright, deinterlaced, cropped to the shape of `size` and scaled to it in square pixels. The
    clip begins with its picture, `skip` seconds of which are left out; its sound stays in time with it.

    Raises:
        FfmpegFailed, FfmpegTimedOut: ffmpeg cannot read it.
    """
    clip = _open(source, facts.container)
    begin = facts.start + skip
    streams = [_picture(clip[str(facts.picture)], facts, begin, size)]
    if facts.sound is not None:
        streams.append(_sound(clip[str(facts.sound)], begin, frames))
    output = ffmpeg.output(*streams, str(target), **{"frames:v": frames}, **QUALITY, **PICTURE, **SOUND, **CONTAINER)
    # Times of all streams as the file has them, and as the probe has read them.
    arguments = _arguments(output.global_args("-copyts"))
    await runner.run(arguments, time_limit=_limit(frames))


async def join(pieces: Sequence[tuple[Path, int]], target: Path, runner: Ffmpeg) -> None:
    """Write clips in the film's form, so many frames of each, one after the other. Their sound is left out.

    Raises:
        FfmpegFailed, FfmpegTimedOut: ffmpeg cannot read them.
    """
    pictures = [
        _tagged(_open(path).video).filter("trim", end_frame=frames).filter("setpts", "N/FRAME_RATE/TB")
        for path, frames in pieces
    ]
    frames = sum(frames for _, frames in pieces)
    joined = _tagged(ffmpeg.concat(*pictures, v=1, a=0))
    output = ffmpeg.output(joined, str(target), **{"frames:v": frames}, **QUALITY, **PICTURE, **CONTAINER)
    await runner.run(_arguments(output), time_limit=_limit(frames))


async def take_frame(source: Path, number: int, target: Path, runner: Ffmpeg) -> None:
    """Write one frame of a clip in the film's form, counted from 0, as a JPEG."""
    picture = _tagged(_open(source).video).filter("trim", start_frame=number)
    # JPEG has colours of its own: BT.601 in full range.
    picture = picture.filter("scale", out_color_matrix="bt601", out_range="pc").filter("format", "yuvj420p")
    output = ffmpeg.output(picture, str(target), **{"frames:v": 1, "q:v": 2, "update": 1})
    await runner.run(_arguments(output), time_limit=LIMIT_SECONDS)


def _open(source: Path, container: str = "mov") -> Any:  # noqa: ANN401 - ffmpeg-python has no types
    return ffmpeg.input(str(source), f=container, protocol_whitelist="file", max_pixels=LARGEST_PICTURE)


def _picture(picture: Any, facts: MediaFacts, begin: float, size: tuple[int, int]) -> Any:  # noqa: ANN401 - as above
    """The picture as the film has it. ffmpeg has turned it upright before any filter sees it."""
    width, height = size
    if facts.is_interlaced:
        picture = picture.filter("bwdif", mode="send_frame", deint="interlaced")
    picture = picture.filter("setpts", f"PTS-{begin:.9f}/TB").filter("fps", FRAME_RATE, start_time=0)
    shape = {"w": f"min(iw,ih*{width}/{height}/sar)", "h": f"min(ih,iw*sar*{height}/{width})"}
    picture = picture.filter("crop", **shape)
    for name, options in film_colours(facts.colour, size, is_rgb=facts.is_rgb):
        picture = picture.filter(name, **options)
    # Side data goes too: what it says of the light or the captions of the source is not true of the film.
    return _tagged(picture.filter("format", "yuv420p").filter("setsar", 1)).filter("sidedata", "delete")


def _sound(sound: Any, begin: float, frames: int) -> Any:  # noqa: ANN401 - as above
    """The sound from the moment the picture begins, with silence where it has gaps."""
    sound = sound.filter("asetpts", f"PTS-{begin:.9f}/TB")
    sound = sound.filter("aresample", AUDIO_RATE, **{"async": 1, "first_pts": 0})
    return sound.filter("aformat", channel_layouts="stereo").filter("atrim", end=f"{frames / FRAME_RATE:.6f}")


def _tagged(picture: Any) -> Any:  # noqa: ANN401 - as above
    return picture.filter("setparams", **dict(tag.split("=") for tag in TAGS.split(":")))


def _arguments(output: Any) -> list[str]:  # noqa: ANN401 - as above
    return [str(argument) for argument in ffmpeg.compile(output, overwrite_output=True)[1:]]


def _limit(frames: int) -> float:
    return LIMIT_SECONDS + LIMIT_SECONDS_PER_SECOND * frames / FRAME_RATE
