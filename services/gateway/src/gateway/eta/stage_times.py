"""How long stages took, and who is ahead in the queues: what an ETA is made of.

Both are looked up seldom and kept: the queues for a second, the times until one is added here or for some seconds.
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.eta import estimate as eta
from gateway.eta.estimate import Ahead, Eta, Queue, SceneAhead, Span, Took
from gateway.models import StageTime, Video
from gateway.videos.projection import SceneState, VideoView
from gateway.videos.status import VideoStatus
from shared.contracts.events import (
    Event,
    SceneDelayed,
    SceneFailed,
    SceneProgressed,
    SceneRendered,
    SceneStarted,
    StoryboardCreated,
    VideoComposed,
    VideoComposing,
    VideoResumed,
)
from shared.contracts.media import FRAME_RATE
from shared.contracts.provider_selection import first_provider
from shared.contracts.story import Contract
from shared.contracts.timeline import timeline
from shared.money.prices import Tariff
from shared.persistence.database import now
from shared.persistence.unit_of_work import UnitOfWork
from shared.settings import RenderSettings

QUEUES_KEPT_SECONDS = 1.0
TIMES_KEPT_SECONDS = 15.0
MOST_TIMES = 60
"""The newest of one stage and provider."""

WRITTEN, GIVEN = "", "given"
"""How a storyboard comes about."""


class SceneMark(Contract):
    """When a scene was started, and when its provider last told how far it is, in seconds since 1970."""

    started: float
    heard: float


class Marks(Contract):
    """When the present stages of a video began, and when it was promised to end, in seconds since 1970."""

    requested: float
    storyboard: float
    given: bool = False
    """Whether its storyboard came with the request."""
    scenes: dict[int, SceneMark] = {}
    combining: float | None = None
    promised: float | None = None


Key = tuple[str, str]
"""A stage and its provider."""


class StageTimes:
    """Notes in a video's row when its stages begin, keeps how long they took, and says how long videos still take."""

    def __init__(self, settings: RenderSettings) -> None:
        self.providers: tuple[str, ...] = settings.providers
        self.models = settings.models
        self.tariffs: Mapping[str, Tariff | None] = {name: settings.tariff(name) for name in settings.providers}
        self.took: dict[Key, Sequence[Took]] = {}
        self.took_at: dict[Key, float] = {}
        self.usual: dict[Key, dict[tuple[str, float], Span | None]] = {}
        self.slots: dict[str, int] = {}
        self.queues_at = 0.0
        self.waiting: dict[str, dict[str, dict[int, int]]] = {}
        self.running: dict[str, int] = {}
        self.ahead_of_us = 0.0

    # --- what is known

    def clock(self) -> float:
        """The database's clock, as far as it was looked at lately: replicas of the gateway may differ by theirs."""
        return time.time() + self.ahead_of_us

    @property
    def is_fresh(self) -> bool:
        """Whether `refresh` has nothing to look up."""
        return time.monotonic() < self.queues_at + QUEUES_KEPT_SECONDS

    async def refresh(self, session: AsyncSession) -> None:
        """Look up what is not known, or was known for too long."""
        if self.is_fresh:
            return
        self.queues_at = time.monotonic()
        clock = (await session.execute(select(now()))).scalar_one()
        self.ahead_of_us = clock.replace(tzinfo=UTC).timestamp() - time.time()
        await self._read_queues(session)
        providers = {*self.tariffs, *self.waiting, *self.running}
        for key in (("storyboard", WRITTEN), ("storyboard", GIVEN), *(("scene", p) for p in providers), COMBINING):
            if time.monotonic() > self.took_at.get(key, -TIMES_KEPT_SECONDS) + TIMES_KEPT_SECONDS:
                await self._read_times(session, key)

    async def _read_queues(self, session: AsyncSession) -> None:
        """Sums alone are read, however many videos there are."""
        busy = Video.status.in_(("pending", "processing")) & (Video.waiting_scenes + Video.rendering_scenes > 0)
        groups = (Video.renderer, Video.owner, Video.waiting_scenes)
        sums = select(*groups, func.count(), func.sum(Video.rendering_scenes)).where(busy).group_by(*groups)
        waiting: defaultdict[str, dict[str, dict[int, int]]] = defaultdict(dict)
        running: defaultdict[str, int] = defaultdict(int)
        for renderer, owner, scenes, videos, rendering in (await session.execute(sums)).all():
            running[renderer] += int(rendering)
            if scenes:
                waiting[renderer].setdefault(owner, {})[scenes] = videos
        self.waiting, self.running = dict(waiting), dict(running)

    async def _read_times(self, session: AsyncSession, key: Key) -> None:
        stage, provider = key
        newest = select(StageTime).where(StageTime.stage == stage, StageTime.provider == provider)
        rows = (await session.execute(newest.order_by(StageTime.id.desc()).limit(MOST_TIMES))).scalars()
        self.took[key] = [Took(row.model, row.length, row.seconds, row.busy, row.waiting) for row in rows]
        self.took_at[key] = time.monotonic()
        self.usual[key] = {}
        if stage == "scene":
            self.slots[provider] = eta.slots(self.took[key], eta.SLOTS_GUESS.get(provider, 2))

    # --- what happens

    async def begin(self, work: UnitOfWork, row: Video, view: VideoView, *, given: bool) -> None:
        """A video was requested: its first stage begins, and it is promised when it ends."""
        await self.refresh(work.session)
        clock = self.clock()
        known = Marks.model_validate(row.marks) if row.marks else Marks(requested=clock, storyboard=clock)
        marks = self._promise(row, view, known.model_copy(update={"given": given}))
        self._save(row, view, marks)

    async def note(self, work: UnitOfWork, row: Video, before: VideoView, after: VideoView, event: Event) -> None:
        """Something has changed a video: note which stages begin and keep how long those took that are over."""
        await self.refresh(work.session)
        clock = self.clock()
        marks = Marks.model_validate(row.marks) if row.marks else Marks(requested=clock, storyboard=clock)
        match event:
            case StoryboardCreated() if not before.scenes:
                how = GIVEN if marks.given else WRITTEN
                self._keep(work, ("storyboard", how), "", len(after.scenes), clock - marks.storyboard)
            case SceneStarted() | SceneProgressed():
                marks = self._scene_heard(marks, before.scene_state(event.scene_number), event, clock)
            case SceneRendered():
                mark = marks.scenes.get(event.scene_number)
                if mark is not None and event.scene_number <= len(after.scenes):
                    length = self._lengths(row, after)[event.scene_number - 1]
                    model = self.models.get(event.provider, event.provider)
                    self._keep(work, ("scene", event.provider), model, length, clock - mark.started)
                marks = _without(marks, event.scene_number)
            case SceneDelayed() | SceneFailed():
                marks = _without(marks, event.scene_number)
            case VideoComposing():
                marks = marks.model_copy(update={"combining": clock})
            case VideoComposed() if marks.combining is not None:
                self._keep(work, COMBINING, "", event.duration, clock - marks.combining)
            case VideoResumed():
                marks = marks.model_copy(update={"storyboard": clock, "combining": None})
            case _:
                pass
        if isinstance(event, VideoResumed) or (before.current_step == "review" != after.current_step):
            marks = self._promise(row, after, marks)
        self._save(row, after, marks)

    def _scene_heard(
        self, marks: Marks, before: SceneState, event: SceneStarted | SceneProgressed, clock: float
    ) -> Marks:
        known = marks.scenes.get(event.scene_number) if before.provider == event.provider else None
        # A scene of several tasks is started with each of them; it takes as long as all of them.
        mark = SceneMark(started=known.started if known else clock, heard=clock)
        return marks.model_copy(update={"scenes": {**marks.scenes, event.scene_number: mark}})

    def _keep(self, work: UnitOfWork, key: Key, model: str, length: float, seconds: float) -> None:
        stage, provider = key
        row = StageTime(stage=stage, provider=provider, model=model, length=length, seconds=max(seconds, 0.0), at=now())
        if stage == "scene":
            row.busy = max(self.running.get(provider, 0), 1)
            row.waiting = _total(self.waiting.get(provider, {}))
        work.session.add(row)
        self.took_at.pop(key, None)

    def _save(self, row: Video, view: VideoView, marks: Marks) -> None:
        row.marks = marks.model_dump(mode="json")
        states = [view.scene_state(n) for n in range(1, view.scene_count + 1)] if is_going(view) else []
        waiting = [state for state in states if state.state == "waiting"]
        rendering = [state for state in states if state.state == "rendering"]
        told = next((state.provider for state in (*waiting, *rendering) if state.provider), None)
        self._count(row, -1)
        row.waiting_scenes, row.rendering_scenes = len(waiting), len(rendering)
        row.renderer = told or row.renderer or self._wished(row)
        self._count(row, 1)

    def _count(self, row: Video, videos: int) -> None:
        """Keep the queues true to a row that changes, until they are read again."""
        if not row.renderer:
            return
        self.running[row.renderer] = max(self.running.get(row.renderer, 0) + videos * row.rendering_scenes, 0)
        if row.waiting_scenes:
            of_owner = self.waiting.setdefault(row.renderer, {}).setdefault(row.owner, {})
            of_owner[row.waiting_scenes] = max(of_owner.get(row.waiting_scenes, 0) + videos, 0)

    def _promise(self, row: Video, view: VideoView, marks: Marks) -> Marks:
        span = self._left(row, view, marks)
        return marks.model_copy(update={"promised": None if span is None else self._clock_of(marks) + span.high})

    # --- what it comes to

    def eta_of(self, row: Video, view: VideoView) -> Eta | None:
        """How long a video is still going to take; None: nobody can tell, or it has ended, or waits for a person."""
        if row.marks is None:
            return None
        marks = Marks.model_validate(row.marks)
        span = self._left(row, view, marks)
        if span is None:
            return None
        return eta.told(span, None if marks.promised is None else marks.promised - self._clock_of(marks))

    def _clock_of(self, marks: Marks) -> float:
        """By whole seconds since the request, so that two looks in a row see the same."""
        return marks.requested + max(int(self.clock() - marks.requested), 0)

    def _left(self, row: Video, view: VideoView, marks: Marks) -> Span | None:
        if not is_going(view):
            return None
        clock = self._clock_of(marks)
        seconds = row.duration or 30
        combining = self._usual(COMBINING, "", seconds) or eta.COMBINING_GUESS.times(seconds)
        if view.current_step in JOINING:
            combining = eta.stage_left(combining, max(clock - (marks.combining or clock), 0.0))
        lengths = self._lengths(row, view)
        scenes = [] if view.current_step in JOINING else self._scenes(row, view, marks, clock, lengths)
        return eta.left(
            Ahead(
                owner=row.owner,
                storyboard=None if view.scenes else self._storyboard(view, marks, clock),
                scenes=scenes,
                queue=self._queue(row, sum(lengths) / len(lengths)),
                combining=combining,
            )
        )

    def _storyboard(self, view: VideoView, marks: Marks, clock: float) -> Span:
        how, guess = (GIVEN, eta.GIVEN_STORYBOARD_GUESS) if marks.given else (WRITTEN, eta.STORYBOARD_GUESS)
        takes = self._usual(("storyboard", how), "", view.scene_count) or guess
        return eta.stage_left(takes, max(clock - marks.storyboard, 0.0))

    def _scenes(
        self, row: Video, view: VideoView, marks: Marks, clock: float, lengths: Sequence[float]
    ) -> list[SceneAhead]:
        said = next((s.eta_seconds for s in view.scene_states.values() if s.state == "rendering"), None)
        scenes = []
        for number, length in enumerate(lengths, 1):
            state, mark = view.scene_state(number), marks.scenes.get(number)
            if state.state == "rendered":
                continue
            provider = state.provider or row.renderer or self._wished(row)
            takes = self._scene_takes(provider, length, said)
            if state.state != "rendering" or mark is None:
                scenes.append(SceneAhead(takes))
                continue
            elapsed, heard = max(clock - mark.started, 0.0), max(mark.heard - mark.started, 0.0)
            scenes.append(SceneAhead(takes, max(elapsed, heard), state.percent, heard))
        return scenes

    def _scene_takes(self, provider: str, length: float, said: float | None) -> Span:
        known = self._usual(("scene", provider), self.models.get(provider, provider), length)
        if known is not None:
            return known
        tariff = self.tariffs.get(provider)
        return eta.scene_guess(provider, length, len(tariff.split(length)) if tariff else 1, said)

    def _usual(self, key: Key, model: str, length: float) -> Span | None:
        """Reckoned once, until the times are read again."""
        spans = self.usual.setdefault(key, {})
        if (model, length) not in spans:
            spans[model, length] = eta.usual(self.took.get(key, ()), model, length)
        return spans[model, length]

    def _lengths(self, row: Video, view: VideoView) -> list[float]:
        """How long each clip is, in seconds; before the story is written, all are alike."""
        if view.scenes:
            return [slot.clip_frames / FRAME_RATE for slot in timeline(view.scenes)]
        return [(row.duration or 30) / view.scene_count] * view.scene_count

    def _queue(self, row: Video, length: float) -> Queue:
        """The queue at the provider of this video, without its own scenes; those of others are thought as long."""
        name = row.renderer or self._wished(row)
        waiting = {owner: dict(videos) for owner, videos in self.waiting.get(name, {}).items()}
        own = waiting.get(row.owner, {})
        if own.get(row.waiting_scenes):
            own[row.waiting_scenes] -= 1
        return Queue(
            slots=self.slots.get(name, 2),
            takes=self._scene_takes(name, length, None),
            running=max(self.running.get(name, 0) - row.rendering_scenes, 0),
            waiting={owner: videos for owner, videos in waiting.items() if any(videos.values())},
        )

    def _wished(self, row: Video) -> str:
        return first_provider(row.providers or (), self.providers)


COMBINING: Key = ("combining", "")
JOINING = ("combining", "storing")


def is_going(view: VideoView | Video) -> bool:
    """Whether somebody works on a video, so that it can be said when it ends."""
    return not VideoStatus.of(view.status).is_terminal and view.current_step != "review"


def _without(marks: Marks, scene_number: int) -> Marks:
    return marks.model_copy(update={"scenes": {n: mark for n, mark in marks.scenes.items() if n != scene_number}})


def _total(owners: Mapping[str, Mapping[int, int]]) -> int:
    return sum(scenes * videos for per_video in owners.values() for scenes, videos in per_video.items())
