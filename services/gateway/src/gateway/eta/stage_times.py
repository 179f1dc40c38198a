"""How long stages took before, and how long the providers' queues are: what ETAs are computed from.

Both are read seldom and cached: the queues for a second, the times until one is added here or for some seconds.
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.eta import estimate as eta
from gateway.eta.estimate import Queue, Span, Took
from gateway.eta.video_progress import QueuePlace
from gateway.models import StageTime, Video
from shared.persistence.database import now
from shared.persistence.unit_of_work import UnitOfWork

QUEUES_KEPT_SECONDS = 1.0
TIMES_KEPT_SECONDS = 15.0
MAX_TIMES = 60
"""How many times are read of one stage and provider, the newest first."""

Key = tuple[str, str]
"""A stage and its provider."""
WRITTEN, GIVEN = "", "given"
"""How a storyboard is made, in place of a provider."""
COMBINING: Key = ("combining", "")


class StageTimes:
    """A cache of stage times and queues."""

    def __init__(self, providers: Sequence[str], active_statuses: Sequence[str]) -> None:
        self.providers = providers
        self.active_statuses = active_statuses
        self.took: dict[Key, Sequence[Took]] = {}
        self.took_at: dict[Key, float] = {}
        self.spans: dict[Key, dict[tuple[str, float], Span | None]] = {}
        self.slots: dict[str, int] = {}
        self.queues_at = 0.0
        self.waiting: dict[str, dict[str, dict[int, int]]] = {}
        """By provider and owner: how many videos have so many scenes waiting, as `{scenes: videos}`."""
        self.running: dict[str, int] = {}
        self.clock_offset = 0.0

    def clock(self) -> float:
        """Return the database's time in seconds since 1970, as of the last refresh: the replicas' clocks may differ."""
        return time.time() + self.clock_offset

    @property
    def is_fresh(self) -> bool:
        """Whether `refresh` has nothing to read."""
        return time.monotonic() < self.queues_at + QUEUES_KEPT_SECONDS

    async def refresh(self, session: AsyncSession) -> None:
        """Read what is not cached, or was cached for too long."""
        if self.is_fresh:
            return
        self.queues_at = time.monotonic()
        clock = (await session.execute(select(now()))).scalar_one()
        self.clock_offset = clock.replace(tzinfo=UTC).timestamp() - time.time()
        await self._read_queues(session)
        providers = {*self.providers, *self.waiting, *self.running}
        for key in (("storyboard", WRITTEN), ("storyboard", GIVEN), *(("scene", p) for p in providers), COMBINING):
            if time.monotonic() > self.took_at.get(key, -TIMES_KEPT_SECONDS) + TIMES_KEPT_SECONDS:
                await self._read_times(session, key)

    async def _read_queues(self, session: AsyncSession) -> None:
        """Read sums only, however many videos there are."""
        busy = Video.status.in_(self.active_statuses) & (Video.waiting_scenes + Video.rendering_scenes > 0)
        groups = (Video.renderer, Video.owner, Video.waiting_scenes)
        sums = select(*groups, func.count(), func.sum(Video.rendering_scenes)).where(busy).group_by(*groups)
        waiting: defaultdict[str, dict[str, dict[int, int]]] = defaultdict(dict)
        running: defaultdict[str, int] = defaultdict(int)
        for provider, owner, scenes, videos, rendering in (await session.execute(sums)).all():
            running[provider] += int(rendering)
            if scenes:
                waiting[provider].setdefault(owner, {})[scenes] = videos
        self.waiting, self.running = dict(waiting), dict(running)

    async def _read_times(self, session: AsyncSession, key: Key) -> None:
        stage, provider = key
        newest = select(StageTime).where(StageTime.stage == stage, StageTime.provider == provider)
        rows = (await session.execute(newest.order_by(StageTime.id.desc()).limit(MAX_TIMES))).scalars()
        self.took[key] = [Took(row.model, row.length, row.seconds, row.busy, row.waiting) for row in rows]
        self.took_at[key] = time.monotonic()
        self.spans[key] = {}
        if stage == "scene":
            self.slots[provider] = eta.slots(self.took[key], eta.SLOTS_GUESS.get(provider, 2))

    def usual(self, key: Key, model: str, length: float) -> Span | None:
        """Return how long a stage usually takes; None: it never ran. Computed once per refresh."""
        spans = self.spans.setdefault(key, {})
        if (model, length) not in spans:
            spans[model, length] = eta.usual(self.took.get(key, ()), model, length)
        return spans[model, length]

    def keep(self, work: UnitOfWork, key: Key, model: str, length: float, seconds: float) -> None:
        """Save how long a stage took."""
        stage, provider = key
        row = StageTime(stage=stage, provider=provider, model=model, length=length, seconds=max(seconds, 0.0), at=now())
        if stage == "scene":
            row.busy = max(self.running.get(provider, 0), 1)
            row.waiting = _total(self.waiting.get(provider, {}))
        work.session.add(row)
        self.took_at.pop(key, None)

    def move(self, owner: str, before: QueuePlace, after: QueuePlace) -> None:
        """Update the cached queues when a video's place changes, until they are read again."""
        self._count(owner, before, -1)
        self._count(owner, after, 1)

    def _count(self, owner: str, place: QueuePlace, videos: int) -> None:
        if not place.provider:
            return
        running = self.running.get(place.provider, 0) + videos * place.rendering
        self.running[place.provider] = max(running, 0)
        if place.waiting:
            of_owner = self.waiting.setdefault(place.provider, {}).setdefault(owner, {})
            of_owner[place.waiting] = max(of_owner.get(place.waiting, 0) + videos, 0)

    def queue(self, provider: str, takes: Span, owner: str, place: QueuePlace) -> Queue:
        """Return a provider's queue without the video at `place`. `takes`: how long a scene of the others takes."""
        waiting = {name: dict(videos) for name, videos in self.waiting.get(provider, {}).items()}
        own = waiting.get(owner, {})
        if own.get(place.waiting):
            own[place.waiting] -= 1
        return Queue(
            slots=self.slots.get(provider, 2),
            takes=takes,
            running=max(self.running.get(provider, 0) - place.rendering, 0),
            waiting={name: videos for name, videos in waiting.items() if any(videos.values())},
        )


def _total(owners: Mapping[str, Mapping[int, int]]) -> int:
    return sum(scenes * videos for per_video in owners.values() for scenes, videos in per_video.items())
