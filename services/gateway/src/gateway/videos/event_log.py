"""The log of events of each video: written in the transaction of the event, read by every kind of client."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, func, select

from gateway.internal_messages import LiveEvent, VideoUpdated
from gateway.models import Video, VideoEvent
from gateway.videos.event_payloads import LIVE_NAMES, linked, payload_of
from shared.contracts.events import Event
from shared.messaging.event_router import EphemeralPublisher, NullPublisher
from shared.persistence.database import Database, now
from shared.persistence.unit_of_work import UnitOfWork

Announcer = Callable[[UnitOfWork, Video, LiveEvent], Awaitable[None]]


@dataclass(frozen=True)
class Changed:
    """A video that changed, and the `seq` of its last event."""

    video_id: UUID
    owner: str
    seq: int


class EventLog:
    """The events of all videos, in order of `seq`. `public_url` begins the links in them.

    `announcers` get every stored event of a video whose owner is known, in the transaction that saves it.
    """

    def __init__(self, database: Database, public_url: str = "") -> None:
        self.database = database
        self.public_url = public_url
        self.announcers: list[Announcer] = []
        self.ephemeral: EphemeralPublisher = NullPublisher()
        self.publishing: set[asyncio.Task[None]] = set()

    # --- writing

    async def append(self, work: UnitOfWork, row: Video, event: Event) -> None:
        """Log an event with the state of its video, unless it has no name for clients. Hints are only published."""
        name = LIVE_NAMES.get(type(event))
        if name is None:
            return
        if not event.stored:
            live = LiveEvent(seq=None, after=row.last_seq, type=name, data=payload_of(row, event, self.public_url))
            self._publish(work, row, live)
            return
        row.last_seq += 1
        data = payload_of(row, event, self.public_url)
        live = LiveEvent(seq=row.last_seq, after=row.last_seq - 1, type=name, data=data)
        work.session.add(VideoEvent(video_id=row.video_id, seq=row.last_seq, type=name, data=data, created_at=now()))
        await work.session.flush()
        if row.request_hash is not None:
            await self._announce(work, row, live)
        self._publish(work, row, live)

    async def announce_earlier(self, work: UnitOfWork, row: Video) -> None:
        """Announce the events that came before the request, when the owner was not known yet."""
        earlier = select(VideoEvent).where(VideoEvent.video_id == row.video_id).order_by(VideoEvent.seq)
        for logged in (await work.session.execute(earlier)).scalars().all():
            await self._announce(work, row, self.live(logged))

    def _publish(self, work: UnitOfWork, row: Video, live: LiveEvent) -> None:
        """Have the event published to all replicas once it is committed. If that fails, they find it in the log."""
        event = VideoUpdated(video_id=UUID(row.video_id), owner=row.owner, live=live)

        def publish() -> None:
            task = asyncio.create_task(self.ephemeral.publish(event))
            self.publishing.add(task)
            task.add_done_callback(self.publishing.discard)

        work.afterwards.append(publish)

    async def _announce(self, work: UnitOfWork, row: Video, live: LiveEvent) -> None:
        for announce in self.announcers:
            await announce(work, row, live)

    # --- reading

    async def events_after(self, video_id: UUID, seq: int) -> list[LiveEvent]:
        """Return the events of a video after `seq`."""
        later = select(VideoEvent).where(VideoEvent.video_id == str(video_id), VideoEvent.seq > seq)
        async with self.database.reading() as session:
            return [self.live(row) for row in (await session.execute(later.order_by(VideoEvent.seq))).scalars()]

    async def last_seq(self, video_id: UUID) -> int | None:
        """Return the `seq` of a video's last event; None: there is no such video."""
        async with self.database.reading() as session:
            return await session.scalar(select(Video.last_seq).where(Video.video_id == str(video_id)))

    async def progress(self, video_id: UUID) -> float:
        """Return how far a video is, 0-100."""
        async with self.database.reading() as session:
            progress = select(Video.progress).where(Video.video_id == str(video_id))
            return (await session.execute(progress)).scalar_one_or_none() or 0.0

    async def clock(self) -> datetime:
        """Return the database's time."""
        async with self.database.reading() as session:
            return (await session.execute(select(now()))).scalar_one()

    async def changed_since(self, moment: datetime) -> tuple[list[Changed], datetime]:
        """Return the videos with events since `moment`, and the time of this query, by the database's clock."""
        last = func.max(VideoEvent.seq)
        changed = select(VideoEvent.video_id, Video.owner, last).join(Video, Video.video_id == VideoEvent.video_id)
        changed = changed.where(VideoEvent.created_at >= moment).group_by(VideoEvent.video_id, Video.owner)
        async with self.database.reading() as session:
            clock = (await session.execute(select(now()))).scalar_one()
            rows = (await session.execute(changed)).all()
        return [Changed(UUID(video_id), owner, seq) for video_id, owner, seq in rows], clock

    async def last_seq_before(self, video_id: UUID, moment: datetime) -> int:
        """Return the `seq` of a video's last event before `moment`, by the database's clock; 0: there was none."""
        last = select(func.max(VideoEvent.seq))
        last = last.where(VideoEvent.video_id == str(video_id), VideoEvent.created_at < moment)
        async with self.database.reading() as session:
            return (await session.execute(last)).scalar_one() or 0

    def newest(self, video_id: UUID) -> Select[VideoEvent, Video]:
        """Return a query for a video's last event and its row."""
        both = select(VideoEvent, Video).join(Video, Video.video_id == VideoEvent.video_id)
        return both.where(VideoEvent.video_id == str(video_id)).order_by(VideoEvent.seq.desc()).limit(1)

    def live(self, row: VideoEvent) -> LiveEvent:
        """Return a logged event as clients get it."""
        return LiveEvent(seq=row.seq, after=row.seq - 1, type=row.type, data=linked(row.data, self.public_url))
