"""The plain way to join clips: one ffmpeg graph that encodes the whole film. The baseline of `composing.py`.

A scene's transition overlaps the end of its clip with the beginning of the next one, which is why the clip is longer
than the scene. Each join therefore begins where the next scene begins in the film.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ffmpeg

from shared.contracts.media import FRAME_RATE
from shared.contracts.story import Transition
from shared.contracts.timeline import Slot, total_frames
from shared.media.encoding_profile import (
    AUDIO_LAYOUT,
    AUDIO_RATE,
    CLIP_VIDEO,
    COLOUR_TAGS,
    CONTAINER,
    FILM_AUDIO,
    PIXEL_FORMAT,
)

FOR_COPYING = ("level:v", "x264-params", "chroma_sample_location")
"""Options of the profile that only matter where frames are copied."""
FILM_VIDEO: dict[str, object] = {
    **{name: value for name, value in CLIP_VIDEO.items() if name not in FOR_COPYING},
    "preset": "veryfast",
    "crf": 20,
}

XFADE: dict[Transition, str] = {"fade": "fadeblack", "dissolve": "fade", "wipe": "wipeleft"}
"""ffmpeg's names of our transitions. Its own `dissolve` scatters pixels."""

CLIP = {"f": "mov", "protocol_whitelist": "file", "noautorotate": None, "apply_cropping": "codec"}
"""Clips are upright and uncropped: ignore what the container says and use frames as encoded."""


@dataclass(frozen=True)
class ClipFile:
    """A clip on this machine. `frames` is its actual number of frames."""

    path: Path
    frames: int
    has_audio: bool


def film_arguments(
    slots: Sequence[Slot], clips: Sequence[ClipFile], target: Path, size: tuple[int, int], **encoding: object
) -> list[str]:
    """Return ffmpeg's arguments, without the binary, that join clips into `target` of `size` pixels."""
    inputs = [ffmpeg.input(str(clip.path), **CLIP) for clip in clips]
    picture = [_picture(stream, slot, size) for stream, slot in zip(inputs, slots, strict=True)]
    sound = [_sound(stream, clip, slot) for stream, clip, slot in zip(inputs, clips, slots, strict=True)]
    frames = total_frames(slots)
    output = ffmpeg.output(
        _join_pictures(picture, slots),
        _join_sounds(sound, slots).filter("atrim", end=_seconds(frames)),
        str(target),
        **{"frames:v": frames},
        **{**FILM_VIDEO, **encoding},
        **FILM_AUDIO,
        **CONTAINER,
    )
    return [str(argument) for argument in ffmpeg.compile(output.global_args("-xerror"), overwrite_output=True)[1:]]


def _picture(stream: Any, slot: Slot, size: tuple[int, int]) -> Any:
    """Cut a clip to the frames of its slot; if it is too short, its last frame is repeated."""
    width, height = size
    # ffmpeg would convert between tagged and untagged clips.
    picture = stream["v:0"].filter("setparams", **COLOUR_TAGS)
    picture = picture.filter("scale", width, height).filter("setsar", 1).filter("format", PIXEL_FORMAT)
    picture = picture.filter("fps", FRAME_RATE).filter("tpad", stop_mode="clone", stop=-1)
    return _numbered(picture.filter("trim", end_frame=slot.clip_frames))


def _numbered(picture: Any) -> Any:
    """Set the timestamps to n/FRAME_RATE exactly: filters leave rounding errors."""
    return picture.filter("format", PIXEL_FORMAT).filter("settb", f"1/{FRAME_RATE}").filter("setpts", "N")


def _join_pictures(pictures: Sequence[Any], slots: Sequence[Slot]) -> Any:
    film = pictures[0]
    for before, slot, picture in zip(slots, slots[1:], pictures[1:], strict=False):
        if before.overlap:
            joined = ffmpeg.filter(
                [film, picture],
                "xfade",
                transition=XFADE[before.scene.transition],
                duration=_seconds(before.overlap),
                offset=_seconds(slot.start),
            )
        else:
            joined = ffmpeg.concat(film, picture, v=1, a=0)
        film = _numbered(joined)
    return film


def _sound(stream: Any, clip: ClipFile, slot: Slot) -> Any:
    """Return the sound of a clip, or silence, exactly as long as its picture."""
    length = _seconds(slot.clip_frames)
    if clip.has_audio:
        sound = stream["a:0"].filter("aresample", AUDIO_RATE, **{"async": 1, "first_pts": 0})
    else:
        # ffmpeg-python merges equal inputs; the packet size makes them different.
        silence = f"anullsrc=r={AUDIO_RATE}:cl={AUDIO_LAYOUT}:n={1024 + slot.scene.scene_number}"
        sound = ffmpeg.input(silence, f="lavfi", t=length).audio
    sound = sound.filter("aformat", sample_fmts="fltp", channel_layouts=AUDIO_LAYOUT).filter("apad", whole_dur=length)
    return sound.filter("atrim", end=length).filter("asetpts", "N/SR/TB")


def _join_sounds(sounds: Sequence[Any], slots: Sequence[Slot]) -> Any:
    film = sounds[0]
    for before, sound in zip(slots, sounds[1:], strict=False):
        if before.overlap:
            film = ffmpeg.filter([film, sound], "acrossfade", d=_seconds(before.overlap), c1="tri", c2="tri")
        else:
            film = ffmpeg.concat(film, sound, v=0, a=1)
    return film


def _seconds(frames: int) -> str:
    return f"{frames / FRAME_RATE:.6f}"
