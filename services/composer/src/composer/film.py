"""Joins clips into a film and verifies the result."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from composer.graph import ClipFile, film_arguments
from shared.contracts.media import FRAME_RATE, LONGEST_FREEZE_FRAMES
from shared.contracts.timeline import Slot, total_frames
from shared.media.encoding_profile import AUDIO_CODEC, PIXEL_FORMAT, VIDEO_CODEC
from shared.media.ffmpeg import Ffmpeg, FfmpegFailed
from shared.media.probe import MediaFacts, MediaUnreadable, probe
from shared.messaging.errors import StepFailed

log = structlog.get_logger()

COMPOSE_SECONDS = 60.0
COMPOSE_SECONDS_PER_SECOND = 15.0
"""Time limits for a slow, busy machine: a constant part, and one for each second of film."""


class ClipTooShort(StepFailed):
    """A clip is so short that freezing its last frame would be visible."""

    def __init__(self, scene_number: int, frames: int, wanted: int) -> None:
        reason = f"the clip of scene {scene_number} has {frames} frames; {wanted} are needed"
        super().__init__("clip_too_short", reason)
        self.scene_number = scene_number
        self.frames = frames
        self.wanted = wanted


class ClipUnusable(StepFailed):
    """A clip's file does not match its event."""

    def __init__(self, scene_number: int, reason: str) -> None:
        super().__init__("clip_unusable", f"the clip of scene {scene_number} cannot be used: {reason}")
        self.scene_number = scene_number


class FilmWrong(Exception):
    """The film that ffmpeg wrote does not match the plan."""

    def __init__(self, what: str, expected: object, got: object) -> None:
        super().__init__(f"the film's {what} is {got} instead of {expected}")
        self.what = what
        self.expected = expected
        self.got = got


@dataclass(frozen=True)
class Plan:
    """The properties a film must have: `size` in pixels, `frames` at `FRAME_RATE`."""

    size: tuple[int, int]
    frames: int


async def compose(
    slots: Sequence[Slot],
    clips: Sequence[ClipFile],
    target: Path,
    size: tuple[int, int],
    ffmpeg: Ffmpeg,
    on_percent: Callable[[float], None] = lambda _percent: None,
) -> MediaFacts:
    """Join `clips`, one for each slot, into the film `target`, and verify it.

    `on_percent` is called about twice a second with the progress, 0-100.

    Raises:
        ClipTooShort: a clip is more than `LONGEST_FREEZE_FRAMES` too short.
        ClipUnusable: a clip does not match its event.
        FfmpegFailed, FfmpegTimedOut: ffmpeg could not join them.
        FilmWrong: the film does not match the plan.
    """
    for slot, clip in zip(slots, clips, strict=True):
        if clip.frames < slot.clip_frames - LONGEST_FREEZE_FRAMES:
            raise ClipTooShort(slot.scene.scene_number, clip.frames, slot.clip_frames)
        await _check_clip(slot.scene.scene_number, clip)
    plan = Plan(size, total_frames(slots))
    limit = COMPOSE_SECONDS + COMPOSE_SECONDS_PER_SECOND * plan.frames / FRAME_RATE
    arguments = film_arguments(slots, clips, target, size)
    await ffmpeg.run(
        arguments, time_limit=limit, on_frame=lambda frames: on_percent(min(100 * frames / plan.frames, 100.0))
    )
    facts = await probe(target)
    _compare(facts, plan)
    if not await asyncio.to_thread(_is_faststart, target):
        raise FilmWrong("index", "at its beginning", "behind the media")
    decoded = await _decode(target, ffmpeg, limit)
    if decoded != plan.frames:
        raise FilmWrong("number of decoded frames", plan.frames, decoded)
    return facts


async def _check_clip(scene_number: int, clip: ClipFile) -> None:
    # The graph freezes the last frame for as long as needed, so missing frames would not be noticed later.
    try:
        facts = await probe(clip.path)
    except MediaUnreadable as error:
        raise ClipUnusable(scene_number, error.reason) from error
    announced, got = (clip.frames, clip.has_audio), (facts.frames, facts.audio_codec is not None)
    if got != announced:
        raise ClipUnusable(scene_number, f"(frames, sound) are {got} instead of {announced}")


def _compare(facts: MediaFacts, plan: Plan) -> None:
    frame = 1 / FRAME_RATE
    checks = [
        ("picture codec", VIDEO_CODEC, facts.video_codec),
        ("pixel format", PIXEL_FORMAT, facts.pixel_format),
        ("size", plan.size, (facts.width, facts.height)),
        ("frame rate", FRAME_RATE, facts.frame_rate),
        ("number of frames", plan.frames, facts.frames),
        ("rhythm", "constant", "constant" if facts.constant_rate else "uneven"),
        ("sound codec", AUDIO_CODEC, facts.audio_codec),
        ("number of further tracks", 0, facts.others),
    ]
    for what, expected, got in checks:
        if expected != got:
            raise FilmWrong(what, expected, got)
    seconds = plan.frames * frame
    times = [
        ("start", 0.0, facts.start),
        ("duration", seconds, facts.duration),
        ("sound's start", 0.0, facts.audio_start),
        ("sound's duration", seconds, facts.audio_duration),
    ]
    for what, expected_seconds, got_seconds in times:
        if abs(got_seconds - expected_seconds) > frame:
            raise FilmWrong(what, expected_seconds, got_seconds)


def _is_faststart(path: Path) -> bool:
    """Return whether `moov` comes before `mdat`, so that playback can start before everything is loaded."""
    with path.open("rb") as file:
        while len(header := file.read(8)) == 8:
            length, name = int.from_bytes(header[:4]), header[4:]
            if name in (b"moov", b"mdat"):
                return name == b"moov"
            if length < 8:  # no box is shorter than its own header
                return False
            file.seek(length - 8, 1)
    return False


async def _decode(path: Path, ffmpeg: Ffmpeg, limit: float) -> int:
    """Decode the film, with any error being fatal, and return the number of its frames."""
    counts = [0]
    arguments = ["-xerror", "-err_detect", "explode", "-f", "mov", "-protocol_whitelist", "file", "-i", str(path)]
    try:
        stderr = await ffmpeg.run([*arguments, "-f", "null", "-"], time_limit=limit, on_frame=counts.append)
    except FfmpegFailed as error:
        raise FilmWrong("decoding", "without errors", str(error)) from error
    if stderr.strip():
        # The text names files: for the log only.
        log.warning("film.decodes_with_errors", stderr=stderr)
        raise FilmWrong("decoding", "without errors", "with errors")
    return counts[-1]
