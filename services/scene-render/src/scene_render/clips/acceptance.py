"""Checks a downloaded clip, and brings it into the form of the film if it differs."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from scene_render.clips import conform, content_checks
from scene_render.providers.base import ClipUnreadable, ClipUnusable
from shared.contracts.media import FRAME_RATE, LONGEST_FREEZE_FRAMES, CutPoints
from shared.media.encoding_profile import PARAMETER_SET_ID
from shared.media.ffmpeg import Ffmpeg, FfmpegFailed
from shared.media.h264_stream import NotCopyable, cut_points
from shared.media.probe import MediaDamaged, MediaFacts, MediaUnreadable, probe

log = structlog.get_logger()


@dataclass(frozen=True)
class WantedClip:
    """What a clip is needed for. `size` is in pixels.

    `frames`: how many frames are needed, of the `ordered` ones. `continues`: the clip continues another one, which the
    provider may have put in front: only the last `ordered` frames count. `boundaries`: frames that become IDR pictures
    if the clip is conformed. `parameter_sets`: the digests of the other clips of the video, by number. `is_own`: this
    service encoded the clip.
    """

    size: tuple[int, int]
    frames: int
    ordered: int
    continues: bool = False
    boundaries: tuple[int, ...] = ()
    parameter_sets: Mapping[int, str] = field(default_factory=dict)
    is_own: bool = False


@dataclass(frozen=True)
class AcceptedClip:
    """A file that matches the encoding profile. `cut_points`: None if its picture cannot be copied."""

    path: Path
    facts: MediaFacts
    cut_points: CutPoints | None


async def accept(path: Path, wanted: WantedClip, ffmpeg: Ffmpeg) -> AcceptedClip:
    """Check a downloaded clip and return a file that matches the encoding profile.

    A clip that can be copied into the film stays as it is; if only its sound or its container differs, its picture
    does. Any other clip is conformed. The result has at least `wanted.frames` frames less `LONGEST_FREEZE_FRAMES`, or
    more; joining cuts it.

    Raises:
        ClipUnreadable: the file is no video that we read, or damaged.
        ClipUnusable: the clip is too short, or black or frozen throughout.
        FfmpegFailed, FfmpegTimedOut: this machine failed; a retry may succeed.
    """
    try:
        accepted = await _in_form(path, wanted, ffmpeg)
        content = await content_checks.check_content(accepted.path, ffmpeg)
        if content.frames != accepted.facts.frames:
            detail = f"{content.frames} of {accepted.facts.frames} frames can be decoded"
            raise MediaDamaged("it is incomplete or damaged", detail)
    except MediaUnreadable as error:
        again = isinstance(error, MediaDamaged)
        raise ClipUnreadable(f"The clip cannot be read: {error.reason}.", again=again, detail=error.detail) from error
    except FfmpegFailed as error:
        if error.blames_machine:
            raise
        raise ClipUnreadable("The clip cannot be read: it is incomplete or damaged.", detail=error.stderr) from error
    frames = accepted.facts.frames
    if frames < wanted.frames - LONGEST_FREEZE_FRAMES:
        raise ClipUnusable(f"The clip has {frames} frames; {wanted.frames} were asked for.")
    if content.is_black:
        raise ClipUnusable("The clip is black from beginning to end.")
    if content.is_frozen:
        raise ClipUnusable("The clip stands still from beginning to end.")
    return accepted


async def read_cut_points(path: Path) -> CutPoints:
    """Return where a clip can be cut; see `shared.media.h264_stream.cut_points`."""
    return await asyncio.to_thread(cut_points, path)


async def _in_form(path: Path, wanted: WantedClip, ffmpeg: Ffmpeg) -> AcceptedClip:
    """Return the clip as it is, with its picture as it is, or conformed."""
    facts = await probe(path)
    # In frames of the film; the file may have another frame rate.
    delivered = round(facts.duration * FRAME_RATE)
    skip = delivered - wanted.ordered if wanted.continues and delivered > wanted.ordered + FRAME_RATE else 0
    if not skip and conform.picture_matches_profile(facts, wanted.size):
        try:
            points = await read_cut_points(path)
            _check_group(points, wanted)
        except NotCopyable as reason:
            log.info("clip.not_copyable", reason=str(reason))
        else:
            if conform.matches_profile(facts, wanted.size):
                return AcceptedClip(path, facts, points)
            remuxed = path.with_name("remuxed.mp4")
            await conform.remux(path, remuxed, facts, ffmpeg)
            return AcceptedClip(remuxed, await probe(remuxed), points)
    conformed = path.with_name("conformed.mp4")
    conversion = conform.Conversion(facts, wanted.size, wanted.frames, skip / FRAME_RATE, wanted.boundaries)
    await conform.conform(path, conformed, conversion, ffmpeg)
    return AcceptedClip(conformed, await probe(conformed), await read_cut_points(conformed))


def _check_group(points: CutPoints, wanted: WantedClip) -> None:
    """Check that a clip can be in one film with the clips that this service encodes, and with those that are stored.

    Raises:
        NotCopyable: its parameter sets have the number of others.
    """
    number = points.parameter_set_id
    if number == PARAMETER_SET_ID and not wanted.is_own:
        raise NotCopyable("its parameter sets have the number of our own encodings")
    if wanted.parameter_sets.get(number, points.parameter_sets) != points.parameter_sets:
        raise NotCopyable("its parameter sets differ from those of another clip of the film")
