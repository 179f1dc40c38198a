"""The gateway's application layer: ask for a video, look at it, cancel it, and fold what happens into its row."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, bindparam, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.billing.service import Money
from gateway.eta.estimate import Eta
from gateway.eta.stage_times import StageTimes, is_going
from gateway.http.errors import ApiError
from gateway.http.idempotency import attempt
from gateway.internal_messages import LiveEvent, VideoUpdated
from gateway.models import IdempotencyRecord, Video, VideoEvent, WebhookDelivery
from gateway.videos.batch_loader import BatchLoader
from gateway.videos.event_payloads import LIVE_NAMES, linked, stands, told_of
from gateway.videos.mapping import bury, forget_refusal, save, unknown, view_of
from gateway.videos.projection import fold
from gateway.videos.status import VideoStatus
from shared.contracts.events import (
    Event,
    SceneCharged,
    SceneFailed,
    SceneRendered,
    StoryboardApproved,
    StoryboardCreated,
    StoryCharged,
    VideoCancelled,
    VideoComposed,
    VideoDeleted,
    VideoFailed,
    VideoRequested,
    VideoResumed,
)
from shared.contracts.story import Storyboard
from shared.messaging.errors import RequestConflicts
from shared.messaging.event_router import EphemeralPublisher, NullPublisher
from shared.persistence.database import Database, now
from shared.persistence.unit_of_work import UnitOfWork, transaction

BY_ID = Video.video_id.in_(bindparam("ids", expanding=True))
WHOLE = select(*(column.class_attribute.label(column.key) for column in Video.__mapper__.column_attrs)).where(BY_ID)
VERSION = select(Video.video_id, Video.version, Video.status, Video.owner).where(BY_ID, Video.deleted_at.is_(None))
"""What is looked up with each call is built once."""

SYSTEM = "multishot"
"""Who says what no person has asked for."""


class VideoNotFound(ApiError):
    """There is no such video. Its id may be any text that was taken for one."""

    http_status, problem_type, title = 404, "video-not-found", "Video not found"

    def __init__(self, video_id: UUID | str) -> None:
        super().__init__(f"There is no video {video_id}.")
        self.video_id = video_id


class VideoAlreadyEnded(ApiError):
    """The video has ended and cannot be cancelled any more."""

    http_status, problem_type, title = 409, "video-already-ended", "Video already ended"

    def __init__(self, video_id: UUID, status: str) -> None:
        super().__init__(f"Video {video_id} has already ended: it is {status}.")
        self.video_id = video_id
        self.status = status


class VideoNotEnded(ApiError):
    """The video is still being made, and cannot be deleted before it has ended."""

    http_status, problem_type, title = 409, "video-not-ended", "Video not ended"

    def __init__(self, video_id: UUID, status: str) -> None:
        super().__init__(f"Video {video_id} is {status}; cancel it first.")
        self.video_id = video_id
        self.status = status


Announcer = Callable[[UnitOfWork, Video, LiveEvent], Awaitable[None]]


@dataclass(frozen=True)
class Page:
    """A part of a list, newest first, and how long the whole list is."""

    videos: Sequence[Video]
    total: int


@dataclass(frozen=True)
class Part:
    """A part of a list, newest first, how long the whole list is, and where the next part begins; None: nowhere."""

    videos: Sequence[Video]
    total: int
    next: int | None


@dataclass(frozen=True)
class Changed:
    """A video to which something happened, and the number of the last event."""

    video_id: UUID
    owner: str
    seq: int


class Videos:
    """All videos, and what can be asked of them. `public_url` stands before the links that are told.

    `announcers` are told every stored event of a video whose owner is known, in the transaction that saves it.
    """

    def __init__(self, database: Database, money: Money, stage_times: StageTimes, public_url: str = "") -> None:
        self.database = database
        self.money = money
        self.stage_times = stage_times
        self.public_url = public_url
        self.announcers: list[Announcer] = []
        self.ephemeral: EphemeralPublisher = NullPublisher()
        self.telling: set[asyncio.Task[None]] = set()
        self.rows = BatchLoader(self._rows)
        self.versions = BatchLoader(self._versions)

    # --- what people ask for

    async def request(self, wish: VideoRequested) -> Video:
        """Accept a request: its row and the event are saved together. The same request again changes nothing.

        Raises:
            RequestConflicts: the id was used for another request.
            BudgetExceeded: there is no money for it.
        """
        return await attempt(self.database, lambda work: self.accept(work, wish))

    async def accept(self, work: UnitOfWork, wish: VideoRequested) -> Video:
        """As `request`, in a transaction that does something else besides."""
        if await self.record_request(work, wish, within_caps=True):
            await work.emit(wish)
        row = await _row(work.session, wish.video_id)
        if row is None or row.deleted_at is not None:
            raise RequestConflicts(wish.video_id)
        return await self.as_saved(work, row)

    async def get(self, video_id: UUID | str, *, owner: str | None) -> Video:
        """One video, to be read alone; `owner`: only theirs. Raises `VideoNotFound`."""
        return _seen(await self.rows.load(str(video_id)), video_id, owner)

    async def _rows(self, ids: Collection[str]) -> dict[str, Video]:
        rows = {
            found.video_id: _to_look_at(found)
            for found in await self.database.autocommit_read(WHOLE, {"ids": list(ids)})
        }
        if not self.stage_times.is_fresh:
            async with self.database.reading() as session:
                await self.stage_times.refresh(session)
        for row in rows.values():
            row.eta = self._eta_of(row)
        return rows

    async def expect(self, session: AsyncSession, *rows: Video) -> None:
        """Say in rows that are handed out how long their videos are still going to take."""
        await self.stage_times.refresh(session)
        for row in rows:
            row.eta = self._eta_of(row)

    def _eta_of(self, row: Video) -> Eta | None:
        return self.stage_times.eta_of(row, view_of(row)) if is_going(row) else None

    async def version(self, video_id: UUID, *, owner: str | None) -> tuple[int, str]:
        """The number of a video's latest change, and its status: much cheaper than `get`. Raises `VideoNotFound`."""
        version, status, found = await self.versions.load(str(video_id)) or (0, "", None)
        if found is None or owner not in (None, found):
            raise VideoNotFound(video_id)
        return version, status

    async def _versions(self, ids: Collection[str]) -> dict[str, tuple[int, str, str]]:
        found = await self.database.autocommit_read(VERSION, {"ids": list(ids)})
        return {video_id: (version, status, owner) for video_id, version, status, owner in found}

    async def locked(self, work: UnitOfWork, video_id: UUID, *, owner: str | None) -> Video:
        """One video, which nobody else changes until this transaction ends. Raises `VideoNotFound`."""
        return _seen(await _row(work.session, video_id, lock=True), video_id, owner)

    async def as_saved(self, work: UnitOfWork, row: Video) -> Video:
        """The row as the database is going to have it: with its times, and its amounts to the last decimal."""
        await work.session.flush()
        await work.session.refresh(row)
        await self.expect(work.session, row)
        return row

    async def is_over(self, work: UnitOfWork, video_id: UUID) -> bool:
        """Whether there was such a video and nothing is, or comes, of it: it has died, or was deleted."""
        row = await _row(work.session, video_id, lock=True)
        return row is not None and (VideoStatus.of(row.status).is_without_film or row.deleted_at is not None)

    async def was_requested(self, video_id: UUID) -> bool:
        """Whether a request for this video was accepted; a row alone may only tell of one that was refused."""
        async with self.database.reading() as session:
            row = await _row(session, video_id)
        return row is not None and row.request_hash is not None

    async def page(self, limit: int, offset: int, status: str | None = None, *, owner: str | None) -> Page:
        """Videos, newest first; `owner`: only theirs."""
        which = _visible(status, owner)
        async with self.database.reading() as session:
            newest = select(Video).where(*which).order_by(Video.id.desc()).limit(limit).offset(offset)
            rows = (await session.execute(newest)).scalars().all()
            total = (await session.execute(select(func.count()).select_from(Video).where(*which))).scalar_one()
            await self.expect(session, *rows)
        return Page(rows, total)

    async def page_after(self, limit: int, after: int | None, status: str | None = None, *, owner: str | None) -> Part:
        """Videos, newest first, that are older than the one where the last part ended. None comes twice.

        `owner`: only theirs.
        """
        which = _visible(status, owner)
        older = [*which, Video.id < after] if after is not None else which
        async with self.database.reading() as session:
            newest = select(Video).where(*older).order_by(Video.id.desc()).limit(limit + 1)
            rows = (await session.execute(newest)).scalars().all()
            total = (await session.execute(select(func.count()).select_from(Video).where(*which))).scalar_one()
            await self.expect(session, *rows[:limit])
        return Part(rows[:limit], total, rows[limit - 1].id if len(rows) > limit else None)

    async def cancel(self, video_id: UUID, by: str, reason: str, *, owner: str | None) -> Video:
        """Cancel a video. Cancelling it again changes nothing.

        Raises:
            VideoNotFound: there is none.
            VideoAlreadyEnded: it is completed, or failed.
        """
        await self.cancel_once(video_id, by, reason, owner=owner)
        return await self.get(video_id, owner=owner)

    async def cancel_once(self, video_id: UUID, by: str, reason: str, *, owner: str | None) -> bool:
        """As `cancel`. Returns whether this was news."""
        async with transaction(self.database) as work:
            row = await self.locked(work, video_id, owner=owner)
            if row.status == "cancelled":
                return False
            if VideoStatus.of(row.status).is_terminal:
                raise VideoAlreadyEnded(video_id, row.status)
            event = VideoCancelled(video_id=video_id, by=by, reason=reason)
            await self._apply(work, row, event)
            await work.emit(event)
            return True

    async def delete(self, video_id: UUID, by: str, *, owner: str | None) -> None:
        """Delete a video that has ended: what it shows goes now, what is stored of it soon. Its charges stay.

        Raises:
            VideoNotFound: there is none.
            VideoNotEnded: it has to be cancelled first.
        """
        async with transaction(self.database) as work:
            row = await self.locked(work, video_id, owner=owner)
            if not VideoStatus.of(row.status).is_terminal:
                raise VideoNotEnded(video_id, row.status)
            if row.status == "failed":
                # Otherwise somebody may resume it, and pay for what nobody can see.
                await work.emit(VideoCancelled(video_id=video_id, by=by, reason="Deleted."))
            bury(row)
            await work.session.execute(delete(VideoEvent).where(VideoEvent.video_id == row.video_id))
            posted = (WebhookDelivery.video_id == row.video_id) & (WebhookDelivery.state != "pending")
            await work.session.execute(delete(WebhookDelivery).where(posted))
            await work.session.execute(delete(IdempotencyRecord).where(IdempotencyRecord.video_id == row.video_id))
            await work.emit(VideoDeleted(video_id=video_id, by=by))

    async def events_after(self, video_id: UUID, seq: int) -> list[LiveEvent]:
        """What happened to a video after its event number `seq`."""
        later = select(VideoEvent).where(VideoEvent.video_id == str(video_id), VideoEvent.seq > seq)
        return await self._events(later.order_by(VideoEvent.seq))

    async def last_seq(self, video_id: UUID) -> int | None:
        """The number of the last thing that happened to a video; None: there is no such video."""
        async with self.database.reading() as session:
            return await session.scalar(select(Video.last_seq).where(Video.video_id == str(video_id)))

    async def newest_event(self, video_id: UUID) -> list[LiveEvent]:
        """The last thing that happened to a video, if anything did, and how the video stands now."""
        newest = select(VideoEvent, Video).join(Video, Video.video_id == VideoEvent.video_id)
        newest = newest.where(VideoEvent.video_id == str(video_id)).order_by(VideoEvent.seq.desc()).limit(1)
        async with self.database.reading() as session:
            found = (await session.execute(newest)).one_or_none()
            if found is None:
                return []
            event, row = found
            await self.expect(session, row)
        live = self._live(event)
        return [live.model_copy(update={"data": {**live.data, **stands(row)}})]

    async def progress(self, video_id: UUID) -> float:
        """How far a video is, 0-100."""
        async with self.database.reading() as session:
            progress = select(Video.progress).where(Video.video_id == str(video_id))
            return (await session.execute(progress)).scalar_one_or_none() or 0.0

    async def clock(self) -> datetime:
        """The time by the database's clock."""
        async with self.database.reading() as session:
            return (await session.execute(select(now()))).scalar_one()

    async def changed_since(self, moment: datetime) -> tuple[list[Changed], datetime]:
        """The videos to which something happened since then, and the time of looking, by the database's clock."""
        last = func.max(VideoEvent.seq)
        changed = select(VideoEvent.video_id, Video.owner, last).join(Video, Video.video_id == VideoEvent.video_id)
        changed = changed.where(VideoEvent.created_at >= moment).group_by(VideoEvent.video_id, Video.owner)
        async with self.database.reading() as session:
            clock = (await session.execute(select(now()))).scalar_one()
            rows = (await session.execute(changed)).all()
        return [Changed(UUID(video_id), owner, seq) for video_id, owner, seq in rows], clock

    async def last_seq_before(self, video_id: UUID, moment: datetime) -> int:
        """The number of the last event of a video before that time, by the database's clock; 0: there was none."""
        last = select(func.max(VideoEvent.seq))
        last = last.where(VideoEvent.video_id == str(video_id), VideoEvent.created_at < moment)
        async with self.database.reading() as session:
            return (await session.execute(last)).scalar_one() or 0

    async def _events(self, query: object) -> list[LiveEvent]:
        async with self.database.reading() as session:
            rows = (await session.execute(query)).scalars()  # type: ignore[call-overload]  # a select of VideoEvent
            return [self._live(row) for row in rows]

    def _live(self, row: VideoEvent) -> LiveEvent:
        return LiveEvent(seq=row.seq, after=row.seq - 1, type=row.type, data=linked(row.data, self.public_url))

    # --- what happens

    async def record_request(self, work: UnitOfWork, event: VideoRequested, *, within_caps: bool = False) -> bool:
        """Save what was asked for. Returns whether this was news.

        Raises:
            RequestConflicts: the id was used for another request.
            BudgetExceeded: there is no money for it, and `within_caps` was asked for.
        """
        row = await _row(work.session, event.video_id, lock=True)
        if row is not None and (row.request_hash is not None or row.deleted_at is not None):
            if row.request_hash != _hash(event):
                raise RequestConflicts(event.video_id)
            return False
        if row is None:
            row = unknown(event.video_id)
        elif row.error_stage == "request":
            forget_refusal(row)
        row.request_hash = _hash(event)
        row.prompt = event.prompt
        row.niche = event.niche
        row.scene_count = len(event.storyboard.scenes) if event.storyboard else event.scene_count
        row.duration = event.storyboard.total_duration if event.storyboard else event.duration
        row.providers = list(event.providers)
        row.aspect_ratio = event.aspect_ratio
        row.post_id = event.post_id
        row.owner = event.owner
        row.meta = {**event.metadata, **(row.meta or {})}
        await self.money.promise(work, row, event, within_caps=within_caps)
        work.session.add(row)  # not before: most refusals write nothing
        if row.last_seq:
            # What came before the request could not be announced to anybody: its owner was not known.
            earlier = select(VideoEvent).where(VideoEvent.video_id == row.video_id).order_by(VideoEvent.seq)
            for logged in (await work.session.execute(earlier)).scalars().all():
                await self._announce(work, row, self._live(logged))
        await self.stage_times.begin(work, row, view_of(row), given=event.storyboard is not None)
        await self._tell(work, row, event)
        return True

    async def record(self, work: UnitOfWork, event: Event) -> None:
        """Fold an event into its video's row, and tell those who watch."""
        if isinstance(event, StoryCharged) and event.alone:
            await self.money.record_alone(work, event)
            return
        row = await _row(work.session, event.video_id, lock=True)
        if isinstance(event, VideoFailed) and event.stage == "request":
            if row is None and event.kind != RequestConflicts.KIND:
                row = unknown(event.video_id)
                row.owner, row.post_id = event.owner or row.owner, event.post_id
                work.session.add(row)
                await self._apply(work, row, event)
            return  # whatever is here already is not about that request
        if row is None:
            # Who resumes what we do not know means no video: a dead letter may be about a storyboard alone.
            if not event.stored or isinstance(event, VideoResumed):
                return
            # Its request is still on the way.
            row = unknown(event.video_id)
            work.session.add(row)
        if isinstance(event, SceneCharged | StoryCharged):
            await self.money.record(work, row, event)
        if row.deleted_at is not None:
            await self._record_of_deleted(work, row, event)
            return
        await self._apply(work, row, event)

    async def _record_of_deleted(self, work: UnitOfWork, row: Video, event: Event) -> None:
        """News of a deleted video: its money still counts, and what was stored meanwhile is to go as well."""
        await self.money.correct(work, row)
        if isinstance(event, StoryboardCreated | SceneRendered | SceneFailed | VideoComposed | VideoFailed):
            await work.emit(VideoDeleted(video_id=event.video_id, by=SYSTEM))

    async def _apply(self, work: UnitOfWork, row: Video, event: Event) -> None:
        before = view_of(row)
        after = fold(before, event)
        if after != before:
            save(row, after, self.public_url)
            if isinstance(event, StoryboardCreated) and before.revision <= event.revision:
                row.storyboard = event.model_dump(mode="json")
                row.niche = event.niche
                row.duration = round(event.total_duration)
                row.estimated_cost_usd = await self.money.estimate_written(work.session, row, event.scenes)
            if before.current_step == "review" and after.current_step == "scenes":
                row.approved_at = now()
                if isinstance(event, StoryboardApproved) and event.storyboard is not None and row.storyboard:
                    await self._show_edited(work, row, event.storyboard)
            await self.stage_times.note(work, row, before, after, event)
            await self._tell(work, row, event)
        await self.money.correct(work, row)

    async def _show_edited(self, work: UnitOfWork, row: Video, edited: Storyboard) -> None:
        """Show what was approved, until the storyboard made of it is told."""
        shots = [scene.shot for scene in edited.scenes]
        row.storyboard = {**(row.storyboard or {}), **edited.model_dump(mode="json", by_alias=True), "shots": shots}
        row.niche = edited.niche
        row.duration = edited.total_duration
        row.estimated_cost_usd = await self.money.estimate_written(work.session, row, edited.scenes)

    async def _tell(self, work: UnitOfWork, row: Video, event: Event) -> None:
        name = LIVE_NAMES.get(type(event))
        if name is None:
            return
        row.eta = self._eta_of(row)
        if not event.stored:
            live = LiveEvent(seq=None, after=row.last_seq, type=name, data=told_of(row, event, self.public_url))
            self._tell_replicas(work, row, live)
            return
        row.last_seq += 1
        live = LiveEvent(seq=row.last_seq, after=row.last_seq - 1, type=name, data=told_of(row, event, self.public_url))
        work.session.add(
            VideoEvent(video_id=row.video_id, seq=row.last_seq, type=name, data=live.data, created_at=now())
        )
        await work.session.flush()
        if row.request_hash is not None:
            await self._announce(work, row, live)
        self._tell_replicas(work, row, live)

    def _tell_replicas(self, work: UnitOfWork, row: Video, live: LiveEvent) -> None:
        event = VideoUpdated(video_id=UUID(row.video_id), owner=row.owner, live=live)

        def tell() -> None:
            task = asyncio.create_task(self.ephemeral.publish(event))
            self.telling.add(task)
            task.add_done_callback(self.telling.discard)

        work.afterwards.append(tell)

    async def _announce(self, work: UnitOfWork, row: Video, live: LiveEvent) -> None:
        for announce in self.announcers:
            await announce(work, row, live)


async def _row(session: AsyncSession, video_id: UUID, *, lock: bool = False) -> Video | None:
    query = select(Video).where(Video.video_id == str(video_id))
    if lock:
        query = query.with_for_update()
    return (await session.execute(query)).scalar_one_or_none()


def _to_look_at(found: Row[*tuple[Any, ...]]) -> Video:
    """A row that belongs to no session. It is only read, so nobody keeps track of what would change in it."""
    row = Video()
    vars(row).update(found._asdict())
    return row


def _visible(status: str | None, owner: str | None) -> list[ColumnElement[bool]]:
    which: list[ColumnElement[bool]] = [Video.deleted_at.is_(None)]
    which += [Video.status == status] if status else []
    which += [Video.owner == owner] if owner is not None else []
    return which


def _seen(row: Video | None, video_id: UUID | str, owner: str | None) -> Video:
    """The row, for whom it is: what belongs to another owner is not there."""
    if row is None or row.deleted_at is not None or owner not in (None, row.owner):
        raise VideoNotFound(video_id)
    return row


def _hash(event: VideoRequested) -> str:
    return hashlib.sha256(json.dumps(event.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()
