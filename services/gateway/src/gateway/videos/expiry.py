"""Expiry: each film is removed some days after it was made, unless it is kept. Its story stays."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from gateway.http.errors import ApiError
from gateway.internal_messages import LiveEvent
from gateway.models import Video
from gateway.videos.projector import VideoProjector
from gateway.videos.queries import VideoQueries
from shared.contracts.events import VideoExpired
from shared.persistence.database import Database, now
from shared.persistence.unit_of_work import UnitOfWork, transaction
from shared.process.retention import DAY_SECONDS, Policy

BATCH = 100
SWEEP_SECONDS = 600.0


class FilmExpired(ApiError):
    """The film has expired and was removed."""

    http_status, problem_type, title = 410, "film-expired", "Film expired"

    def __init__(self, video_id: UUID | str, expired_at: datetime | None) -> None:
        when = f" on {expired_at:%Y-%m-%d}" if expired_at else ""
        super().__init__(
            f"The film of video {video_id} expired{when} and was removed, with its clips and its thumbnail. "
            "Its story is still there: request a new video to film it again."
        )
        self.video_id = video_id
        self.expired_at = expired_at


class Expiry:
    """Sets and applies expiry dates. A date that is set stays, even if `days` changes later."""

    def __init__(self, queries: VideoQueries, projector: VideoProjector, days: int) -> None:
        self.queries = queries
        self.projector = projector
        self.days = days

    @property
    def policy(self) -> Policy:
        """Return the sweep that expires films."""
        return Policy("films", 0, self.expire, BATCH, SWEEP_SECONDS)

    async def announce(self, _work: UnitOfWork, row: Video, live: LiveEvent) -> None:
        """Set the expiry date of a new film."""
        if live.type == "video_completed" and not row.kept:
            row.expires_at = now(self.days * DAY_SECONDS)

    async def keep(self, work: UnitOfWork, video_id: UUID, *, keep: bool, owner: str | None) -> Video:
        """Keep a video, or let it expire again, counting the days from now.

        Raises:
            VideoNotFound: there is no such video.
            FilmExpired: its film is gone already.
        """
        row = await self.queries.locked(work, video_id, owner=owner)
        if row.status == "expired":
            raise FilmExpired(video_id, row.expires_at)
        if row.kept != keep:
            row.kept = keep
            row.expires_at = now(self.days * DAY_SECONDS) if row.status == "completed" and not keep else None
        return await self.queries.as_saved(work, row)

    async def date(self, database: Database, video_ids: Sequence[str]) -> int:
        """Set the date of completed films that have none and are not kept. Returns how many there were."""
        dated = 0
        for video_id in video_ids:
            undated = (Video.video_id == video_id, Video.status == "completed", Video.expires_at.is_(None))
            async with transaction(database) as work:
                row = await work.session.scalar(select(Video).where(*undated).with_for_update())
                if row is not None and not row.kept:
                    row.expires_at = now(self.days * DAY_SECONDS)
                    dated += 1
        return dated

    async def expire(self, database: Database, _seconds: float, batch: int) -> int:
        """Expire films that are due, each in its own transaction. Returns how many were due."""
        is_due = (Video.status == "completed", Video.expires_at < now(), Video.deleted_at.is_(None))
        due = select(Video.video_id).where(*is_due).order_by(Video.expires_at).limit(batch)
        async with database.reading() as session:
            video_ids = (await session.scalars(due)).all()
        for video_id in video_ids:
            async with transaction(database) as work:
                # It may have been kept meanwhile, or another replica was faster.
                still_due = select(Video.id).where(Video.video_id == video_id, *is_due).with_for_update()
                if await work.session.scalar(still_due) is not None:
                    event = VideoExpired(video_id=UUID(video_id))
                    await self.projector.record(work, event)
                    await work.emit(event)
        return len(video_ids)
