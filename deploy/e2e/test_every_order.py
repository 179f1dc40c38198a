"""Whatever order messages come in: the real handlers of gateway, scene-render and composer end with the right video.

Every queue of the three services is one heap here, out of which hypothesis takes one message after the other.
"""

import asyncio
import shutil
import tempfile
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from sqlalchemy import text

from composer import app as composer_app
from composer import handlers as composing
from composer.models import Base as ComposerBase
from composer.settings import Settings as ComposerSettings
from composer.workflow import composition
from composer.workflow.previews import Previews
from composer.workflow.rendering import Renderer
from composer.workflow.streams import Streams
from gateway import app as gateway_app
from gateway.app import Gateway
from gateway.models import Base as GatewayBase
from gateway.settings import Settings as GatewaySettings
from scene_render import app as render_app
from scene_render import handlers as rendering
from scene_render.attempts import lease
from scene_render.attempts.endings import UnknownPolicy
from scene_render.attempts.service import Attempts
from scene_render.capacity import circuit_breaker as breaker
from scene_render.capacity.provider_selection import ProviderSelection
from scene_render.capacity.slots import provide_slots
from scene_render.clips.clip_ingest import ClipIngest
from scene_render.clips.order_files import OrderFiles
from scene_render.clips.picture_ingest import PictureIngest
from scene_render.models import Attempt
from scene_render.models import Base as RenderBase
from scene_render.providers.base import Ended, Failed, Shot, Succeeded, Unknowable
from scene_render.scenes import video_standing
from scene_render.scheduling.scheduler import Scheduler
from shared.catalogue.models import models_of
from shared.contracts.events import (
    Event,
    SceneRequested,
    StoryboardCreated,
    VideoCancelled,
    VideoFailed,
    VideoRequested,
    VideoResumed,
)
from shared.contracts.media import Clip, clip_key
from shared.contracts.story import Scene
from shared.media.ffmpeg import Ffmpeg
from shared.messaging.event_router import NullPublisher, Subscription
from shared.money.budget import Caps
from shared.persistence.database import Database
from shared.persistence.migration_files import folder_of
from shared.persistence.migrations import migrate
from shared.persistence.unit_of_work import transaction
from shared.storage.folder import FolderStorage
from shared_testing.due_times import CheckDue, PayAgainDue, SubmissionOverdue, bring_about, due_times
from shared_testing.servers import delivery, published

VIDEO = uuid.UUID(int=7)
SCENES = (1, 2, 3)
BASES = {
    "gateway": (GatewayBase, gateway_app),
    "render": (RenderBase, render_app),
    "composer": (ComposerBase, composer_app),
}


class Ledger:
    """A provider that accepts each order, but loses its first `loses` answers for each scene.

    `fails` decides whether a task fails.
    """

    name = "ledger"
    concurrency = 10
    submit_seconds = usual_seconds = attempt_seconds = 60.0
    check_seconds = 1.0
    models = models_of("pika", uses={"standard": "v2.2/720p"}, prices={"pika/v2.2/720p": {5: Decimal(1)}})
    can_reconcile = False

    def __init__(self, *, loses: int, fails: Callable[[], bool]) -> None:
        self.loses, self.fails = loses, fails
        self.orders: list[int] = []

    async def submit(self, attempt_id: str, shot: Shot) -> str:
        scene = shot.request.scene.scene_number
        self.orders.append(scene)
        if self.orders.count(scene) <= self.loses:
            raise ConnectionError("the answer is lost")
        return f"task-{attempt_id}"

    async def find(self, _attempt_id: str, _age: float) -> Unknowable:
        return Unknowable()

    def task_id_of(self, said: str, _model: str | None) -> str:
        return said

    async def check(self, _task_id: str) -> Succeeded | Failed:
        failed = Failed("job_failed", "r", Decimal(0), again=True)
        return failed if self.fails() else Succeeded(cost=Decimal(1))

    async def cancel(self, _task_id: str) -> Ended:
        return Ended(cost=Decimal(0))

    async def cancel_if_free(self, _task_id: str) -> None:
        """Fail: nothing can be saved."""


class DrawnClips(ClipIngest):
    """Clips that are there without a render."""

    async def collect(self, _provider: object, attempt: Any, render: Any, _parameter_sets: object) -> Clip:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "clip"
            path.write_bytes(b"clip")
            key = clip_key(render.video_id, render.scene_number, attempt.number)
            media = await self.storage.put(key, path, "video/mp4")
        return Clip(media=media, frames=96, width=1280, height=720, has_audio=False)


@dataclass
class Post:
    """All messages in flight, with their consumers."""

    listeners: list[tuple[Subscription[Any], Any]]
    pending: list[tuple[Subscription[Any], Any, Event]] = field(default_factory=list)

    async def send(self, *events: Event) -> None:
        for event in events:
            heard_by = [(one, deps) for one, deps in self.listeners if one.event is type(event)]
            self.pending += [(one, deps, event) for one, deps in heard_by]

    async def deliver(self, index: int) -> Event:
        subscription, deps, event = self.pending.pop(index)
        await subscription.handler(event, delivery(subscription.consumer), deps)
        await self.send(*await published(deps.database))
        return event


@dataclass
class Studio:
    """The three services, each on a database of its own."""

    gateway: Gateway
    ledger: Ledger
    databases: dict[str, Database]
    post: Post
    scheduler: Scheduler

    async def due(self) -> list[Callable[[], Awaitable[object]]]:
        """What scene-render's schedulers may do now: here, what is due in a while is due at any time."""
        database = self.databases["render"]
        times = await due_times(database)
        # The others are due after an hour.
        of_attempts = [due for due in times if isinstance(due, CheckDue | SubmissionOverdue | PayAgainDue)]
        acts: list[Callable[[], Awaitable[object]]] = [partial(self._look_after, due) for due in of_attempts]
        if await self.look("render", "SELECT 1 FROM renders WHERE state = 'waiting' AND available_at IS NOT NULL"):
            acts.append(self._start)
        resumed = "SELECT video_id FROM video_standings WHERE release_scenes_at IS NOT NULL"
        return [*acts, *(partial(self._release, video_id) for video_id in await self.look("render", resumed))]

    async def act(self, act: Callable[[], Awaitable[object]]) -> None:
        """Do one of these, and send what it publishes."""
        await act()
        await asyncio.gather(*self.scheduler.deps.shielded.tasks)
        await self.post.send(*await published(self.databases["render"]))

    async def _start(self) -> None:
        await self.scheduler.start_next(self.scheduler.deps.providers["ledger"])

    async def _release(self, video_id: str) -> None:
        async with transaction(self.databases["render"]) as work:
            await video_standing.release_scenes(work, video_id, 3600.0)

    async def _look_after(self, due: CheckDue | SubmissionOverdue | PayAgainDue) -> None:
        database, attempts = self.databases["render"], self.scheduler.deps.attempts
        await bring_about(database, due)
        if isinstance(due, PayAgainDue):
            async with transaction(database) as work:
                await attempts.pay_again(work, await work.session.get_one(Attempt, str(due.attempt_id)))
            return
        async with database.sessions.begin() as session:
            [one] = await lease.take(session, "ledger", 1)
        await self.scheduler.look_at(one)

    async def look(self, service: str, column: str) -> list[Any]:
        async with self.databases[service].reading() as session:
            return list((await session.execute(text(column))).scalars())

    async def close(self) -> None:
        for database in self.databases.values():
            await database.close()


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("schemas")

    async def make() -> None:
        for name, (base, module) in BASES.items():
            database = Database(f"sqlite+aiosqlite:///{folder}/{name}.db", base.metadata)
            await migrate(database, folder_of(str(module.__file__)))
            await database.close()

    asyncio.run(make())
    return folder


@pytest.fixture(scope="module", autouse=True)
def joined() -> Iterator[None]:
    """Join films without ffmpeg, and disable pauses of providers: no time passes in these tests."""

    async def make(_renderer: object, _part: object, folder: Path) -> Path:
        path = folder / "part"
        path.write_bytes(b"part")
        return path

    async def join(
        _renderer: object, _segments: object, _encoded: object, _sound: object, film: Path, *_: object
    ) -> None:
        film.write_bytes(b"film")

    async def nothing(*_: object) -> None:
        pass

    with (
        patch.object(Renderer, "make", make),
        patch.object(Renderer, "join", join),
        patch.object(composition, "verify_film", lambda *_: None),
        patch.object(Streams, "make_piece", nothing),
        patch.object(Previews, "make", nothing),
        patch.object(breaker, "OUTAGES_UNTIL_OPEN", 100),
    ):
        yield


async def studio(schemas: Path, folder: Path, ledger: Ledger, policy: UnknownPolicy) -> Studio:
    for name in BASES:
        shutil.copy(schemas / f"{name}.db", folder)
    urls = {name: f"sqlite+aiosqlite:///{folder}/{name}.db" for name in BASES}
    storage, ffmpeg, ephemeral = FolderStorage(folder / "media"), Ffmpeg(), NullPublisher()
    gateway = Gateway(
        GatewaySettings(
            database_url=SecretStr(urls["gateway"]),
            storage_url=(folder / "media").as_uri(),
            media_secret=SecretStr("secret"),
        )
    )
    databases = {"render": Database(urls["render"], BASES["render"][0].metadata), "gateway": gateway.database}
    providers: Any = {"ledger": ledger}
    await provide_slots(databases["render"], providers.values())
    render_deps = rendering.Dependencies(
        database=databases["render"],
        attempts=Attempts(ProviderSelection(providers, ("ledger",)), Caps(None, None, None), 0.0, policy),
        animatics=None,  # type: ignore[arg-type]  # never requested here
        clips=DrawnClips(storage, ffmpeg, None),
        pictures=PictureIngest(storage, None),
        order_files=OrderFiles(storage, databases["render"], None),
        ephemeral=ephemeral,
    )
    composer_settings = ComposerSettings(
        database_url=SecretStr(urls["composer"]), storage_url=storage.root.absolute().as_uri(), work_folder=folder
    )
    composer_deps = composer_app.build(composer_settings, ephemeral).deps
    databases["composer"] = composer_deps.database
    service = gateway.service(ephemeral)
    routers = (
        (service.router, service.deps),
        (rendering.router, render_deps),
        (composing.router, composer_deps),
    )
    listeners = [(one, deps) for router, deps in routers for one in router.subscriptions if one.counts_once]
    return Studio(gateway, ledger, databases, Post(listeners), Scheduler(render_deps))


def told_of_a_new_video() -> list[Event]:
    scenes = [
        Scene(scene_number=n, description="d", camera_angle="wide", duration=4, action="a", transition="cut")
        for n in SCENES
    ]
    wish = VideoRequested(video_id=VIDEO, prompt="p", scene_count=3, duration=15, owner="o")
    story = StoryboardCreated(
        video_id=VIDEO, title="t", niche="food", overall_prompt="p", total_duration=12, scenes=tuple(scenes),
        story_script="s", aspect_ratio="16:9",
    )  # fmt: skip
    orders = [
        SceneRequested(
            video_id=VIDEO, scene=scene, scene_count=3, shot_prompt="p", clip_frames=96, aspect_ratio="16:9",
            niche="food", owner="o", priority="interactive",
        )
        for scene in scenes
    ]  # fmt: skip
    return [wish, story, *orders]


Pick = Callable[[int], int]


async def settle_unknowns(studio: Studio, pick: Pick, settled: set[str], patience: int) -> bool:
    """Settle what the gateway shows as unknown, each with a chance of 1 in `patience`; return whether any is left."""
    charges = await studio.gateway.charges.latest("unknown", None, 10, owner=None)
    for charge in charges:
        if charge.attempt_id not in settled and pick(patience) == 0:
            settled.add(charge.attempt_id)
            task = f"task-{charge.attempt_id}" if pick(2) else None
            answer: dict[str, Any] = {"paid": task is not None, "task_id": task, "cost": None, "again": task is None}
            await studio.gateway.charges.settle(uuid.UUID(charge.attempt_id), **answer, by="me")
            await studio.post.send(*await published(studio.gateway.database))
    return any(charge.attempt_id not in settled for charge in charges)


@dataclass(frozen=True)
class Outcome:
    """The final state, when no message is in flight any more."""

    status: str
    film: str
    scenes: list[str]
    orders: int
    attempts: list[str]
    held: int


async def play(
    schemas: Path, pick: Pick, *, loses: int = 0, pays_again: bool = False, extra: Sequence[Event] = ()
) -> Outcome:
    """Deliver everything, in the order that `pick` chooses, with people who settle what is unknown.

    With `pays_again`, what is unknown is also ordered once more, and some of the tasks fail.
    """
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(loses=loses, fails=lambda: pays_again and pick(3) == 0)
        one = await studio(schemas, Path(folder), ledger, UnknownPolicy(pay_again=pays_again, wait_seconds=0.0))
        try:
            await one.post.send(*told_of_a_new_video(), *extra)
            settled: set[str] = set()
            for _ in range(500):
                waits = loses > 0 and await settle_unknowns(one, pick, settled, 12 if pays_again else 2)
                acts, pending = await one.due(), len(one.post.pending)
                if acts or pending:
                    number = pick(pending + len(acts))
                    await (one.post.deliver(number) if number < pending else one.act(acts[number - pending]))
                elif not waits:
                    break
            else:
                raise AssertionError(f"it does not end: {one.post.pending}")
            return Outcome(
                status=(await one.look("gateway", "SELECT status FROM videos"))[0],
                film=(await one.look("composer", "SELECT state FROM films"))[0],
                scenes=await one.look("render", "SELECT state FROM renders ORDER BY scene_number"),
                orders=len(one.ledger.orders),
                attempts=await one.look("render", "SELECT state FROM attempts"),
                held=len(await one.look("render", "SELECT attempt_id FROM spend WHERE reserved_usd > 0")),
            )
        finally:
            await one.close()


def in_any_order(examples: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    orders = st.integers(0, 2**32).map(lambda seed: Random(seed).randrange)  # noqa: S311 - no secret

    def wrap(test: Callable[..., None]) -> Callable[..., None]:
        tried = settings(max_examples=examples, deadline=None, database=None, phases=[Phase.generate])
        return tried(given(pick=orders)(test))

    return wrap


@in_any_order(8)
def test_a_film_completes_however_its_unknown_scenes_are_settled(schemas: Path, pick: Pick) -> None:
    outcome = asyncio.run(play(schemas, pick, loses=1))
    assert (outcome.status, outcome.film) == ("completed", "composed")
    assert outcome.scenes == ["rendered"] * len(SCENES)
    assert outcome.orders == len(SCENES) + outcome.attempts.count("FAILED"), "ordered again only what was given back"
    assert outcome.held == 0


@in_any_order(6)
def test_no_scene_is_left_running_however_its_orders_end_that_were_paid_again(schemas: Path, pick: Pick) -> None:
    outcome = asyncio.run(play(schemas, pick, loses=2, pays_again=True))
    assert outcome.status in ("failed", "completed")
    assert (outcome.scenes == ["rendered"] * len(SCENES)) == (outcome.status == "completed")
    assert "running" not in outcome.scenes
    assert ("failed" in outcome.scenes) == (outcome.status == "failed")
    assert outcome.held == 0


@in_any_order(4)
def test_a_film_completes_after_failures_elsewhere_are_redriven(schemas: Path, pick: Pick) -> None:
    died = VideoFailed(video_id=VIDEO, stage="composer", kind="k", reason="r")
    outcome = asyncio.run(play(schemas, pick, extra=[died, VideoResumed(video_id=VIDEO, epoch=1)]))
    assert (outcome.status, outcome.film, outcome.orders) == ("completed", "composed", len(SCENES))


@in_any_order(3)
def test_a_failure_after_a_resume_is_kept(schemas: Path, pick: Pick) -> None:
    first, second = (VideoFailed(video_id=VIDEO, stage="composer", kind="k", reason="r", epoch=n) for n in (0, 1))
    extra = [first, VideoResumed(video_id=VIDEO, epoch=1), second]
    outcome = asyncio.run(play(schemas, pick, extra=extra))
    assert outcome.status in ("failed", "completed")
    assert (outcome.status == "completed") == (outcome.film == "composed")


@in_any_order(8)
def test_a_cancelled_video_stays_cancelled_after_settlements(schemas: Path, pick: Pick) -> None:
    cancelled = VideoCancelled(video_id=VIDEO, by="me", reason="r")
    outcome = asyncio.run(play(schemas, pick, loses=1, extra=[cancelled]))
    assert (outcome.status, outcome.film) in (("cancelled", "cancelled"), ("completed", "composed"))
    assert not {"waiting", "running"} & set(outcome.scenes)
    assert outcome.held == 0
