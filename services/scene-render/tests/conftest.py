import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import delete, select, text

from scene_render import app as scene_render_app
from scene_render.attempts import polling
from scene_render.attempts.endings import UnknownPolicy
from scene_render.attempts.lease import Lease
from scene_render.attempts.service import Attempts
from scene_render.capacity.provider_selection import ProviderSelection
from scene_render.capacity.slots import provide_slots
from scene_render.clips.clip_ingest import ClipIngest
from scene_render.clips.order_files import OrderFiles
from scene_render.clips.picture_ingest import PictureIngest
from scene_render.dependencies import Dependencies
from scene_render.handlers import router
from scene_render.models import Attempt, Base, VideoStanding
from scene_render.providers.animatic import AnimaticProvider
from scene_render.providers.base import (
    Absent,
    Ended,
    Found,
    NotYet,
    Order,
    PictureOrder,
    Running,
    Succeeded,
    Unknowable,
)
from scene_render.providers.callbacks import Callbacks
from scene_render.providers.provider_registry import paid_provider
from scene_render.scheduling import time_limits
from scene_render.scheduling.claim import Claim, NoClaim
from scene_render.scheduling.scheduler import Scheduler
from scene_render.settings import Settings
from shared.catalogue.models import Model, ProviderModels
from shared.contracts.events import EVENTS, Event, SceneRequested
from shared.contracts.messages import Message
from shared.contracts.story import Scene
from shared.media.ffmpeg import Ffmpeg
from shared.messaging.event_router import Delivery
from shared.money.budget import Caps
from shared.persistence.database import Database, now
from shared.persistence.migration_files import folder_of
from shared.persistence.unit_of_work import transaction
from shared.process.supervisor import Supervisor
from shared.storage.folder import FolderStorage
from shared_testing.due_times import (
    CheckDue,
    Due,
    PayAgainDue,
    SceneOverdue,
    SubmissionOverdue,
    Times,
    bring_about,
    due_times,
)
from shared_testing.servers import delivery, migrated, published
from simulator.app import KEYS, api_urls, serving
from simulator.app import Settings as SimulatorSettings

FRAMES = 24
SPEED = 1000.0


def test_models(provider: str, price: str) -> ProviderModels:
    """A model for clips of 5 and 10 s at one price, from text or a picture, and one for pictures at 0.05 USD."""
    common: Any = {"provider": provider, "source": "a test", "as_of": date(2026, 11, 1), "ratios": {"16:9": "16:9"}}
    prices = {seconds: Decimal(price) for seconds in (5, 10)}
    endpoints = {"from_text": "text", "from_picture": "picture"}
    clip = Model(id="test-1.0", kind="clip", name="test-1.0", usd_by_seconds=prices, **endpoints, **common)
    picture = Model(
        id="picture-1.0", kind="picture", name="picture-1.0", usd=Decimal("0.05"), references=3, **endpoints, **common
    )
    return ProviderModels(
        provider=provider,
        models=(clip, picture),
        standard=clip,
        premium=clip,
        picture=picture,
        referenced_picture=picture,
    )


class Ledger:
    """A paid provider that records every task, with configurable answers."""

    concurrency = 2
    submit_seconds = 20.0
    usual_seconds = 30.0
    check_seconds = 5.0
    attempt_seconds = 60.0
    can_reconcile = False

    def __init__(self, name: str = "ledger", price: str = "0.75") -> None:
        self.name = name
        self.models = test_models(name, price)
        self.cancelled: list[str] = []
        self.orders: list[Order] = []
        self.taken: list[str] = []
        self.answer: Callable[[str], str] = lambda attempt_id: f"task-{attempt_id}"
        self.found: Found | Absent | NotYet | Unknowable = Unknowable()
        self.status: Any = Succeeded(cost=Decimal("0.60"))
        self.clip: Path | None = None
        self.picture: Path | None = None

    def lose_answers(self, error: Exception) -> None:
        """Accept tasks from now on without an answer."""

        def answer(_attempt_id: str) -> str:
            raise error

        self.answer = answer

    async def submit(self, attempt_id: str, order: Order) -> str:
        self.taken.append(attempt_id)
        self.orders.append(order)
        return self.answer(attempt_id)

    async def find(self, _attempt_id: str, _age: float) -> Found | Absent | NotYet | Unknowable:
        return self.found

    async def check(self, _task_id: str) -> Any:
        if isinstance(self.status, Exception):
            raise self.status
        return self.status

    async def fetch(self, task_id: str, target: Path) -> None:
        made = [order for attempt, order in zip(self.taken, self.orders, strict=True) if attempt in task_id]
        source = self.picture if made and isinstance(made[0], PictureOrder) else self.clip
        assert source is not None
        target.write_bytes(source.read_bytes())

    async def cancel(self, task_id: str) -> Ended | None:
        self.cancelled.append(task_id)
        return Ended(cost=Decimal(0))

    async def cancel_if_free(self, task_id: str) -> Ended | None:
        return await self.cancel(task_id) if isinstance(self.status, Running) and self.status.queued else None

    def task_of_callback(self, body: Any) -> str | None:
        return body.get("id")

    def task_id_of(self, said: str, _model: str | None) -> str:
        return said


class EphemeralPublisher:
    def __init__(self) -> None:
        self.events: list[Event] = []

    async def publish(self, event: Event) -> None:
        self.events.append(event)


class Rig:
    """The service's handlers on a database, with a recording provider."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.ledger, self.second = Ledger(), Ledger("second")
        self.ephemeral = EphemeralPublisher()
        self.storage, ffmpeg = FolderStorage(folder), Ffmpeg()
        animatic = AnimaticProvider(database, self.storage, ffmpeg, 2, None)
        self.providers: Any = {one.name: one for one in (self.ledger, self.second, animatic)}
        self.deps = Dependencies(
            database=database,
            attempts=Attempts(ProviderSelection(self.providers, ("ledger",)), Caps(None, None, None)),
            animatics=animatic,
            clips=ClipIngest(self.storage, ffmpeg, None),
            pictures=PictureIngest(self.storage, None),
            order_files=OrderFiles(self.storage, database, None),
            ephemeral=self.ephemeral,
        )
        self.database = database
        self.known: Times = {}

    @property
    def scheduler(self) -> Scheduler:
        return Scheduler(self.deps)

    async def use(self, *providers: Any, scale: float = 1 / SPEED) -> None:
        """Have these providers render, the preferred one first."""
        self.providers |= {provider.name: provider for provider in providers}
        self.configure(*(provider.name for provider in providers), scale=scale)
        await provide_slots(self.database, providers)

    def configure(self, *order: str, scale: float = 1.0, **caps: Decimal) -> None:
        """Have these providers render, within these caps."""
        limits = Caps(**{"video": None, "owner_day": None, "day": None, **caps})
        order = order or tuple(self.deps.attempts.selection.order)
        policy = self.deps.attempts.unknown_policy
        self.deps = replace(
            self.deps, attempts=Attempts(ProviderSelection(self.providers, order), limits, scale, policy)
        )

    def pay_again(self, day_usd: str = "10") -> None:
        """Allow a second order of scenes with an unknown first one."""
        policy = UnknownPolicy(pay_again=True, wait_seconds=0.0, day_usd=Decimal(day_usd))
        self.deps = replace(self.deps, attempts=replace(self.deps.attempts, unknown_policy=policy))

    async def deliver(self, event: Any, message_id: str | None = None) -> None:
        """Handle an event, or act on a due time."""
        if not isinstance(event, Message):
            await self._act_on(event)
            return
        [subscription] = [one for one in router.subscriptions if one.event is type(event)]
        at_hand: Delivery = delivery(subscription.consumer, message_id)
        await subscription.handler(event, at_hand, self.deps)

    async def _act_on(self, due: Due) -> None:
        if not await bring_about(self.database, due):
            return
        self.known = {one: moment for one, moment in self.known.items() if one != due}
        if isinstance(due, CheckDue | SubmissionOverdue):
            async with self.database.reading() as session:
                held = await session.scalar(select(Attempt.next_check_at).where(Attempt.id == str(due.attempt_id)))
            await polling.look_at(Lease(str(due.attempt_id), held), self.deps)
        elif isinstance(due, SceneOverdue):
            await time_limits.carry_out(self.database, self.deps.attempts)
        else:
            attempts = self.deps.attempts
            act = attempts.pay_again if isinstance(due, PayAgainDue) else attempts.release_slot
            async with transaction(self.database) as work:
                await act(work, await work.session.get_one(Attempt, str(due.attempt_id)))

    async def start(self, provider: str = "ledger") -> Claim | NoClaim | None:
        """Start the next scene, as a provider's scheduler does, and wait for the provider's answer."""
        await self.release_scenes()
        if not self.deps.attempts.selection.takes_new(provider):
            async with transaction(self.database) as work:
                await self.deps.attempts.selection.move_waiting(work, provider)
            return None
        try:
            return await self.scheduler.start_next(self.providers[provider])
        finally:
            await asyncio.gather(*self.deps.shielded.tasks)

    async def release_scenes(self) -> None:
        """Release the paused scenes of resumed videos."""
        resumed = select(VideoStanding.video_id).where(VideoStanding.release_scenes_at.is_not(None))
        async with self.database.reading() as session:
            videos = (await session.execute(resumed)).scalars().all()
        for video_id in videos:
            async with transaction(self.database) as work:
                await time_limits.release_scenes(work, video_id, 3600.0)

    async def published(self) -> list[Any]:
        """Return the events since the last call, and the due times that are new or have changed."""
        before, self.known = self.known, await due_times(self.database)
        changed = [due for due, moment in self.known.items() if before.get(due) != moment]
        return [*await published(self.database), *changed]

    async def play(self, until: Callable[[list[Event]], bool], seconds: float = 30) -> list[Event]:
        """Run the schedulers and handle messages until the emitted events satisfy `until`. Returns the events."""
        outbox, emitted = Base.metadata.tables["outbox"], []
        handled = {one.event.name: one.event for one in router.subscriptions}
        others = {event.name: event for event in EVENTS}
        due = select(outbox).where(outbox.c.available_at <= now()).order_by(outbox.c.available_at, outbox.c.id)
        supervisor = Supervisor("scene-render")
        supervisor.start(*self.scheduler.background)
        try:
            async with asyncio.timeout(seconds):
                while not until(emitted):
                    async with self.database.sessions.begin() as session:
                        rows = (await session.execute(due)).all()
                    for row in rows:
                        if row.name in handled:
                            await self.deliver(handled[row.name].model_validate_json(row.body), row.message_id)
                        if row.name in others:
                            emitted.append(others[row.name].model_validate_json(row.body))
                        async with self.database.sessions.begin() as session:
                            await session.execute(delete(outbox).where(outbox.c.id == row.id))
                    await asyncio.sleep(0.005)
        finally:
            await supervisor.stop()
            await asyncio.gather(*self.deps.shielded.tasks)
        return emitted

    async def pass_time(self, seconds: float) -> None:
        """Make all that was ordered, and all that is due later, older (SQLite)."""
        async with self.database.sessions.begin() as session:
            for table, column in (
                ("attempts", "intended_at"),
                ("attempts", "next_check_at"),
                ("outbox", "available_at"),
            ):
                earlier = f"strftime('%Y-%m-%d %H:%M:%f000', {column}, '-{seconds} seconds')"
                await session.execute(text(f"UPDATE {table} SET {column} = {earlier}"))

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        async with self.database.reading() as session:
            return [tuple(row) for row in await session.execute(text(query))]


class Simulated:
    """Simulated providers, faster than life, and their control API."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.control = httpx.AsyncClient(base_url=f"{url}/control", trust_env=False, timeout=10)

    def provider(self, name: Any, callbacks: Callbacks | None = None, **settings: Any) -> Any:
        """A provider's adapter, at the simulator."""
        chosen = Settings(**{
            "database_url": "sqlite://", "storage_url": "file:///nowhere", "video_api_provider": name,
            "video_api_url": api_urls(self.url)[name], "video_api_key": KEYS[name],
            "submit_seconds": 20.0, "simulator_speed": SPEED, **settings,
        })  # fmt: skip
        provider: Any = paid_provider(name, chosen, callbacks or Callbacks("", b"secret"))
        # Of life, at this speed, less than a busy machine needs to look.
        provider.attempt_seconds = 20.0
        return provider

    async def wrong(self, operation: str, **fault: Any) -> None:
        """Have something go wrong."""
        answer = await self.control.post("/faults", json={"operation": operation, **fault})
        assert answer.status_code == 204, answer.text

    async def tasks(self) -> list[dict[str, Any]]:
        """What was ordered, by the providers' own record."""
        return (await self.control.get("/ledger")).json()["tasks"]

    async def posts(self) -> int:
        """How many orders came in, by the simulator's record of requests."""
        noted = (await self.control.get("/requests")).json()["requests"]
        return sum(1 for one in noted if one["operation"] == "create")


@pytest.fixture(scope="session")
def drawn_clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where simulators keep the clips they have drawn."""
    return tmp_path_factory.mktemp("clips")


@pytest.fixture
async def simulated(drawn_clips: Path) -> AsyncIterator[Simulated]:
    async with serving(SimulatorSettings(port=0, speed=SPEED, captions=False, clips=drawn_clips)) as url:
        simulated = Simulated(url)
        yield simulated
        await simulated.control.aclose()


@contextlib.asynccontextmanager
async def _rig(url: str, folder: Path, *, migrate: bool = True) -> AsyncIterator[Rig]:
    async with contextlib.AsyncExitStack() as stack:
        if migrate:
            schema = migrated(url, Base.metadata, folder_of(scene_render_app.__file__))
            database = await stack.enter_async_context(schema)
        else:
            database = Database(url, Base.metadata)
            stack.push_async_callback(database.close)
        rig = Rig(database, folder)
        await provide_slots(database, rig.deps.providers.values())
        yield rig


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the schema, to be copied."""
    path = tmp_path_factory.mktemp("schema") / "r.db"

    async def make() -> None:
        async with migrated(f"sqlite+aiosqlite:///{path}", Base.metadata, folder_of(scene_render_app.__file__)):
            """Nothing to do in it."""

    asyncio.run(make())
    return path


@pytest.fixture
async def sqlite_rig(tmp_path: Path, empty_database: Path) -> AsyncIterator[Rig]:
    shutil.copy(empty_database, tmp_path / "r.db")
    async with _rig(f"sqlite+aiosqlite:///{tmp_path}/r.db", tmp_path / "media", migrate=False) as rig:
        yield rig


@pytest.fixture
async def mariadb_rig(sql_server, schema, tmp_path: Path) -> AsyncIterator[Rig]:
    async with _rig(sql_server.url(schema()), tmp_path / "media") as rig:
        yield rig


@pytest.fixture(params=["sqlite_rig", pytest.param("mariadb_rig", marks=pytest.mark.connected)])
def rig(request: pytest.FixtureRequest) -> Rig:
    rig: Rig = request.getfixturevalue(request.param)
    return rig


@pytest.fixture
def scene() -> Callable[..., SceneRequested]:
    def requested(number: int = 1, video: int = 1, **changes: Any) -> SceneRequested:
        return SceneRequested(
            **{
                "video_id": UUID(int=video),
                "scene": Scene(
                    scene_number=number, description="d", camera_angle="wide", duration=1, action="a", transition="cut"
                ),
                "scene_count": 5,
                "shot_prompt": "p",
                "clip_frames": FRAMES,
                "aspect_ratio": "16:9",
                "niche": "food",
                "owner": "o",
                "priority": "interactive",
                **changes,
            }
        )

    return requested
