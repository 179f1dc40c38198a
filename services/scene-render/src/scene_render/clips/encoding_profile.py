"""The film's form: how every clip is encoded, so that clips of all origins can be joined without a second look."""

from scene_render.clips import colour
from shared.contracts.media import FRAME_RATE
from shared.media.probe import UPRIGHT, MediaFacts

AUDIO_RATE = 48_000
PROFILES = frozenset({"Constrained Baseline", "Main", "High"})
"""Profiles of H.264 that every player decodes."""
HEARD = ("aac", AUDIO_RATE, 2)
"""Codec, samples per second and channels of a clip that has sound."""

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
CONTAINER: dict[str, str | int] = {"map_metadata": -1, "map_chapters": -1, "movflags": "+faststart", "format": "mp4"}

TAGS = {"range": "tv", "color_primaries": "bt709", "color_trc": "bt709", "colorspace": "bt709"}
"""What `setparams` is told about a picture."""


def silence(frames: int) -> str:
    """Ffmpeg's source of exactly as much silence as so many frames last."""
    return f"anullsrc=r={AUDIO_RATE}:cl=stereo:d={frames / FRAME_RATE:.6f}"


def fits(facts: MediaFacts, size: tuple[int, int]) -> bool:
    """Whether a clip is in the film's form already. Everything that is not stated here is conformed."""
    picture = (
        facts.container == "mov"
        and (facts.width, facts.height) == size
        and facts.sample_aspect == 1
        and facts.turning == UPRIGHT
        and not facts.is_cropped
        and not facts.is_interlaced
        and facts.video_codec == "h264"
        and facts.profile in PROFILES
        and facts.pixel_format == "yuv420p"
        and colour.is_films(facts)
    )
    timing = (
        facts.frame_rate == FRAME_RATE
        and facts.constant_rate
        and facts.start == 0
        # An edit list may take away the decoder's delay and nothing else.
        and facts.hidden == 0
    )
    form_of_sound = (facts.audio_codec, facts.audio_rate, facts.audio_channels)
    sound = facts.sound is None or (form_of_sound == HEARD and abs(facts.audio_start) < 1 / FRAME_RATE)
    return picture and timing and sound and facts.others == 0
