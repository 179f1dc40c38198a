"""Reading videos."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.eta.service import Etas
from gateway.internal_messages import LiveEvent
from gateway.models import Video
from gateway.remaining_time import Eta
from gateway.videos.batch_loader import BatchLoader
from gateway.videos.errors import VideoNotFound
from gateway.videos.eta_mapping import is_in_progress, progress_of
from gateway.videos.event_log import EventLog
from gateway.videos.event_payloads import video_state
from gateway.videos.mapping import projection_of
from shared.persistence.database import Database
from shared.persistence.unit_of_work import UnitOfWork

# Built once: these run with every request.
BY_ID = Video.video_id.in_(bindparam("ids", expanding=True))
WHOLE = select(*(column.class_attribute.label(column.key) for column in Video.__mapper__.column_attrs)).where(BY_ID)
VERSION = select(Video.video_id, Video.version, Video.status, Video.owner).where(BY_ID, Video.deleted_at.is_(None))


@dataclass(frozen=True)
class OffsetPage:
    """Some videos, newest first, and how many there are in all."""

    videos: Sequence[Video]
    total: int


@dataclass(frozen=True)
class CursorPage:
    """Some videos, newest first, how many there are in all, and where the next page begins; None: there is none."""

    videos: Sequence[Video]
    total: int
    next: int | None


class VideoQueries:
    """Reads videos, with their ETAs. An `owner` restricts a query to that owner's videos; None does not."""

    def __init__(self, database: Database, etas: Etas, event_log: EventLog) -> None:
        self.database = database
        self.etas = etas
        self.event_log = event_log
        self.rows = BatchLoader(self._rows)
        self.versions = BatchLoader(self._versions)

    async def get(self, video_id: UUID | str, *, owner: str | None) -> Video:
        """Return one video, detached. Raises `VideoNotFound`."""
        return visible(await self.rows.load(str(video_id)), video_id, owner)

    async def _rows(self, ids: Collection[str]) -> dict[str, Video]:
        found = await self.database.autocommit_read(WHOLE, {"ids": list(ids)})
        rows = {one.video_id: _detached(one) for one in found}
        if not self.etas.times.is_fresh:
            async with self.database.reading() as session:
                await self.etas.times.refresh(session)
        for row in rows.values():
            row.eta = self.eta_of(row)
        return rows

    async def set_etas(self, session: AsyncSession, *rows: Video) -> None:
        """Set the ETA of rows that are about to be shown."""
        await self.etas.times.refresh(session)
        for row in rows:
            row.eta = self.eta_of(row)

    def eta_of(self, row: Video) -> Eta | None:
        """Return how long a video still takes."""
        return self.etas.eta_of(progress_of(row, projection_of(row))) if is_in_progress(row) else None

    async def version(self, video_id: UUID, *, owner: str | None) -> tuple[int, str]:
        """Return a video's version and status, much cheaper than `get`. Raises `VideoNotFound`."""
        version, status, owner_of = await self.versions.load(str(video_id)) or (0, "", None)
        if owner_of is None or owner not in (None, owner_of):
            raise VideoNotFound(video_id)
        return version, status

    async def _versions(self, ids: Collection[str]) -> dict[str, tuple[int, str, str]]:
        found = await self.database.autocommit_read(VERSION, {"ids": list(ids)})
        return {video_id: (version, status, owner) for video_id, version, status, owner in found}

    async def locked(self, work: UnitOfWork, video_id: UUID, *, owner: str | None) -> Video:
        """Return one video, locked until the transaction ends. Raises `VideoNotFound`."""
        return visible(await find(work.session, video_id, lock=True), video_id, owner)

    async def as_saved(self, work: UnitOfWork, row: Video) -> Video:
        """Flush a row and return it as the database stores it, with its timestamps and rounded amounts."""
        await work.session.flush()
        await work.session.refresh(row)
        await self.set_etas(work.session, row)
        return row

    async def was_requested(self, video_id: UUID) -> bool:
        """Return whether a request for this video was accepted; a row alone may stand for a refused request."""
        async with self.database.reading() as session:
            row = await find(session, video_id)
        return row is not None and row.request_hash is not None

    async def page(self, limit: int, offset: int, status: str | None = None, *, owner: str | None) -> OffsetPage:
        """Return videos, newest first."""
        which = _which(status, owner)
        async with self.database.reading() as session:
            newest = select(Video).where(*which).order_by(Video.id.desc()).limit(limit).offset(offset)
            rows = (await session.execute(newest)).scalars().all()
            total = (await session.execute(select(func.count()).select_from(Video).where(*which))).scalar_one()
            await self.set_etas(session, *rows)
        return OffsetPage(rows, total)

    async def page_after(
        self, limit: int, after: int | None, status: str | None = None, *, owner: str | None
    ) -> CursorPage:
        """Return videos, newest first, that are older than the last one of the page before. None appears twice."""
        which = _which(status, owner)
        older = [*which, Video.id < after] if after is not None else which
        async with self.database.reading() as session:
            newest = select(Video).where(*older).order_by(Video.id.desc()).limit(limit + 1)
            rows = (await session.execute(newest)).scalars().all()
            total = (await session.execute(select(func.count()).select_from(Video).where(*which))).scalar_one()
            await self.set_etas(session, *rows[:limit])
        return CursorPage(rows[:limit], total, rows[limit - 1].id if len(rows) > limit else None)

    async def newest_event(self, video_id: UUID) -> list[LiveEvent]:
        """Return the last event of a video, if there is one, with the video's present state."""
        async with self.database.reading() as session:
            found = (await session.execute(self.event_log.newest(video_id))).one_or_none()
            if found is None:
                return []
            event, row = found
            await self.set_etas(session, row)
        live = self.event_log.live(event)
        return [live.model_copy(update={"data": {**live.data, **video_state(row)}})]


async def find(session: AsyncSession, video_id: UUID, *, lock: bool = False) -> Video | None:
    """Return a video's row, also of a deleted one."""
    query = select(Video).where(Video.video_id == str(video_id))
    if lock:
        query = query.with_for_update()
    return (await session.execute(query)).scalar_one_or_none()


def visible(row: Video | None, video_id: UUID | str, owner: str | None) -> Video:
    """Return a row if `owner` may see it; other owners' videos do not exist for them. Raises `VideoNotFound`."""
    if row is None or row.deleted_at is not None or owner not in (None, row.owner):
        raise VideoNotFound(video_id)
    return row


def _detached(found: Row[*tuple[Any, ...]]) -> Video:
    """Return a row without a session; it is only read, so changes need not be tracked."""
    row = Video()
    vars(row).update(found._asdict())
    return row


def _which(status: str | None, owner: str | None) -> list[ColumnElement[bool]]:
    which: list[ColumnElement[bool]] = [Video.deleted_at.is_(None)]
    which += [Video.status == status] if status else []
    which += [Video.owner == owner] if owner is not None else []
    return which
