"""Makes the film: one ffmpeg over all clips, and a look at what it made."""

from collections.abc import Sequence
from pathlib import Path

from composer.check import check_film
from composer.clips import ClipFile, check_clips
from composer.graph import film_arguments
from shared.contracts.media import FRAME_RATE
from shared.contracts.timeline import Slot, total_frames
from shared.ffmpeg import Ffmpeg
from shared.probe import MediaFacts

__all__ = ["ClipFile", "compose"]


async def compose(
    slots: Sequence[Slot], clips: Sequence[ClipFile], target: Path, size: tuple[int, int], ffmpeg: Ffmpeg
) -> MediaFacts:
    """Join clips, one for each slot, into a film at `target`. What is not a right film never gets that name.

    Raises:
        ClipTooShort: a clip lacks more than a frozen last frame can hide.
        ClipUnusable: a clip is not what was announced.
        FilmWrong: what ffmpeg made is not the planned film.
        FfmpegFailed: ffmpeg could not make it.
        FfmpegTimedOut: making or checking it took too long.
    """
    await check_clips(slots, clips, size)
    frames = total_frames(slots)
    time_limit = 10 + 10 * frames / FRAME_RATE
    unchecked = target.with_name(f"{target.name}.part")
    try:
        await ffmpeg.run(film_arguments(slots, clips, unchecked), time_limit=time_limit)
        facts = await check_film(unchecked, frames, size, ffmpeg, time_limit=time_limit)
        unchecked.replace(target)
    finally:
        unchecked.unlink(missing_ok=True)
    return facts
