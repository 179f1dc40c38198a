"""Makes the pictures of a finished film: the slow steps, then one transaction."""

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import structlog

from composer.models import Film
from composer.previews.pictures import make_animation, make_contact_sheet, make_scrub_sheet
from composer.workflow.film_state import locked_film
from shared.contracts.events import StoryboardCreated, VideoComposed, VideoPreviewed
from shared.contracts.media import preview_key, previews_prefix
from shared.contracts.timeline import timeline, total_frames
from shared.media.ffmpeg import Ffmpeg
from shared.messaging.event_router import Delivery
from shared.persistence.database import Database
from shared.persistence.unit_of_work import idempotent_transaction
from shared.storage.base import Storage
from shared.storage.work_folder import work_folder

log = structlog.get_logger()


@dataclass(frozen=True)
class Previews:
    """Makes and removes the pictures of films."""

    database: Database
    storage: Storage
    ffmpeg: Ffmpeg
    work_folder: Path | None

    async def make(self, video_id: UUID, delivery: Delivery) -> None:
        """Make and store the pictures of a film.

        Raises:
            FfmpegFailed, FfmpegTimedOut: ffmpeg cannot make them.
        """
        async with self.database.reading() as session:
            film = await session.get(Film, str(video_id))
        if film is None or film.film is None or film.storyboard is None:
            return
        slots = timeline(StoryboardCreated.model_validate(film.storyboard).scenes)
        frames = total_frames(slots)
        with work_folder(self.work_folder, "previews") as folder:
            source = folder / "film.mp4"
            await self.storage.get(VideoComposed.model_validate(film.film).film, source)
            sheet, animation, scrub = folder / "sheet.jpg", folder / "animation.webp", folder / "scrub.jpg"
            await make_contact_sheet(source, frames, sheet, self.ffmpeg)
            await make_animation(source, slots, animation, self.ffmpeg)
            layout = await make_scrub_sheet(source, frames, scrub, self.ffmpeg)
            previewed = VideoPreviewed(
                video_id=video_id,
                contact_sheet=await self.storage.put(preview_key(video_id, "contact-sheet.jpg"), sheet, "image/jpeg"),
                animation=await self.storage.put(preview_key(video_id, "animation.webp"), animation, "image/webp"),
                scrub_sheet=await self.storage.put(preview_key(video_id, "scrub-sheet.jpg"), scrub, "image/jpeg"),
                scrub_layout=layout,
            )
        async with idempotent_transaction(self.database, delivery) as work:
            film = await locked_film(work, video_id)
            is_there = film.film is not None
            if is_there:
                await work.emit(previewed)
        if not is_there:
            await self.remove(video_id)
            return
        log.info("video.previewed", bytes=previewed.animation.size)

    async def remove(self, video_id: UUID) -> None:
        """Remove the pictures of a film."""
        await self.storage.delete(previews_prefix(video_id))
