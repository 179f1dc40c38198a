"""Notes when the stages of a video begin and end, and computes its ETA."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.eta import estimate as eta
from gateway.eta.estimate import Ahead, SceneAhead, Span
from gateway.eta.stage_times import COMBINING, GIVEN, WRITTEN, StageTimes
from gateway.eta.stage_timestamps import StageTimestamps
from gateway.eta.video_progress import AWAITING_STEPS, JOINING_STEPS, QueuePlace, VideoProgress
from gateway.remaining_time import Eta
from shared.catalogue.models import ProviderModels, key_of
from shared.contracts.events import (
    Event,
    FramesRendered,
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
from shared.contracts.provider_selection import first_provider
from shared.persistence.unit_of_work import UnitOfWork
from shared.settings import RenderSettings


@dataclass(frozen=True)
class Noted:
    """What is to be kept with a video for its next ETA."""

    timestamps: StageTimestamps
    place: QueuePlace


class Etas:
    """Computes ETAs from what the same stages took before and from the queues."""

    def __init__(self, settings: RenderSettings, active_statuses: Sequence[str]) -> None:
        self.providers: tuple[str, ...] = settings.providers
        self.models: Mapping[str, ProviderModels | None] = {
            name: settings.models_of(name) for name in settings.providers
        }
        self.times = StageTimes(self.providers, active_statuses)

    async def begin(self, work: UnitOfWork, video: VideoProgress, *, given: bool) -> Noted:
        """Note that a video was requested, and promise when it is done. `given`: the request has a storyboard."""
        await self.times.refresh(work.session)
        timestamps = self._timestamps(video).model_copy(update={"given": given})
        return self._noted(video, self._promise(video, timestamps))

    async def note(self, work: UnitOfWork, before: VideoProgress, after: VideoProgress, event: Event) -> Noted:
        """Note which stages an event begins, and save how long those took that it ends."""
        await self.times.refresh(work.session)
        clock = self.times.clock()
        stamps = self._timestamps(after)
        match event:
            case StoryboardCreated() if not before.has_storyboard:
                how = GIVEN if stamps.given else WRITTEN
                count = len(after.clip_seconds)
                self.times.keep(work, ("storyboard", how), "", count, clock - stamps.storyboard)
            case SceneStarted() | SceneProgressed():
                continues = before.scene(event.scene_number).provider == event.provider
                stamps = stamps.with_scene(event.scene_number, clock, continues=continues)
            case SceneRendered():
                scene = stamps.scenes.get(event.scene_number)
                if scene is not None and after.has_storyboard and event.scene_number <= len(after.clip_seconds):
                    model = key_of(event.provider, event.model)
                    length = after.clip_seconds[event.scene_number - 1]
                    self.times.keep(work, ("scene", event.provider), model, length, clock - scene.started)
                stamps = stamps.without_scene(event.scene_number)
            case FramesRendered():
                # From now on they wait for a person.
                stamps = stamps.model_copy(update={"scenes": {}})
            case SceneDelayed() | SceneFailed():
                stamps = stamps.without_scene(event.scene_number)
            case VideoComposing():
                stamps = stamps.model_copy(update={"combining": clock})
            case VideoComposed() if stamps.combining is not None:
                self.times.keep(work, COMBINING, "", event.duration, clock - stamps.combining)
            case VideoResumed():
                stamps = stamps.model_copy(update={"storyboard": clock, "combining": None})
            case _:
                pass
        if isinstance(event, VideoResumed) or (before.step in AWAITING_STEPS and after.step not in AWAITING_STEPS):
            stamps = self._promise(after, stamps)
        return self._noted(after, stamps)

    def _timestamps(self, video: VideoProgress) -> StageTimestamps:
        clock = self.times.clock()
        return video.timestamps or StageTimestamps(requested=clock, storyboard=clock)

    def _promise(self, video: VideoProgress, timestamps: StageTimestamps) -> StageTimestamps:
        span = self._remaining(video, timestamps)
        promised = None if span is None else timestamps.now_by(self.times.clock()) + span.high
        return timestamps.model_copy(update={"promised": promised})

    def _noted(self, video: VideoProgress, timestamps: StageTimestamps) -> Noted:
        numbers = range(1, len(video.clip_seconds) + 1)
        scenes = [video.scene(number) for number in numbers] if video.is_in_progress else []
        waiting = [scene for scene in scenes if scene.state == "waiting"]
        rendering = [scene for scene in scenes if scene.state == "rendering"]
        named = next((scene.provider for scene in (*waiting, *rendering) if scene.provider), None)
        place = QueuePlace(named or self._provider(video), len(waiting), len(rendering))
        self.times.move(video.owner, video.place, place)
        return Noted(timestamps, place)

    # --- the ETA

    def eta_of(self, video: VideoProgress) -> Eta | None:
        """Return how long a video still takes; None: nobody knows, or it has ended, or it waits for a person."""
        if video.timestamps is None:
            return None
        span = self._remaining(video, video.timestamps)
        if span is None:
            return None
        promised, clock = video.timestamps.promised, video.timestamps.now_by(self.times.clock())
        return eta.rounded(span, None if promised is None else promised - clock)

    def _remaining(self, video: VideoProgress, timestamps: StageTimestamps) -> Span | None:
        if not video.is_in_progress:
            return None
        clock = timestamps.now_by(self.times.clock())
        seconds = video.film_seconds
        joins = video.step in JOINING_STEPS
        combining = self.times.usual(COMBINING, "", seconds) or eta.COMBINING_GUESS.times(seconds)
        if joins:
            combining = eta.stage_left(combining, max(clock - (timestamps.combining or clock), 0.0))
        provider = self._provider(video)
        length = sum(video.clip_seconds) / len(video.clip_seconds)
        queue = self.times.queue(provider, self._scene_takes(provider, length, None), video.owner, video.place)
        return eta.left(
            Ahead(
                owner=video.owner,
                storyboard=None if video.has_storyboard else self._storyboard(video, timestamps, clock),
                scenes=[] if joins else self._scenes(video, timestamps, clock),
                queue=queue,
                combining=combining,
            )
        )

    def _storyboard(self, video: VideoProgress, timestamps: StageTimestamps, clock: float) -> Span:
        how, guess = (GIVEN, eta.GIVEN_STORYBOARD_GUESS) if timestamps.given else (WRITTEN, eta.STORYBOARD_GUESS)
        takes = self.times.usual(("storyboard", how), "", len(video.clip_seconds)) or guess
        return eta.stage_left(takes, max(clock - timestamps.storyboard, 0.0))

    def _scenes(self, video: VideoProgress, timestamps: StageTimestamps, clock: float) -> Sequence[SceneAhead]:
        reported = next((s.eta_seconds for s in video.scenes.values() if s.state == "rendering"), None)
        scenes = []
        for number, length in enumerate(video.clip_seconds, 1):
            scene, times = video.scene(number), timestamps.scenes.get(number)
            if scene.state == "rendered":
                continue
            takes = self._scene_takes(scene.provider or self._provider(video), length, reported)
            if scene.state != "rendering" or times is None:
                scenes.append(SceneAhead(takes))
                continue
            elapsed, heard = max(clock - times.started, 0.0), max(times.heard - times.started, 0.0)
            scenes.append(SceneAhead(takes, max(elapsed, heard), scene.percent, heard))
        return scenes

    def _scene_takes(self, provider: str, length: float, reported: float | None) -> Span:
        models = self.models.get(provider)
        # Which scenes get another model than the usual one is not known yet.
        known = self.times.usual(("scene", provider), models.standard.key if models else provider, length)
        if known is not None:
            return known
        tasks = len(models.standard.tariff.split(length)) if models else 1
        return eta.scene_guess(provider, length, tasks, reported)

    def _provider(self, video: VideoProgress) -> str:
        """Return the provider the scenes wait for; before they do, the one they are offered to first."""
        return video.place.provider or first_provider(video.requested_providers, self.providers)
