"""The events of videos as this replica sees them: each event once and in order, for every subscriber.

Every stored event has a `seq`, gapless per video. A subscriber that names the last `seq` it knows gets what it missed,
then what follows. Socket.IO, SSE and tRPC all subscribe here.

The event log in the database is the source of truth; the broker only makes delivery fast. Events that the broker did
not deliver are found in the log a few seconds later.
"""

import asyncio
import contextlib
from collections import OrderedDict, defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from gateway.internal_messages import LiveEvent
from gateway.videos.event_payloads import FINAL_EVENTS
from gateway.videos.queries import VideoQueries

REMEMBERED_VIDEOS = 10_000
MAX_BUFFERED = 1_000
"""Events buffered for one slow subscriber. Beyond that its subscription ends; it may reconnect and catch up."""
HINT_EVERY_SECONDS = 0.5
"""How often subscribers get a progress hint of one video."""
LOOK_EVERY_SECONDS = 5.0
COMMIT_SECONDS = 10.0
"""How long after its own timestamp an event may still be committed."""

Listener = Callable[[UUID, str, LiveEvent], Awaitable[None]]


class SubscriberBuffer:
    """Events that one subscriber has not read yet."""

    def __init__(self) -> None:
        self.events: deque[LiveEvent] = deque()
        self.arrived = asyncio.Event()
        self.too_slow = False

    def add(self, event: LiveEvent) -> None:
        """Buffer an event, or mark the subscriber as too slow when the buffer is full."""
        self.too_slow = self.too_slow or len(self.events) >= MAX_BUFFERED
        if not self.too_slow:
            self.events.append(event)
        self.arrived.set()


@dataclass
class _Position:
    """How far a video's events are published: the last `seq`, the progress, and the hint that waits to be sent."""

    seq: int
    progress: float = 0.0
    hint: tuple[str, LiveEvent] | None = None
    pacing: bool = False


class EventStream:
    """All events of all videos. Every event and its video's owner go to each of `listeners`."""

    def __init__(self, queries: VideoQueries) -> None:
        self.queries = queries
        self.log = queries.event_log
        self.positions: OrderedDict[UUID, _Position] = OrderedDict()
        self.covered: datetime | None = None
        """Everything saved before this moment is published, or older than this replica."""
        self.lock = asyncio.Lock()
        self.tasks: set[asyncio.Task[None]] = set()
        self.subscribers: defaultdict[UUID, list[SubscriberBuffer]] = defaultdict(list)
        self.listeners: list[Listener] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Publish what is saved from now on. Call `catch_up` every few seconds until the block ends."""
        self.covered = await self.log.clock()
        try:
            yield
        finally:
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

    async def publish(self, video_id: UUID, owner: str, event: LiveEvent) -> None:
        """Publish an event to this replica's subscribers, after any events before it that were skipped.

        Relays may overtake each other, so the order comes from the video's event log.
        """
        async with self.lock:
            position = await self._position(video_id, first=event.after == 0)
            if event.seq is None:
                await self._hint(video_id, owner, event, position)
            elif event.after == position.seq:
                await self._pass_on(video_id, owner, event, position)
            elif event.seq > position.seq:
                await self._catch_up(video_id, owner, position)

    async def catch_up(self) -> None:
        """Publish logged events that the broker did not deliver."""
        if self.covered is None:
            return
        changed, clock = await self.log.changed_since(self.covered)
        for video in changed:
            async with self.lock:
                position = await self._position(video.video_id)
                if video.seq > position.seq:
                    await self._catch_up(video.video_id, video.owner, position)
        self.covered = max(self.covered, clock - timedelta(seconds=COMMIT_SECONDS))

    async def _position(self, video_id: UUID, *, first: bool = False) -> _Position:
        """Return how far a video is published. On first sight: what other replicas published before this one began."""
        position = self.positions.get(video_id)
        if position is None:
            seq = 0
            if self.covered is not None and not first:
                seq = await self.log.last_seq_before(video_id, self.covered)
            position = self.positions[video_id] = _Position(seq)
            while len(self.positions) > REMEMBERED_VIDEOS:
                self.positions.popitem(last=False)
        self.positions.move_to_end(video_id)
        return position

    async def _catch_up(self, video_id: UUID, owner: str, position: _Position) -> None:
        for event in await self.log.events_after(video_id, position.seq):
            await self._pass_on(video_id, owner, event, position)

    async def _hint(self, video_id: UUID, owner: str, event: LiveEvent, position: _Position) -> None:
        """Pass on a hint, at a limited rate; of those that arrive in between, only the last one is sent."""
        waiting = position.hint[1] if position.hint is not None else None
        if event.after != position.seq or _progress(event) < max(position.progress, _progress(waiting)):
            return
        if position.pacing:
            position.hint = (owner, event)
        else:
            position.pacing = True
            await self._pass_on(video_id, owner, event, position)
            self._start(self._pace(video_id, position))

    async def _pace(self, video_id: UUID, position: _Position) -> None:
        try:
            while True:
                await asyncio.sleep(HINT_EVERY_SECONDS)
                async with self.lock:
                    if position.hint is None:
                        return
                    (owner, event), position.hint = position.hint, None
                    if event.after == position.seq and _progress(event) >= position.progress:
                        await self._pass_on(video_id, owner, event, position)
        finally:
            position.pacing = False

    async def _pass_on(self, video_id: UUID, owner: str, event: LiveEvent, position: _Position) -> None:
        position.seq = event.seq or position.seq
        position.progress = max(position.progress, _progress(event))
        for buffer in self.subscribers.get(video_id, ()):
            buffer.add(event)
        for listener in self.listeners:
            await listener(video_id, owner, event)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    @contextlib.contextmanager
    def subscribe(self, video_id: UUID) -> Iterator[SubscriberBuffer]:
        """Buffer a video's events for one subscriber until the block ends."""
        buffer = SubscriberBuffer()
        self.subscribers[video_id].append(buffer)
        try:
            yield buffer
        finally:
            self.subscribers[video_id].remove(buffer)
            if not self.subscribers[video_id]:
                del self.subscribers[video_id]

    async def missed(self, video_id: UUID, last_seq: int | None) -> list[LiveEvent]:
        """Return the events after `last_seq`, or the newest one if it is None."""
        if last_seq is None:
            events = await self.queries.newest_event(video_id)
        else:
            events = await self.log.events_after(video_id, last_seq)
        progress = await self.log.progress(video_id)
        async with self.lock:
            # The caller is about to see this progress; a hint still on its way would go back behind it.
            position = await self._position(video_id)
            position.progress = max(position.progress, progress)
        return events

    async def follow(
        self, video_id: UUID, last_seq: int | None, may_continue: Callable[[], Awaitable[bool]]
    ) -> AsyncIterator[LiveEvent]:
        """Yield the events after `last_seq`, then new ones until the video has ended.

        Ends early when the subscriber is too slow, or when `may_continue`, asked every few seconds, says no.
        """
        with self.subscribe(video_id) as buffer:
            seen = last_seq or 0
            for event in await self.missed(video_id, last_seq):
                yield event
                seen = event.seq or seen
                if event.type in FINAL_EVENTS:
                    return
            while not buffer.too_slow and await may_continue():
                buffer.arrived.clear()
                while buffer.events:
                    event = buffer.events.popleft()
                    if is_news(event, seen):
                        yield event
                        seen = event.seq or seen
                        if event.type in FINAL_EVENTS:
                            return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY_SECONDS):
                        await buffer.arrived.wait()


def is_news(event: LiveEvent, seen: int) -> bool:
    """Return whether an event is new to a subscriber that has every event up to `seen`."""
    return event.seq > seen if event.seq is not None else event.after >= seen


def _progress(event: LiveEvent | None) -> float:
    progress = event.data.get("progress") if event is not None else None
    return float(progress) if isinstance(progress, int | float) else 0.0
