"""The ffmpeg graph that joins clips into a film. All positions are whole frames and whole samples."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import ffmpeg
from ffmpeg.nodes import FilterableStream

from composer.clips import ClipFile
from shared.contracts.media import FRAME_RATE
from shared.contracts.story import Transition
from shared.contracts.timeline import Slot, total_frames

SAMPLE_RATE = 48_000
SAMPLES_PER_FRAME = SAMPLE_RATE // FRAME_RATE

# The filter's own "dissolve" is a cloud of random pixels: ugly, and costly to encode.
XFADE: dict[Transition, str] = {"fade": "fadeblack", "dissolve": "fade", "wipe": "wipeleft"}

BT709 = {"color_primaries": "bt709", "color_trc": "bt709", "colorspace": "bt709"}
PICTURE = {
    **{"c:v": "libx264", "profile:v": "high", "preset": "veryfast", "crf": 20, "pix_fmt": "yuv420p"},
    **{"r": FRAME_RATE, "g": 2 * FRAME_RATE, "video_track_timescale": 512 * FRAME_RATE},
    **{"color_range": "tv", **BT709},
}
SOUND = {"c:a": "aac", "b:a": "160k", "ar": SAMPLE_RATE, "ac": 2}
FILE = {
    **{"f": "mp4", "movflags": "+faststart", "map_metadata": -1, "map_chapters": -1},
    **{"fflags": "+bitexact", "flags:v": "+bitexact", "flags:a": "+bitexact"},
}


def film_arguments(slots: Sequence[Slot], clips: Sequence[ClipFile], target: Path) -> list[str]:
    """Tell ffmpeg, without its own name, how to make the film. The clips are in the film's form, one for each slot."""
    inputs = [ffmpeg.input(str(clip.path), f="mov", protocol_whitelist="file") for clip in clips]
    silences = _silences(sum(not clip.has_audio for clip in clips))
    pictures, sounds = [], []
    for slot, clip, source in zip(slots, clips, inputs, strict=True):
        pictures.append(_picture(source["v:0"], slot, clip))
        sounds.append(_sound(source["a:0"] if clip.has_audio else next(silences), slot))
    output = ffmpeg.output(
        _joined_pictures(slots, pictures),
        _joined_sounds(slots, sounds),
        str(target),
        **{"frames:v": total_frames(slots), **PICTURE, **SOUND, **FILE},
    )
    return list(ffmpeg.compile(output.global_args("-xerror"), overwrite_output=True)[1:])


def _silences(count: int) -> Iterator[FilterableStream]:
    """Endless silence for each clip without sound, from one source: equal sources would count as one stream."""
    if not count:
        return
    source = ffmpeg.input(f"anullsrc=r={SAMPLE_RATE}:cl=stereo", f="lavfi")
    split = ffmpeg.filter_multi_output(source, "asplit")
    yield from (split[number] for number in range(count))


def _picture(source: FilterableStream, slot: Slot, clip: ClipFile) -> FilterableStream:
    """The picture of a clip, exactly as long as its slot asks."""
    marked = source.filter("format", "yuv420p").filter("setsar", 1).filter("setparams", range="tv", **BT709)
    missing = slot.clip_frames - clip.frames
    if missing > 0:
        marked = marked.filter("tpad", stop_mode="clone", stop=missing)
    return _counted(marked.filter("trim", end_frame=slot.clip_frames))


def _counted(picture: FilterableStream) -> FilterableStream:
    """Number the frames: concat and xfade leave other time bases, and xfade another pixel format, behind."""
    return picture.filter("format", "yuv420p").filter("settb", f"1/{FRAME_RATE}").filter("setpts", "N")


def _sound(source: FilterableStream, slot: Slot) -> FilterableStream:
    """The sound of a clip, exactly as long as its picture."""
    samples = slot.clip_frames * SAMPLES_PER_FRAME
    return (
        source.filter("aresample", SAMPLE_RATE, **{"async": 1, "first_pts": 0})
        .filter("aformat", sample_fmts="fltp", channel_layouts="stereo")
        .filter("apad", whole_len=samples)
        .filter("atrim", end_sample=samples)
        .filter("asetpts", "N/SR/TB")
    )


def _joined_pictures(slots: Sequence[Slot], pictures: Sequence[FilterableStream]) -> FilterableStream:
    film = pictures[0]
    for (slot, following), picture in zip(itertools.pairwise(slots), pictures[1:], strict=True):
        if slot.overlap:
            film = ffmpeg.filter(
                [film, picture],
                "xfade",
                transition=XFADE[slot.scene.transition],
                duration=_seconds(slot.overlap),
                offset=_seconds(following.start),
            )
        else:
            film = ffmpeg.concat(film, picture, v=1, a=0)
        film = _counted(film)
    return film


def _joined_sounds(slots: Sequence[Slot], sounds: Sequence[FilterableStream]) -> FilterableStream:
    film = sounds[0]
    for slot, sound in zip(slots, sounds[1:], strict=False):
        if slot.overlap:
            film = ffmpeg.filter([film, sound], "acrossfade", ns=slot.overlap * SAMPLES_PER_FRAME, c1="tri", c2="tri")
        else:
            film = ffmpeg.concat(film, sound, v=0, a=1)
    return film


def _seconds(frames: int) -> str:
    """Frames as ffmpeg's duration options take them, to the microsecond."""
    return f"{frames / FRAME_RATE:.6f}"
