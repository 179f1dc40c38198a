"""What happens to videos, as this replica hears it: each event once and in order, for all who watch.

Every stored event has a `seq`, gapless per video. Whoever begins to watch with the last `seq` they know gets what they
missed, then what comes. Socket.IO, SSE and tRPC all watch here.

The log of events is the truth; the broker only makes it quick. What the broker did not bring, because it was away or
this replica was, is found in the log a few seconds later.
"""

import asyncio
import contextlib
from collections import OrderedDict, defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from gateway.internal_messages import LiveEvent
from gateway.videos.service import Videos

REMEMBERED_VIDEOS = 10_000
MOST_KEPT = 1_000
"""Events that are kept for one watcher who does not take them; then it is dropped, and may come again."""
HINT_EVERY_SECONDS = 0.5
"""How often watchers are told of a video's progress."""
LOOK_EVERY_SECONDS = 5.0
COMMIT_SECONDS = 10.0
"""How long after its own time an event may still be committed."""

LAST = ("video_completed", "video_cancelled", "video_expired")
"""After these nothing comes by itself. After `video_failed` something may: somebody may resume the video."""

Listener = Callable[[UUID, str, LiveEvent], Awaitable[None]]


class Kept:
    """What has come for one watcher and is not taken yet."""

    def __init__(self) -> None:
        self.events: deque[LiveEvent] = deque()
        self.arrived = asyncio.Event()
        self.too_slow = False

    def add(self, event: LiveEvent) -> None:
        """Keep one more, unless there are too many already."""
        self.too_slow = self.too_slow or len(self.events) >= MOST_KEPT
        if not self.too_slow:
            self.events.append(event)
        self.arrived.set()


@dataclass
class _Told:
    """What the watchers of one video were told: up to which event, how far it is, and which hint waits its turn."""

    seq: int
    progress: float = 0.0
    hint: tuple[str, LiveEvent] | None = None
    pacing: bool = False


class Feed:
    """All events of all videos. `listeners` are told every event and its video's owner."""

    def __init__(self, videos: Videos) -> None:
        self.videos = videos
        self.told: OrderedDict[UUID, _Told] = OrderedDict()
        self.covered: datetime | None = None
        """All that was saved before this moment is told, or is older than this replica."""
        self.turn = asyncio.Lock()
        self.tasks: set[asyncio.Task[None]] = set()
        self.keeping_for: defaultdict[UUID, list[Kept]] = defaultdict(list)
        self.listeners: list[Listener] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Tell all that is saved from now on. `catch_up` is to be called every few seconds until the block ends."""
        self.covered = await self.videos.clock()
        try:
            yield
        finally:
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

    async def tell(self, video_id: UUID, owner: str, event: LiveEvent) -> None:
        """Tell the watchers of this replica an event, and before it those that were passed over.

        Several relays may overtake each other; the log of the video has the order.
        """
        async with self.turn:
            told = await self._told(video_id, first=event.after == 0)
            if event.seq is None:
                await self._hint(video_id, owner, event, told)
            elif event.after == told.seq:
                await self._pass_on(video_id, owner, event, told)
            elif event.seq > told.seq:
                await self._catch_up(video_id, owner, told)

    async def catch_up(self) -> None:
        """Tell what is in the log and was not told: the broker was away, or lost it."""
        if self.covered is None:
            return
        changed, clock = await self.videos.changed_since(self.covered)
        for video in changed:
            async with self.turn:
                told = await self._told(video.video_id)
                if video.seq > told.seq:
                    await self._catch_up(video.video_id, video.owner, told)
        self.covered = max(self.covered, clock - timedelta(seconds=COMMIT_SECONDS))

    async def _told(self, video_id: UUID, *, first: bool = False) -> _Told:
        """What was told of a video. On first sight: what others told before this replica was there."""
        told = self.told.get(video_id)
        if told is None:
            seq = 0
            if self.covered is not None and not first:
                seq = await self.videos.last_seq_before(video_id, self.covered)
            told = self.told[video_id] = _Told(seq)
            while len(self.told) > REMEMBERED_VIDEOS:
                self.told.popitem(last=False)
        self.told.move_to_end(video_id)
        return told

    async def _catch_up(self, video_id: UUID, owner: str, told: _Told) -> None:
        for event in await self.videos.events_after(video_id, told.seq):
            await self._pass_on(video_id, owner, event, told)

    async def _hint(self, video_id: UUID, owner: str, event: LiveEvent, told: _Told) -> None:
        """Pass a hint on, at most so often; of those that come meanwhile the last one waits."""
        further = told.hint[1] if told.hint is not None else None
        if event.after != told.seq or _progress(event) < max(told.progress, _progress(further)):
            return
        if told.pacing:
            told.hint = (owner, event)
        else:
            told.pacing = True
            await self._pass_on(video_id, owner, event, told)
            self._start(self._pace(video_id, told))

    async def _pace(self, video_id: UUID, told: _Told) -> None:
        try:
            while True:
                await asyncio.sleep(HINT_EVERY_SECONDS)
                async with self.turn:
                    if told.hint is None:
                        return
                    (owner, event), told.hint = told.hint, None
                    if event.after == told.seq and _progress(event) >= told.progress:
                        await self._pass_on(video_id, owner, event, told)
        finally:
            told.pacing = False

    async def _pass_on(self, video_id: UUID, owner: str, event: LiveEvent, told: _Told) -> None:
        told.seq = event.seq or told.seq
        told.progress = max(told.progress, _progress(event))
        for kept in self.keeping_for.get(video_id, ()):
            kept.add(event)
        for listener in self.listeners:
            await listener(video_id, owner, event)

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    @contextlib.contextmanager
    def keeping(self, video_id: UUID) -> Iterator[Kept]:
        """Keep what happens to a video from now on, for one watcher."""
        kept = Kept()
        self.keeping_for[video_id].append(kept)
        try:
            yield kept
        finally:
            self.keeping_for[video_id].remove(kept)
            if not self.keeping_for[video_id]:
                del self.keeping_for[video_id]

    async def missed(self, video_id: UUID, last_seq: int | None) -> list[LiveEvent]:
        """What happened after `last_seq`; without it, the last thing that happened."""
        if last_seq is None:
            events = await self.videos.newest_event(video_id)
        else:
            events = await self.videos.events_after(video_id, last_seq)
        progress = await self.videos.progress(video_id)
        async with self.turn:
            # Who looks now sees this much; hints that are still on their way would go back behind it.
            told = await self._told(video_id)
            told.progress = max(told.progress, progress)
        return events

    async def follow(
        self, video_id: UUID, last_seq: int | None, may_go_on: Callable[[], Awaitable[bool]]
    ) -> AsyncIterator[LiveEvent]:
        """What was missed since `last_seq`, then what comes, until the video has ended.

        It ends as well when the watcher is too slow, or may not go on; that is asked every few seconds.
        """
        with self.keeping(video_id) as kept:
            told = last_seq or 0
            for event in await self.missed(video_id, last_seq):
                yield event
                told = event.seq or told
                if event.type in LAST:
                    return
            while not kept.too_slow and await may_go_on():
                kept.arrived.clear()
                while kept.events:
                    event = kept.events.popleft()
                    if is_news(event, told):
                        yield event
                        told = event.seq or told
                        if event.type in LAST:
                            return
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY_SECONDS):
                        await kept.arrived.wait()


def is_news(event: LiveEvent, told: int) -> bool:
    """Whether an event says something new to whoever knows all events up to `told`."""
    return event.seq > told if event.seq is not None else event.after >= told


def _progress(event: LiveEvent | None) -> float:
    progress = event.data.get("progress") if event is not None else None
    return float(progress) if isinstance(progress, int | float) else 0.0
