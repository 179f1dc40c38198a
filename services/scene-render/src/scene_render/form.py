"""The film's form: how every clip is encoded, so that clips of all origins can be joined without a second look."""

from shared.contracts.media import FRAME_RATE

AUDIO_RATE = 48_000

PICTURE: dict[str, str | int] = {
    "c:v": "libx264",
    "profile:v": "high",
    "level:v": "4.0",
    "pix_fmt": "yuv420p",
    "r": FRAME_RATE,
    "video_track_timescale": FRAME_RATE * 512,
    # Stitchable and a closed GOP of a second: parameter sets come out byte-equal over all clips of a size.
    "x264-params": (
        "stitchable=1:open-gop=0:bframes=3:b-pyramid=2:ref=3:sps-id=0"
        f":keyint={FRAME_RATE}:min-keyint={FRAME_RATE}:scenecut=0"
    ),
    "chroma_sample_location": "left",
    "color_range": "tv",
    "color_primaries": "bt709",
    "color_trc": "bt709",
    "colorspace": "bt709",
}
SOUND: dict[str, str | int] = {"c:a": "aac", "b:a": "96k", "ar": AUDIO_RATE, "ac": 2}
CONTAINER: dict[str, str | int] = {"map_metadata": -1, "movflags": "+faststart", "format": "mp4"}

TAGS = "range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"
"""What `setparams` is told about a picture."""


def silence(frames: int) -> str:
    """Ffmpeg's source of exactly as much silence as so many frames last."""
    return f"anullsrc=r={AUDIO_RATE}:cl=stereo:d={frames / FRAME_RATE:.6f}"
