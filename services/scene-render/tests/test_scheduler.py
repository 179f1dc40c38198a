"""Schedulers claim due rows without messages, none twice, and providers do not delay each other."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, text
from sqlalchemy.engine import Engine

from scene_render import app as scene_render_app
from scene_render.attempts import lease, polling, submission
from scene_render.capacity.slots import provide_slots
from scene_render.internal_messages import ClipReady
from scene_render.models import Base
from scene_render.providers.base import Absent, Running, SubmissionRefused, Unknowable
from scene_render.scheduling import claim, due
from scene_render.scheduling.scheduler import Scheduler
from scene_render.settings import Settings
from shared.contracts.events import SceneDelayed, SceneFailed, SceneRequested, VideoFailed, VideoResumed
from shared.persistence.database import Database
from shared.persistence.migration_files import folder_of
from shared.persistence.migrations import migrate
from shared.process.supervisor import Supervisor
from shared.worker import Worker
from shared_testing.due_times import CheckDue, SubmissionOverdue
from shared_testing.servers import eventually

Scene = Callable[..., SceneRequested]
pytestmark = pytest.mark.slow

STATES = "SELECT state FROM renders ORDER BY video_id, scene_number"
IDLE_SECONDS = 10.0


def of(kind: type, events: list[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


@contextlib.asynccontextmanager
async def scheduling(rig: Any, *schedulers: Scheduler) -> AsyncIterator[None]:
    """Run the schedulers of one process, or of several."""
    supervisor = Supervisor("scene-render")
    for scheduler in schedulers or (rig.scheduler,):
        supervisor.start(*scheduler.background)
    try:
        yield
    finally:
        await supervisor.stop()
        await asyncio.gather(*rig.deps.shielded.tasks)


async def ask(rig: Any, scene: Scene, videos: int, scenes: int = 5) -> None:
    for video in range(1, videos + 1):
        for number in range(1, scenes + 1):
            await rig.deliver(scene(number, video=video))
    await rig.published()


# --- scenes that wait


async def test_added_slots_are_all_used_after_a_restart(rig: Any, scene: Scene) -> None:
    rig.ledger.status = Running()
    await ask(rig, scene, videos=10)
    async with scheduling(rig):
        await eventually(lambda: len(rig.ledger.taken) == 2, what="two slots are used")
    rig.ledger.concurrency = 10
    began = time.monotonic()
    async with scheduling(rig):
        await provide_slots(rig.database, [rig.ledger])
        rig.database.changed.set()
        await eventually(lambda: len(rig.ledger.taken) == 10, what="ten slots are used", every=0.02)
        print(f"ten slots are used {time.monotonic() - began:.2f} s after the restart")  # noqa: T201
        await asyncio.sleep(0.3)
    assert len(set(rig.ledger.taken)) == 10
    assert (await rig.rows(STATES)).count(("running",)) == 10


async def test_scenes_start_without_a_wake_up(rig: Any, scene: Scene) -> None:
    rig.database.changed.set = lambda: None
    async with scheduling(rig):
        await asyncio.sleep(0.1)
        await ask(rig, scene, videos=1, scenes=2)
        await eventually(lambda: len(rig.ledger.taken) == 2, what="both are started")


async def test_when_a_scene_ends_the_next_one_starts(rig: Any, scene: Scene) -> None:
    rig.ledger.check_seconds = rig.ledger.usual_seconds = 0.01
    await ask(rig, scene, videos=2)
    async with scheduling(rig):
        await eventually(lambda: len(rig.ledger.taken) == 10, what="all are started, two at a time")
    assert len(set(rig.ledger.taken)) == 10


@pytest.mark.connected
async def test_temporarily_locked_scenes_start_later(mariadb_rig: Any, scene: Scene) -> None:
    rig = mariadb_rig
    await ask(rig, scene, videos=1, scenes=2)
    async with scheduling(rig):
        async with rig.database.sessions.begin() as other:
            assert len((await other.execute(text("SELECT state FROM renders FOR UPDATE"))).all()) == 2
            assert await rig.start() is claim.NoClaim.LOCKED
            await asyncio.sleep(1.0)
            assert rig.ledger.taken == []
        await eventually(lambda: len(rig.ledger.taken) == 2, what="both are started")


@pytest.mark.connected
async def test_concurrent_processes_never_order_a_scene_twice(mariadb_rig: Any, scene: Scene) -> None:
    rig = mariadb_rig
    rig.ledger.status, rig.ledger.concurrency = Running(), 20
    await provide_slots(rig.database, [rig.ledger])
    await ask(rig, scene, videos=6)
    async with scheduling(rig, *(Scheduler(rig.deps) for _ in range(4))):
        await eventually(lambda: len(rig.ledger.taken) >= 20, what="all slots are used")
        await asyncio.sleep(0.5)
    assert len(rig.ledger.taken) == len(set(rig.ledger.taken)) == 20
    ordered = await rig.rows("SELECT DISTINCT video_id, scene_number FROM attempts")
    assert len(ordered) == 20


async def test_a_scene_that_cannot_be_started_blocks_no_other(
    rig: Any, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ask(rig, scene, videos=1, scenes=3)
    intend = type(rig.deps.attempts).intend

    async def fail(self: Any, work: Any, render: Any, *arguments: Any) -> Any:
        if render.scene_number == 1:
            raise LookupError("there is no price")
        return await intend(self, work, render, *arguments)

    monkeypatch.setattr(type(rig.deps.attempts), "intend", fail)
    async with scheduling(rig):
        await eventually(lambda: len(rig.ledger.taken) == 2, what="the others are started")
    assert (await rig.rows(STATES))[0] == ("waiting",)


async def test_a_scene_of_a_failed_video_is_paused_until_it_is_resumed(rig: Any, scene: Scene) -> None:
    await ask(rig, scene, videos=1, scenes=2)
    await rig.deliver(VideoFailed(video_id=UUID(int=1), stage="composer", kind="k", reason="r"))
    await rig.start()
    await rig.start()
    assert await due.look(rig.database, rig.providers) == due.Due(), "nothing looks at it again"
    assert await rig.published() == [], "nothing comes back for it"
    async with scheduling(rig):
        await rig.deliver(VideoResumed(video_id=UUID(int=1), epoch=1))
        await eventually(lambda: len(rig.ledger.taken) == 2, what="both are started")


async def test_scenes_of_an_unconfigured_provider_move_to_others(sqlite_rig: Any, scene: Scene) -> None:
    rig = sqlite_rig
    await ask(rig, scene, videos=1, scenes=2)
    del rig.providers["ledger"]
    rig.configure("second")
    async with scheduling(rig):
        await eventually(lambda: len(rig.second.taken) == 2, what="both are started by the other provider")


async def test_a_rejected_scene_fails_without_a_message(rig: Any, scene: Scene) -> None:
    rig.ledger.lose_answers(SubmissionRefused("invalid_request", "No such shape."))
    await ask(rig, scene, videos=1, scenes=1)
    emitted = await rig.play(lambda emitted: bool(of(SceneFailed, emitted)))
    assert of(SceneFailed, emitted)[0].reason == "No such shape."


# --- one order, whatever happens


@pytest.mark.parametrize("change", ["state = 'UNKNOWN'", "posts = 2", "intended_at = '2020-01-01 00:00:00.000000'"])
async def test_an_order_reconciled_by_another_process_is_not_sent(
    sqlite_rig: Any, scene: Scene, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """The process was frozen after INTENT, and its own clock does not show it."""
    rig = sqlite_rig
    may_send = submission._may_send

    async def freeze(*arguments: Any) -> bool:
        async with rig.database.sessions.begin() as session:
            await session.execute(text(f"UPDATE attempts SET {change}"))
        return await may_send(*arguments)

    monkeypatch.setattr(submission, "_may_send", freeze)
    await ask(rig, scene, videos=1, scenes=1)
    await rig.start()
    assert rig.ledger.taken == []


async def test_an_order_is_not_sent_without_a_confirmation_from_the_database(
    sqlite_rig: Any, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = sqlite_rig

    def away(self: Any) -> Any:
        raise ConnectionError("away")

    await ask(rig, scene, videos=1, scenes=1)
    monkeypatch.setattr(Database, "reading", away)
    await rig.scheduler.start_next(rig.ledger)
    await asyncio.gather(*rig.deps.shielded.tasks)
    monkeypatch.undo()
    assert rig.ledger.taken == []
    assert await rig.rows(STATES) == [("waiting",)]


# --- attempts that are due


async def start_one(rig: Any, scene: Scene) -> CheckDue:
    await ask(rig, scene, videos=1, scenes=1)
    await rig.start()
    [check] = of(CheckDue, await rig.published())
    assert isinstance(check, CheckDue)
    return check


async def make_due(rig: Any) -> None:
    async with rig.database.sessions.begin() as session:
        await session.execute(text("UPDATE attempts SET next_check_at = '2020-01-01 00:00:00.000000'"))


async def test_an_attempt_is_checked_by_another_process_after_a_crash(
    rig: Any, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE_SECONDS", 0.5)
    await start_one(rig, scene)
    await make_due(rig)
    async with rig.database.sessions.begin() as session:
        assert len(await lease.take(session, "ledger", 8)) == 1
        assert await lease.take(session, "ledger", 8) == []
    async with scheduling(rig):
        await eventually(lambda: rig.rows("SELECT 1 FROM attempts WHERE state = 'SUCCEEDED'"), what="it is seen")


async def test_a_long_check_keeps_its_lease(rig: Any, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LEASE_SECONDS", 2.0)
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.2)
    await start_one(rig, scene)
    looks = []
    answer = asyncio.Event()

    async def check(task_id: str) -> Any:
        looks.append(task_id)
        await answer.wait()
        return rig.ledger.status

    rig.ledger.check = check
    await make_due(rig)
    async with scheduling(rig, Scheduler(rig.deps), Scheduler(rig.deps)):
        await eventually(lambda: looks, what="it is looked at")
        await asyncio.sleep(3.0)
        assert len(looks) == 1
        answer.set()
        await eventually(lambda: rig.rows("SELECT 1 FROM attempts WHERE state = 'SUCCEEDED'"), what="it is seen")
    assert len(of(ClipReady, await rig.published())) == 1


async def test_a_provider_that_hangs_delays_no_other(rig: Any, scene: Scene) -> None:
    never = asyncio.Event()

    async def hang(*_: object) -> Any:
        await never.wait()
        raise ConnectionError("it never answered")

    rig.ledger.concurrency = rig.second.concurrency = 30
    await rig.use(rig.ledger, rig.second, scale=1.0)
    rig.second.check_seconds = rig.second.usual_seconds = 0.01
    for video in range(1, 21):
        await rig.deliver(scene(1, video=video))
    async with scheduling(rig):
        await eventually(lambda: len(rig.ledger.taken) == 20, what="all are at the first provider")
        rig.ledger.check = rig.ledger.submit = hang
        await make_due(rig)
        for video in range(21, 61):
            await rig.deliver(scene(1, video=video, providers=("ledger",) if video <= 40 else ("second",)))
        done = "SELECT COUNT(*) FROM attempts WHERE provider = 'second' AND state = 'SUCCEEDED'"
        await eventually(lambda: _is(rig, done, 20), what="the second provider's scenes are rendered")
        never.set()
    assert len(rig.second.taken) == 20


async def _is(rig: Any, query: str, count: int) -> bool:
    return bool(await rig.rows(query) == [(count,)])


async def test_a_check_that_fails_unexpectedly_is_repeated_later(rig: Any, scene: Scene) -> None:
    check = await start_one(rig, scene)
    rig.ledger.status = ValueError("what is this?")
    await rig.deliver(check)
    assert of(CheckDue, await rig.published()) == [check]
    assert await rig.rows("SELECT state FROM attempts") == [("SUBMITTED",)]


async def test_an_order_at_a_provider_without_a_key_waits_for_the_key(sqlite_rig: Any, scene: Scene) -> None:
    rig = sqlite_rig
    rig.ledger.lose_answers(ConnectionError())
    await ask(rig, scene, videos=1, scenes=1)
    await rig.start()
    [overdue] = of(SubmissionOverdue, await rig.published())
    ledger = rig.providers.pop("ledger")
    rig.configure("second")
    await make_due(rig)
    emitted = await rig.play(lambda emitted: bool(of(SceneDelayed, emitted)))
    assert "set LEDGER_API_KEY" in of(SceneDelayed, emitted)[0].reason
    rig.providers["ledger"] = ledger
    ledger.found, ledger.answer = Absent(), lambda _: "task-2"
    await rig.deliver(overdue)
    assert await rig.rows("SELECT state, task_id FROM attempts") == [("SUBMITTED", "task-2")]
    assert rig.second.taken == []


async def test_after_hours_without_a_key_a_person_settles_the_order(
    sqlite_rig: Any, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = sqlite_rig
    rig.ledger.found = Unknowable()
    check = await start_one(rig, scene)
    rig.configure("second")
    del rig.providers["ledger"]
    monkeypatch.setattr(polling, "SILENCE_SECONDS", -1)
    await rig.deliver(check)
    [failed] = of(SceneFailed, await rig.published())
    assert (failed.kind, "set LEDGER_API_KEY" in failed.reason) == ("submission_unknown", True)


# --- what it costs to have nothing to do


@pytest.mark.connected
async def test_an_idle_process_sends_few_queries(rabbitmq: Any, sql_server: Any, schema: Any, tmp_path: Path) -> None:
    settings = Settings(
        database_url=sql_server.url(schema()), broker_url=rabbitmq().url, storage_url=tmp_path.as_uri(),
        video_api_provider="luma", video_api_key="luma-1", runway_api_key="key_1", health_port=0,
    )  # fmt: skip
    migrations = folder_of(str(scene_render_app.__file__))
    database = Database(settings.database_url.get_secret_value(), Base.metadata)
    await migrate(database, migrations)
    await database.close()
    counted: dict[str, int] = {}

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        counted[statement] = counted.get(statement, 0) + 1

    worker = Worker(lambda ephemeral: scene_render_app.build(settings, ephemeral), settings, migrations)
    async with worker.running():
        await asyncio.sleep(3.0)  # until the start is over
        event.listen(Engine, "before_cursor_execute", count)
        try:
            await asyncio.sleep(IDLE_SECONDS)
        finally:
            event.remove(Engine, "before_cursor_execute", count)
    per_second = sum(counted.values()) / IDLE_SECONDS
    print(f"an idle process executes {per_second:.2f} statements per second")  # noqa: T201
    assert 0 < per_second <= 2, counted
