"""The ETA of a video from its request on, in the API and in live events."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import select

from gateway.app import Gateway
from gateway.models import StageTime
from shared.contracts.events import (
    Event,
    SceneDelayed,
    SceneProgressed,
    SceneRendered,
    SceneStarted,
    StoryboardApproved,
    StoryboardCreated,
    VideoCancelled,
    VideoComposed,
    VideoComposing,
    VideoFailed,
    VideoRequested,
    VideoResumed,
)
from shared.contracts.media import Clip, MediaReference
from shared.contracts.story import Scene
from shared.persistence.unit_of_work import transaction

MEDIA = MediaReference(key="a/b", content_type="video/mp4", size=1, sha256="0" * 64)
CLIP = Clip(media=MEDIA, width=1280, height=720, frames=240, has_audio=True)


class Stage:
    """A gateway whose clock stands still, and what happens before it."""

    def __init__(self, gateway: Gateway, api: httpx.AsyncClient) -> None:
        self.gateway = gateway
        self.api = api
        self.seconds = 1_000_000.0
        gateway.queries.etas.times.clock = lambda: self.seconds  # type: ignore[method-assign]

    async def ask(self, **wish: Any) -> str:
        answer = await self.api.post("/api/v1/videos", json={"prompt": "a fox", "sceneCount": 2, **wish})
        return str(answer.json()["videoId"])

    async def hear(self, *events: Event, after: float = 0.0) -> None:
        self.seconds += after
        self.gateway.queries.etas.times.queues_at = 0.0
        for event in events:
            async with transaction(self.gateway.database) as work:
                await self.gateway.projector.record(work, event)

    async def look(self, video_id: str, *, after: float = 0.0) -> dict[str, Any]:
        self.seconds += after
        self.gateway.queries.etas.times.queues_at = 0.0
        video: dict[str, Any] = (await self.api.get(f"/api/v1/videos/{video_id}")).json()
        return video

    async def make(self, video_id: str, seconds: float, provider: str = "animatic") -> None:
        """A whole film whose scenes take so long."""
        await self.hear(board(video_id), after=2)
        await self.hear(*(started(video_id, n, provider) for n in (1, 2)))
        await self.hear(*(rendered(video_id, n, provider) for n in (1, 2)), after=seconds)
        await self.hear(VideoComposing(video_id=video_id))
        await self.hear(composed(video_id), after=5)

    async def times(self) -> list[tuple[Any, ...]]:
        columns = (StageTime.stage, StageTime.provider, StageTime.model, StageTime.length, StageTime.seconds)
        async with self.gateway.database.reading() as session:
            return [tuple(row) for row in (await session.execute(select(*columns).order_by(StageTime.id))).all()]


def board(video_id: str, *, review: bool = False) -> StoryboardCreated:
    scenes = tuple(
        Scene(scene_number=n, description="d", camera_angle="wide", duration=15, action="a", transition="cut")
        for n in (1, 2)
    )
    return StoryboardCreated(
        video_id=UUID(video_id), title="t", niche="n", overall_prompt="p", total_duration=30, scenes=scenes,
        story_script="s", aspect_ratio="16:9", review=review,
    )  # fmt: skip


def started(video_id: str, n: int, provider: str = "animatic", eta: float = 8) -> SceneStarted:
    return SceneStarted(video_id=UUID(video_id), scene_number=n, provider=provider, eta_seconds=eta)


def rendered(video_id: str, n: int, provider: str = "animatic") -> SceneRendered:
    return SceneRendered(
        video_id=UUID(video_id), scene_number=n, clip=CLIP, duration=15, cost_usd="0.5", provider=provider
    )


def composed(video_id: str) -> VideoComposed:
    return VideoComposed(video_id=UUID(video_id), film=MEDIA, thumbnail=MEDIA, duration=30, width=1280, height=720)


@pytest.fixture
async def stage(gateway: Gateway, api: httpx.AsyncClient) -> Stage:
    return Stage(gateway, api)


async def test_each_stage_of_a_film_is_kept_with_its_time(stage: Stage) -> None:
    await stage.make(await stage.ask(), seconds=12)
    assert await stage.times() == [
        ("storyboard", "", "", 2, 2),
        ("scene", "animatic", "animatic", 15, 12),
        ("scene", "animatic", "animatic", 15, 12),
        ("combining", "", "", 30, 5),
    ]


async def test_the_range_is_there_at_once_follows_what_is_known_and_narrows_to_the_end(stage: Stage) -> None:
    for _ in range(4):
        await stage.make(await stage.ask(), seconds=12)
    video_id = await stage.ask()
    asked = await stage.look(video_id)
    assert asked["etaSeconds"] == pytest.approx(2 + 12 + 5, abs=1)
    await stage.hear(board(video_id), after=2)
    await stage.hear(started(video_id, 1), started(video_id, 2))
    later = [await stage.look(video_id, after=seconds) for seconds in (0, 6, 5, 3)]
    assert [video["etaSeconds"] for video in later] == [
        pytest.approx(seconds, abs=2) for seconds in (12 + 5, 6 + 5, 1 + 5, 1 + 5)
    ]
    await stage.hear(*(rendered(video_id, n) for n in (1, 2)), VideoComposing(video_id=UUID(video_id)))
    combining = await stage.look(video_id, after=2)
    widths = [high - low for low, high in (one["etaRangeSeconds"] for one in (asked, *later, combining))]
    assert widths == sorted(widths, reverse=True)
    assert combining["etaSeconds"] == pytest.approx(3, abs=1)
    assert combining["notice"] is None
    await stage.hear(composed(video_id))
    ended = await stage.look(video_id)
    assert (ended["etaSeconds"], ended["etaRangeSeconds"]) == (None, None)


async def test_nothing_is_known_of_a_provider_but_what_it_says_itself(stage: Stage) -> None:
    video_id = await stage.ask()
    await stage.hear(board(video_id), started(video_id, 1, "other", eta=200), started(video_id, 2, "other", eta=200))
    assert 150 < (await stage.look(video_id))["etaSeconds"] < 300


async def test_a_film_that_takes_longer_says_so_and_stays_above_zero(stage: Stage) -> None:
    for _ in range(4):
        await stage.make(await stage.ask(), seconds=12)
    video_id = await stage.ask()
    await stage.hear(board(video_id), started(video_id, 1), started(video_id, 2))
    assert (await stage.look(video_id, after=12))["notice"] is None
    for _ in range(6):
        late = await stage.look(video_id, after=60)
        assert late["etaSeconds"] >= 1
        assert 0 <= late["etaRangeSeconds"][0] <= late["etaSeconds"] <= late["etaRangeSeconds"][1]
        assert late["notice"].startswith("It takes longer than usual: about ")
    await stage.hear(SceneDelayed(video_id=UUID(video_id), scene_number=1, provider="p", kind="k", reason="Its own."))
    assert (await stage.look(video_id))["notice"] == "Its own."


async def test_a_film_waits_for_those_ahead_of_it(stage: Stage) -> None:
    for _ in range(4):
        await stage.make(await stage.ask(), seconds=12)
    alone = await stage.ask()
    first = await stage.look(alone)
    for _ in range(5):
        await stage.ask(sceneCount=5)
    last = await stage.look(await stage.ask())
    assert last["etaSeconds"] > first["etaSeconds"] + 2 * 12
    assert last["notice"] is None


async def test_a_request_for_a_provider_that_is_not_configured_waits_in_the_queue_of_the_one_that_renders_it(
    stage: Stage,
) -> None:
    for _ in range(4):
        await stage.make(await stage.ask(), seconds=12)
    for _ in range(5):
        await stage.ask(sceneCount=5)
    request = VideoRequested(video_id=uuid4(), prompt="a fox", scene_count=2, providers=("pika",))
    async with transaction(stage.gateway.database) as work:
        await stage.gateway.projector.record_request(work, request)
    other = await stage.look(str(request.video_id))
    configured = await stage.look(await stage.ask())
    assert other["etaSeconds"] == pytest.approx(configured["etaSeconds"], rel=0.3)


async def test_how_far_a_scene_is_counts_more_than_the_usual_time(stage: Stage) -> None:
    video_id = await stage.ask()
    await stage.hear(board(video_id), started(video_id, 1), started(video_id, 2))
    told = [
        SceneProgressed(video_id=UUID(video_id), scene_number=n, provider="animatic", percent=90, eta_seconds=1)
        for n in (1, 2)
    ]
    await stage.hear(*told, after=90)
    video = await stage.look(video_id)
    assert video["etaSeconds"] == pytest.approx(10 + 7, abs=5)


async def test_there_is_no_eta_in_review_and_after_the_end_and_a_new_promise_where_it_goes_on(stage: Stage) -> None:
    video_id = await stage.ask(review=True)
    await stage.hear(board(video_id, review=True))
    assert (await stage.look(video_id, after=3600))["etaSeconds"] is None
    await stage.hear(StoryboardApproved(video_id=UUID(video_id), by="me"))
    approved = await stage.look(video_id)
    assert approved["etaSeconds"] > 0
    assert approved["notice"] is None
    await stage.hear(VideoFailed(video_id=UUID(video_id), stage="composer", kind="k", reason="r"))
    assert (await stage.look(video_id, after=3600))["etaSeconds"] is None
    await stage.hear(VideoResumed(video_id=UUID(video_id)))
    resumed = await stage.look(video_id)
    assert resumed["etaSeconds"] > 0
    assert resumed["notice"] is None
    await stage.hear(VideoCancelled(video_id=UUID(video_id), by="me", reason="r"))
    assert (await stage.look(video_id))["etaSeconds"] is None


async def test_watchers_are_told_the_same(stage: Stage) -> None:
    video_id = await stage.ask()
    await stage.hear(board(video_id), started(video_id, 1))
    video = await stage.look(video_id)
    [newest] = await stage.gateway.queries.newest_event(UUID(video_id))
    assert newest.data["etaSeconds"] == video["etaSeconds"]
    assert newest.data["etaRangeSeconds"] == video["etaRangeSeconds"]
    [listed] = (await stage.api.get("/api/v1/videos")).json()["videos"]
    assert listed["etaSeconds"] == video["etaSeconds"]
