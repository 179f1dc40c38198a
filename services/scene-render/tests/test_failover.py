"""Failover to the next provider, only where nothing is paid twice."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from scene_render.app import build
from scene_render.attempts import polling_policy as pace
from scene_render.capacity import circuit_breaker as breaker
from scene_render.capacity.routing import choose
from scene_render.internal_messages import ClipReady
from scene_render.providers.base import Failed, Lost, SubmissionDeferred, SubmissionRefused
from scene_render.settings import Settings
from shared.contracts.events import SceneDelayed, SceneFailed, SceneRequested, SceneStarted, VideoFailed, VideoResumed
from shared.contracts.media import MediaReference
from shared.messaging.errors import StepFailed
from shared.messaging.event_router import NullPublisher
from shared.storage.errors import StorageUnavailable
from shared_testing.due_times import CheckDue, SceneOverdue

Scene = Callable[..., SceneRequested]
WHERE = "SELECT provider, state FROM renders ORDER BY scene_number"
ATTEMPTS = "SELECT provider, state FROM attempts ORDER BY number"


def of(kind: type, events: list[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


async def offer(rig: Any, provider: str = "ledger") -> list[Any]:
    await rig.start(provider)
    return await rig.published()


@pytest.fixture
def rig(sqlite_rig: Any) -> Any:
    """What is about rows and locks is tested on MariaDB too, in test_paid_step.py."""
    return sqlite_rig


@pytest.fixture
async def both(rig: Any) -> Any:
    """A rig with two providers, `ledger` preferred."""
    rig.configure("ledger", "second")
    return rig


def test_a_provider_with_an_open_circuit_is_the_last_choice() -> None:
    assert choose(("a", "b"), (), ()) == "a"
    assert choose(("a", "b"), (), ("a",)) == "b"
    assert choose(("a", "b"), ("b",), ("a",)) == "a"
    assert choose(("a", "b"), (), ("b", "a")) == "b"
    assert choose(("a",), ("a",), ()) is None


def test_pauses_grow_to_a_limit_and_retry_after_overrides_them() -> None:
    assert [breaker.pause("auth", n, None) for n in (1, 2, 3, 9)] == [60, 120, 240, 600]
    assert [breaker.pause("outage", n, None) for n in (3, 4, 9)] == [5, 10, 120]
    assert breaker.pause("rate_limit", 1, 42.0) == 42
    assert [breaker.opens("outage", n) for n in (1, 2, 3)] == [False, False, True]


def test_polls_are_most_frequent_around_the_usual_time() -> None:
    assert pace.first_look(100, 5) == 75
    assert pace.first_look(1, 5) == 5
    assert [pace.next_look(elapsed, 100, 5) for elapsed in (0, 70, 80, 200, 1000)] == [75, 5, 10, 25, 225]
    assert pace.usual(60, []) == 60
    assert pace.usual(60, [10, 30, 20]) == 20


@pytest.mark.parametrize("kind", ["auth", "credits", "rate_limit"])
async def test_a_scene_moves_to_the_next_provider_when_the_first_accepts_none(
    both: Any, scene: Scene, kind: Any
) -> None:
    both.ledger.lose_answers(SubmissionDeferred(kind, "Not now."))
    await both.deliver(scene(1))
    await both.deliver(scene(2))
    await both.published()
    await offer(both)
    assert await both.rows(WHERE) == [("second", "waiting"), ("second", "waiting")]
    for _ in range(2):
        await both.start("second")
    assert (len(both.ledger.taken), len(both.second.taken)) == (1, 2)
    later = await both.published()
    assert len(of(SceneStarted, later)) == 2
    await both.deliver(scene(3))
    assert await both.rows("SELECT provider FROM renders WHERE scene_number = 3") == [("second",)]


async def test_an_unanswered_submission_is_not_sent_to_another_provider(both: Any, scene: Scene) -> None:
    both.ledger.lose_answers(ConnectionError())
    await both.deliver(scene())
    await offer(both)
    await offer(both, "second")
    assert await both.rows(ATTEMPTS) == [("ledger", "INTENT")]
    assert both.second.taken == []


async def test_three_unanswered_submissions_open_the_circuit(both: Any, scene: Scene) -> None:
    both.ledger.concurrency = 5
    await both.use(both.ledger, both.second, scale=1.0)
    both.ledger.lose_answers(ConnectionError())
    for n in range(1, 6):
        await both.deliver(scene(n))
    for _ in range(5):
        await offer(both)
    assert len(both.ledger.taken) == 3
    assert [row for row in await both.rows(WHERE) if row == ("second", "waiting")] == [("second", "waiting")] * 2


async def test_a_failed_task_is_retried_at_the_next_provider(both: Any, scene: Scene) -> None:
    await both.deliver(scene())
    await both.published()
    for _ in range(3):
        [check] = of(CheckDue, await offer(both))
        both.ledger.status = Failed("transient", "It broke.", Decimal(0), again=True)
        await both.deliver(check)
        await both.rows("SELECT 1")
        async with both.database.sessions.begin() as session:
            await session.execute(text("UPDATE renders SET available_at = '2020-01-01 00:00:00'"))
        await both.published()
    assert await both.rows(WHERE) == [("second", "waiting")]
    assert len(both.ledger.taken) == 3
    await offer(both, "second")
    assert len(both.second.taken) == 1


async def test_a_scene_that_one_provider_cannot_render_moves_to_another(both: Any, scene: Scene) -> None:
    both.ledger.lose_answers(SubmissionRefused("invalid_request", "No such shape."))
    await both.deliver(scene())
    await offer(both)
    await offer(both, "second")
    assert await both.rows(ATTEMPTS) == [("ledger", "FAILED"), ("second", "SUBMITTED")]


async def test_moderated_content_is_not_sent_to_another_provider(both: Any, scene: Scene) -> None:
    both.ledger.lose_answers(SubmissionRefused("moderation", "Not with us."))
    await both.deliver(scene())
    [failed] = of(SceneFailed, await offer(both))
    assert failed.kind == "moderation"
    assert both.second.taken == []


def with_first_frame(scene: Scene, number: int) -> SceneRequested:
    frame = MediaReference(key="uploads/frame.jpg", content_type="image/jpeg", size=1, sha256="0" * 64)
    return scene(number, first_frame=frame)


@pytest.mark.parametrize("away", [StorageUnavailable("away"), TimeoutError()])
async def test_a_scene_waits_for_its_first_frame_during_a_storage_outage(
    rig: Any, scene: Scene, away: Exception
) -> None:
    async def get(*_: object) -> None:
        raise away

    rig.storage.get = get
    rig.configure("ledger", scale=1e-5)
    await rig.deliver(with_first_frame(scene, 1))
    for _ in range(4):
        await offer(rig)
    assert await rig.rows("SELECT state, failures, cost_usd FROM renders") == [("waiting", 0, 0)]
    assert await rig.rows("SELECT SUM(reserved_usd), SUM(booked_usd) FROM spend") == [(0, 0)]
    assert await rig.rows("SELECT COUNT(*) FROM provider_slots WHERE attempt_id IS NOT NULL") == [(0,)]

    async def back(_reference: MediaReference, target: Path) -> None:
        target.write_bytes(b"picture")

    rig.storage.get = back
    await offer(rig)
    assert len(rig.ledger.taken) == 1


@pytest.mark.parametrize("refusal", [None, SubmissionRefused("invalid_request", "Too large.", asked=False)])
async def test_only_an_answer_closes_the_circuit(rig: Any, scene: Scene, refusal: SubmissionRefused | None) -> None:
    async with rig.database.sessions.begin() as session:
        open_circuit = "failures = 3, kind = 'auth', reason = 'r', open_until = '2020-01-01 00:00:00'"
        await session.execute(text(f"UPDATE provider_states SET {open_circuit} WHERE provider = 'ledger'"))
    if refusal is None:
        await rig.deliver(with_first_frame(scene, 1))  # which is not stored
    else:
        rig.ledger.lose_answers(refusal)
        await rig.deliver(scene())
    await offer(rig)
    assert await rig.rows("SELECT failures, kind FROM provider_states WHERE provider = 'ledger'") == [(3, "auth")]


async def test_after_a_pause_one_scene_probes_the_provider_and_the_others_follow(rig: Any, scene: Scene) -> None:
    rig.configure("ledger", scale=0.002)
    rig.ledger.lose_answers(SubmissionDeferred("auth", "Not your key."))
    for n in (1, 2, 3):
        await rig.deliver(scene(n))
    emitted = await rig.play(lambda emitted: len(of(SceneDelayed, emitted)) == 3)
    assert {event.reason for event in of(SceneDelayed, emitted)} == {"Not your key."}
    rig.ledger.answer = lambda attempt_id: f"task-{attempt_id}"
    await rig.play(lambda emitted: len(of(SceneStarted, emitted)) == 2)
    assert len(set(rig.ledger.taken)) <= 5
    assert (await rig.rows("SELECT failures, open_until FROM provider_states WHERE provider = 'ledger'")) == [(0, None)]


async def test_a_starved_scene_fails_with_the_reason(rig: Any, scene: Scene) -> None:
    rig.ledger.lose_answers(SubmissionDeferred("credits", "The account has no credit left."))
    await rig.deliver(scene())
    await offer(rig)
    overdue = SceneOverdue(UUID(int=1), 1)
    await rig.deliver(overdue)
    assert of(SceneOverdue, await rig.published()) == [overdue], "it was given up before its time"
    async with rig.database.sessions.begin() as session:
        await session.execute(text("UPDATE renders SET delayed_since = '2020-01-01 00:00:00'"))
    await rig.deliver(overdue)
    assert of(SceneFailed, await rig.published()) == [], "it took something since, from others"
    async with rig.database.sessions.begin() as session:
        await session.execute(text("UPDATE provider_states SET failing_since = '2020-01-01 00:00:00'"))
    await rig.deliver(overdue)
    [failed] = of(SceneFailed, await rig.published())
    assert (failed.kind, failed.cost_usd) == ("credits", 0)
    assert failed.reason == "ledger took nothing for 60 minutes: The account has no credit left."


async def test_a_scene_does_not_starve_while_another_provider_accepts_tasks(both: Any, scene: Scene) -> None:
    both.ledger.lose_answers(SubmissionDeferred("credits", "The account has no credit left."))
    await both.deliver(scene())
    await offer(both)
    async with both.database.sessions.begin() as session:
        long_ago = "'2020-01-01 00:00:00'"
        await session.execute(
            text(f"UPDATE renders SET provider = 'ledger', delayed_since = {long_ago}, give_up_at = {long_ago}")
        )
        await session.execute(text(f"UPDATE provider_states SET failing_since = {long_ago}"))
    await both.deliver(SceneOverdue(UUID(int=1), 1))
    emitted = await both.published()
    assert of(SceneFailed, emitted) == []
    assert await both.rows(WHERE) == [("second", "waiting")]


async def test_a_scene_that_waits_for_a_slot_does_not_starve(rig: Any, scene: Scene) -> None:
    await rig.deliver(scene())
    await rig.deliver(SceneOverdue(UUID(int=1), 1))
    assert of(SceneFailed, await rig.published()) == []


async def test_scenes_of_a_removed_provider_move_to_others(both: Any, scene: Scene) -> None:
    await both.deliver(scene())
    both.configure("second")
    await offer(both)
    assert await both.rows(WHERE) == [("second", "waiting")]
    await both.start("second")
    assert len(both.second.taken) == 1


async def test_a_removed_provider_finishes_its_tasks_and_gets_no_new_ones(both: Any, scene: Scene) -> None:
    await both.deliver(scene(1))
    [check] = of(CheckDue, await offer(both))
    await both.deliver(scene(2))
    both.configure("second")
    await both.deliver(check)
    assert len(of(ClipReady, await both.published())) == 1
    await offer(both)
    await offer(both, "second")
    assert (len(both.ledger.taken), len(both.second.taken)) == (1, 1)


async def test_tasks_of_a_provider_without_a_key_name_the_setting_and_continue_once_it_is_set(
    both: Any, scene: Scene
) -> None:
    await both.deliver(scene())
    emitted = await offer(both)
    both.configure("second")
    ledger = both.providers.pop("ledger")
    [check] = of(CheckDue, emitted)
    await both.deliver(check)
    [delayed] = of(SceneDelayed, await both.published())
    assert (delayed.kind, "LEDGER_API_KEY" in delayed.reason) == ("key_missing", True)
    await both.deliver(check)
    assert of(SceneDelayed, await both.published()) == [], "published once"
    assert await both.rows(ATTEMPTS) == [("ledger", "SUBMITTED")]
    both.providers["ledger"] = ledger
    await both.deliver(check)
    [ready] = of(ClipReady, await both.published())
    del both.providers["ledger"]
    with pytest.raises(StepFailed, match="set LEDGER_API_KEY"):
        await both.deliver(ready)
    assert await both.rows(ATTEMPTS) == [("ledger", "SUCCEEDED")]
    assert both.second.taken == []


def test_providers_with_a_key_exist_and_the_settings_select_those_for_new_scenes(tmp_path: Path) -> None:
    settings = Settings(
        database_url="sqlite+aiosqlite://", storage_url=f"file://{tmp_path}", video_api_provider="luma",
        video_api_key="luma-1", runway_api_key="key_1", runway_model="one-without-a-price",
    )  # fmt: skip
    deps = build(settings, NullPublisher()).deps
    assert set(deps.providers) == {"animatic", "luma", "runway"}
    assert deps.attempts.selection.order == ("luma",)


async def test_waiting_scenes_move_to_a_recovered_provider(both: Any, scene: Scene) -> None:
    both.configure("ledger", "second", scale=0.002)
    for provider in (both.ledger, both.second):
        provider.lose_answers(SubmissionDeferred("auth", "Not your key."))
    for n in (1, 2, 3):
        await both.deliver(scene(n))
    await both.play(lambda emitted: len(of(SceneDelayed, emitted)) >= 3)
    both.second.answer = lambda attempt_id: f"task-{attempt_id}"
    started = of(SceneStarted, await both.play(lambda emitted: len(of(SceneStarted, emitted)) == 2))
    assert {event.provider for event in started} == {"second"}


async def test_a_task_that_its_provider_lost_is_not_ordered_elsewhere(both: Any, scene: Scene) -> None:
    await both.deliver(scene())
    [check] = of(CheckDue, await offer(both))
    both.ledger.status = Lost()
    await both.deliver(check)
    assert await both.rows(ATTEMPTS) == [("ledger", "SUBMITTED")], "it may only not be known yet"
    async with both.database.sessions.begin() as session:
        await session.execute(text("UPDATE attempts SET intended_at = '2020-01-01 00:00:00'"))
    await both.deliver(check)
    [failed] = of(SceneFailed, await both.published())
    assert failed.kind == "submission_unknown"
    assert both.second.taken == []


async def test_a_scene_queued_during_the_cancellation_is_never_paid(rig: Any, scene: Scene) -> None:
    await rig.deliver(scene())
    async with rig.database.sessions.begin() as session:
        # As if the cancelling had looked before the scene was there.
        await session.execute(text(f"INSERT INTO cancelled_videos VALUES ('{UUID(int=1)}')"))
    await offer(rig)
    assert rig.ledger.taken == []
    assert await rig.rows("SELECT state FROM renders") == [("cancelled",)]


async def test_a_resumed_video_gets_its_permanent_failures_again(rig: Any, scene: Scene) -> None:
    rig.ledger.lose_answers(SubmissionRefused("moderation", "Not with us."))
    await rig.deliver(scene())
    await offer(rig)
    await rig.deliver(VideoResumed(video_id=UUID(int=1)))
    assert [event.kind for event in of(SceneFailed, await rig.published())] == ["moderation"]


async def test_nothing_more_is_paid_for_a_failed_video(rig: Any, scene: Scene) -> None:
    rig.ledger.lose_answers(SubmissionRefused("moderation", "Not with us."))
    await rig.deliver(scene(1))
    await rig.deliver(scene(2))
    await offer(rig)
    await rig.deliver(VideoFailed(video_id=UUID(int=1), stage="scene-render", kind="moderation", reason="r"))
    await rig.deliver(VideoResumed(video_id=UUID(int=1)))
    [failed] = of(SceneFailed, await offer(rig))
    assert failed.scene_number == 1
    await offer(rig)
    assert len(rig.ledger.taken) == 1
    assert await rig.rows(WHERE) == [("ledger", "failed"), ("ledger", "waiting")]
