"""A clip from outside: looked at before it is used, conformed where it differs from the film's form."""

from pathlib import Path

from scene_render import conform
from scene_render.form import AUDIO_RATE
from shared.contracts.media import FRAME_RATE, Clip, MediaReference
from shared.ffmpeg import Ffmpeg, FfmpegFailed, FfmpegTimedOut
from shared.probe import MediaFacts, MediaUnreadable, probe

LONGEST_FREEZE_FRAMES = FRAME_RATE // 2
"""A clip may be this much too short: the composer lets its last frame stand still."""


SOUND = ("aac", AUDIO_RATE, 2)
"""Codec, samples per second and channels of a clip that has sound."""


class ClipUnusable(Exception):
    """The provider's file cannot become a part of the film."""


async def admit(path: Path, size: tuple[int, int], frames: int, ffmpeg: Ffmpeg) -> tuple[Path, MediaFacts]:
    """Check a fetched clip and return a file in the film's form, `frames` long or a freeze shorter, with its facts.

    Raises:
        ClipUnusable: it is not a video, too short, or ffmpeg cannot read it.
    """
    try:
        facts = await probe(path)
        if not fits(facts, size, frames):
            conformed = path.with_name("conformed.mp4")
            await conform.conform(path, conformed, size, frames, ffmpeg)
            path, facts = conformed, await probe(conformed)
    except (MediaUnreadable, FfmpegFailed, FfmpegTimedOut) as error:
        raise ClipUnusable(f"The clip cannot be read: {error}") from error
    if facts.frames < frames - LONGEST_FREEZE_FRAMES:
        raise ClipUnusable(f"The clip has {facts.frames} frames; {frames} were asked for.")
    return path, facts


def fits(facts: MediaFacts, size: tuple[int, int], frames: int) -> bool:
    """Whether a clip can be used as it is."""
    return (
        (facts.width, facts.height) == size
        and facts.frame_rate == FRAME_RATE
        and facts.constant_rate
        and facts.video_codec == "h264"
        and facts.pixel_format == "yuv420p"
        and facts.frames <= frames
        and (facts.audio_codec is None or (facts.audio_codec, facts.audio_rate, facts.audio_channels) == SOUND)
    )


def clip_of(media: MediaReference, facts: MediaFacts) -> Clip:
    """What other services are told about a clip."""
    return Clip(
        media=media,
        width=facts.width,
        height=facts.height,
        frames=facts.frames,
        has_audio=facts.audio_codec is not None,
    )
