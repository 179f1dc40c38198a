"""The encoding profile: how every clip and every film is encoded, so that clips of any origin can be joined.

The values are options of ffmpeg. Frame rate and frame sizes are part of the contracts (`shared.contracts.media`).
"""

from collections.abc import Iterable

from shared.contracts.media import FRAME_RATE

VIDEO_CODEC = "h264"
H264_PROFILES = frozenset({"Constrained Baseline", "Main", "High"})
"""The H.264 profiles that every player decodes."""
PIXEL_FORMAT = "yuv420p"
COLOUR_RANGE, COLOUR_SPACE = "tv", "bt709"
PARAMETER_SET_ID = 1
"""The number of the parameter sets in every picture that we encode."""
TRACK_TIMESCALE = FRAME_RATE * 512
"""Ticks per second of a video track: the duration of a frame is a whole number of them."""

AUDIO_CODEC = "aac"
AUDIO_RATE = 48_000
AUDIO_CHANNELS, AUDIO_LAYOUT = 2, "stereo"

COLOUR_TAGS: dict[str, str] = {
    "range": COLOUR_RANGE,
    "color_primaries": COLOUR_SPACE,
    "color_trc": COLOUR_SPACE,
    "colorspace": COLOUR_SPACE,
}
"""Options of the filter `setparams`."""

_VIDEO: dict[str, str | int] = {
    "c:v": "libx264",
    "profile:v": "high",
    "pix_fmt": PIXEL_FORMAT,
    "r": FRAME_RATE,
    "video_track_timescale": TRACK_TIMESCALE,
    "color_range": COLOUR_RANGE,
    "color_primaries": COLOUR_SPACE,
    "color_trc": COLOUR_SPACE,
    "colorspace": COLOUR_SPACE,
}
_AUDIO: dict[str, str | int] = {"c:a": AUDIO_CODEC, "ar": AUDIO_RATE, "ac": AUDIO_CHANNELS}

CLIP_VIDEO: dict[str, str | int] = {
    **_VIDEO,
    "level:v": "4.0",
    # Stitchable, with a closed GOP every second: the parameter sets of all clips of one size are byte-identical. Their
    # number differs from 0, that of almost all other encoders, so that both kinds can be copied into one film.
    "x264-params": (
        f"stitchable=1:open-gop=0:bframes=3:b-pyramid=2:ref=3:sps-id={PARAMETER_SET_ID}"
        f":keyint={FRAME_RATE}:min-keyint={FRAME_RATE}:scenecut=0"
    ),
    "chroma_sample_location": "left",
}
CLIP_AUDIO: dict[str, str | int] = {**_AUDIO, "b:a": "96k"}
FILM_AUDIO: dict[str, str | int] = {**_AUDIO, "b:a": "128k"}
CONTAINER: dict[str, str | int] = {
    "map_metadata": -1,
    # ffmpeg does not count chapters as metadata.
    "map_chapters": -1,
    "movflags": "+faststart",
    "format": "mp4",
}


def forced_idr(frames: Iterable[int]) -> dict[str, str | int]:
    """Return the options by which these frames, counted from 0, become IDR pictures beside the regular ones."""
    conditions = "+".join(f"eq(n,{frame})" for frame in frames)
    return {"force_key_frames": f"expr:{conditions}", "forced-idr": 1} if conditions else {}
