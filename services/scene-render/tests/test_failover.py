"""Who renders a scene when its provider does not: the next one, and only where nothing is paid twice."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from scene_render.app import build
from scene_render.attempts import polling_policy as pace
from scene_render.internal_messages import ClipReady
from scene_render.providers.base import Failed, Lost, SubmissionDeferred, SubmissionRefused
from scene_render.scheduling import circuit_breaker as breaker
from scene_render.scheduling.routing import choose
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


def test_a_parked_provider_is_chosen_only_where_no_other_is_left() -> None:
    assert choose(("a", "b"), (), ()) == "a"
    assert choose(("a", "b"), (), ("a",)) == "b"
    assert choose(("a", "b"), ("b",), ("a",)) == "a"
    assert choose(("a", "b"), (), ("b", "a")) == "b"
    assert choose(("a",), ("a",), ()) is None


def test_pauses_grow_and_end_and_a_told_one_is_kept() -> None:
    assert [breaker.pause("auth", n, None) for n in (1, 2, 3, 9)] == [60, 120, 240, 600]
    assert [breaker.pause("outage", n, None) for n in (3, 4, 9)] == [5, 10, 120]
    assert breaker.pause("rate_limit", 1, 42.0) == 42
    assert [breaker.opens("outage", n) for n in (1, 2, 3)] == [False, False, True]


def test_looks_come_closer_around_the_usual_time() -> None:
    assert pace.first_look(100, 5) == 75
    assert pace.first_look(1, 5) == 5
    assert [pace.next_look(elapsed, 100, 5) for elapsed in (0, 70, 80, 200, 1000)] == [75, 5, 10, 25, 225]
    assert pace.usual(60, []) == 60
    assert pace.usual(60, [10, 30, 20]) == 20


@pytest.mark.parametrize("kind", ["auth", "credits", "rate_limit"])
async def test_a_scene_goes_to_the_next_provider_when_the_first_takes_nothing(
    both: Any, scene: Scene, kind: Any
) -> None:
    both.ledger.lose_answers(SubmissionDeferred(kind, "Not now."))
    await both.hear(scene(1))
    await both.hear(scene(2))
    await both.published()
    await offer(both)
    assert await both.rows(WHERE) == [("second", "waiting"), ("second", "waiting")]
    for _ in range(2):
        await both.start("second")
    assert (len(both.ledger.taken), len(both.second.taken)) == (1, 2)
    later = await both.published()
    assert len(of(SceneStarted, later)) == 2
    await both.hear(scene(3))
    assert await both.rows("SELECT provider FROM renders WHERE scene_number = 3") == [("second",)]


async def test_an_unanswered_submission_is_carried_to_nobody(both: Any, scene: Scene) -> None:
    both.ledger.lose_answers(ConnectionError())
    await both.hear(scene())
    await offer(both)
    await offer(both, "second")
    assert await both.rows(ATTEMPTS) == [("ledger", "INTENT")]
    assert both.second.taken == []


async def test_a_provider_that_does_not_answer_three_times_is_parked(both: Any, scene: Scene) -> None:
    both.ledger.concurrency = 5
    await both.use(both.ledger, both.second, scale=1.0)
    both.ledger.lose_answers(ConnectionError())
    for n in range(1, 6):
        await both.hear(scene(n))
    for _ in range(5):
        await offer(both)
    assert len(both.ledger.taken) == 3
    assert [row for row in await both.rows(WHERE) if row == ("second", "waiting")] == [("second", "waiting")] * 2


async def test_a_task_that_has_surely_ended_badly_is_tried_at_the_next_provider(both: Any, scene: Scene) -> None:
    await both.hear(scene())
    await both.published()
    for _ in range(3):
        [check] = of(CheckDue, await offer(both))
        both.ledger.status = Failed("transient", "It broke.", Decimal(0), again=True)
        await both.hear(check)
        await both.rows("SELECT 1")
        async with both.database.sessions.begin() as session:
            await session.execute(text("UPDATE renders SET available_at = '2020-01-01 00:00:00'"))
        await both.published()
    assert await both.rows(WHERE) == [("second", "waiting")]
    assert len(both.ledger.taken) == 3
    await offer(both, "second")
    assert len(both.second.taken) == 1


async def test_what_one_provider_cannot_make_another_may(both: Any, scene: Scene) -> None:
    both.ledger.lose_answers(SubmissionRefused("invalid_request", "No such shape."))
    await both.hear(scene())
    await offer(both)
    await offer(both, "second")
    assert await both.rows(ATTEMPTS) == [("ledger", "FAILED"), ("second", "SUBMITTED")]


async def test_what_one_provider_does_not_want_to_show_is_carried_to_nobody(both: Any, scene: Scene) -> None:
    both.ledger.lose_answers(SubmissionRefused("moderation", "Not with us."))
    await both.hear(scene())
    [failed] = of(SceneFailed, await offer(both))
    assert failed.kind == "moderation"
    assert both.second.taken == []


def with_first_frame(scene: Scene, number: int) -> SceneRequested:
    frame = MediaReference(key="uploads/frame.jpg", content_type="image/jpeg", size=1, sha256="0" * 64)
    return scene(number, first_frame=frame)


@pytest.mark.parametrize("away", [StorageUnavailable("away"), TimeoutError()])
async def test_a_scene_waits_for_its_first_frame_while_the_storage_is_away(
    rig: Any, scene: Scene, away: Exception
) -> None:
    async def get(*_: object) -> None:
        raise away

    rig.storage.get = get
    rig.configure("ledger", scale=1e-5)
    await rig.hear(with_first_frame(scene, 1))
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
async def test_a_provider_that_was_not_asked_has_not_recovered(
    rig: Any, scene: Scene, refusal: SubmissionRefused | None
) -> None:
    async with rig.database.sessions.begin() as session:
        parked = "failures = 3, kind = 'auth', reason = 'r', parked_until = '2020-01-01 00:00:00'"
        await session.execute(text(f"UPDATE provider_states SET {parked} WHERE provider = 'ledger'"))
    if refusal is None:
        await rig.hear(with_first_frame(scene, 1))  # which nobody has stored
    else:
        rig.ledger.lose_answers(refusal)
        await rig.hear(scene())
    await offer(rig)
    assert await rig.rows("SELECT failures, kind FROM provider_states WHERE provider = 'ledger'") == [(3, "auth")]


async def test_after_a_pause_one_scene_tries_the_provider_and_the_others_follow(rig: Any, scene: Scene) -> None:
    rig.configure("ledger", scale=0.002)
    rig.ledger.lose_answers(SubmissionDeferred("auth", "Not your key."))
    for n in (1, 2, 3):
        await rig.hear(scene(n))
    told = await rig.play(lambda told: len(of(SceneDelayed, told)) == 3)
    assert {event.reason for event in of(SceneDelayed, told)} == {"Not your key."}
    rig.ledger.answer = lambda attempt_id: f"task-{attempt_id}"
    await rig.play(lambda told: len(of(SceneStarted, told)) == 2)
    assert len(set(rig.ledger.taken)) <= 5
    assert (await rig.rows("SELECT failures, parked_until FROM provider_states WHERE provider = 'ledger'")) == [
        (0, None)
    ]


async def test_a_scene_that_waits_too_long_for_a_parked_provider_is_given_up_with_the_reason(
    rig: Any, scene: Scene
) -> None:
    rig.ledger.lose_answers(SubmissionDeferred("credits", "The account has no credit left."))
    await rig.hear(scene())
    await offer(rig)
    overdue = SceneOverdue(UUID(int=1), 1)
    await rig.hear(overdue)
    assert of(SceneOverdue, await rig.published()) == [overdue], "it was given up before its time"
    async with rig.database.sessions.begin() as session:
        await session.execute(text("UPDATE renders SET delayed_since = '2020-01-01 00:00:00'"))
    await rig.hear(overdue)
    assert of(SceneFailed, await rig.published()) == [], "it took something since, from others"
    async with rig.database.sessions.begin() as session:
        await session.execute(text("UPDATE provider_states SET failing_since = '2020-01-01 00:00:00'"))
    await rig.hear(overdue)
    [failed] = of(SceneFailed, await rig.published())
    assert (failed.kind, failed.cost_usd) == ("credits", 0)
    assert failed.reason == "ledger took nothing for 60 minutes: The account has no credit left."


async def test_a_scene_is_not_given_up_while_another_provider_takes_tasks(both: Any, scene: Scene) -> None:
    both.ledger.lose_answers(SubmissionDeferred("credits", "The account has no credit left."))
    await both.hear(scene())
    await offer(both)
    async with both.database.sessions.begin() as session:
        long_ago = "'2020-01-01 00:00:00'"
        await session.execute(
            text(f"UPDATE renders SET provider = 'ledger', delayed_since = {long_ago}, give_up_at = {long_ago}")
        )
        await session.execute(text(f"UPDATE provider_states SET failing_since = {long_ago}"))
    await both.hear(SceneOverdue(UUID(int=1), 1))
    told = await both.published()
    assert of(SceneFailed, told) == []
    assert await both.rows(WHERE) == [("second", "waiting")]


async def test_a_scene_that_only_waits_for_its_turn_is_not_given_up(rig: Any, scene: Scene) -> None:
    await rig.hear(scene())
    await rig.hear(SceneOverdue(UUID(int=1), 1))
    assert of(SceneFailed, await rig.published()) == []


async def test_scenes_of_a_provider_that_is_configured_no_more_go_to_the_others(both: Any, scene: Scene) -> None:
    await both.hear(scene())
    both.configure("second")
    await offer(both)
    assert await both.rows(WHERE) == [("second", "waiting")]
    await both.start("second")
    assert len(both.second.taken) == 1


async def test_a_provider_that_is_configured_no_more_finishes_what_it_began_and_begins_nothing(
    both: Any, scene: Scene
) -> None:
    await both.hear(scene(1))
    [check] = of(CheckDue, await offer(both))
    await both.hear(scene(2))
    both.configure("second")
    await both.hear(check)
    assert len(of(ClipReady, await both.published())) == 1
    await offer(both)
    await offer(both, "second")
    assert (len(both.ledger.taken), len(both.second.taken)) == (1, 1)


async def test_what_a_provider_without_a_key_has_begun_names_the_setting_and_goes_on_when_it_is_there(
    both: Any, scene: Scene
) -> None:
    await both.hear(scene())
    told = await offer(both)
    both.configure("second")
    ledger = both.providers.pop("ledger")
    [check] = of(CheckDue, told)
    await both.hear(check)
    [delayed] = of(SceneDelayed, await both.published())
    assert (delayed.kind, "LEDGER_API_KEY" in delayed.reason) == ("key_missing", True)
    await both.hear(check)
    assert of(SceneDelayed, await both.published()) == [], "published once"
    assert await both.rows(ATTEMPTS) == [("ledger", "SUBMITTED")]
    both.providers["ledger"] = ledger
    await both.hear(check)
    [ready] = of(ClipReady, await both.published())
    del both.providers["ledger"]
    with pytest.raises(StepFailed, match="set LEDGER_API_KEY"):
        await both.hear(ready)
    assert await both.rows(ATTEMPTS) == [("ledger", "SUCCEEDED")]
    assert both.second.taken == []


def test_every_provider_with_a_key_is_there_and_the_settings_say_who_takes_new_scenes(tmp_path: Path) -> None:
    settings = Settings(
        database_url="sqlite+aiosqlite://", storage_url=f"file://{tmp_path}", video_api_provider="luma",
        video_api_key="luma-1", runway_api_key="key_1", runway_model="one-without-a-price",
    )  # fmt: skip
    deps = build(settings, NullPublisher()).deps
    assert set(deps.providers) == {"animatic", "luma", "runway"}
    assert deps.attempts.selection.order == ("luma",)


async def test_what_waits_for_a_parked_provider_goes_to_one_that_has_recovered(both: Any, scene: Scene) -> None:
    both.configure("ledger", "second", scale=0.002)
    for provider in (both.ledger, both.second):
        provider.lose_answers(SubmissionDeferred("auth", "Not your key."))
    for n in (1, 2, 3):
        await both.hear(scene(n))
    await both.play(lambda told: len(of(SceneDelayed, told)) >= 3)
    both.second.answer = lambda attempt_id: f"task-{attempt_id}"
    started = of(SceneStarted, await both.play(lambda told: len(of(SceneStarted, told)) == 2))
    assert {event.provider for event in started} == {"second"}


async def test_a_task_the_provider_does_not_know_any_more_is_ordered_from_nobody_else(both: Any, scene: Scene) -> None:
    await both.hear(scene())
    [check] = of(CheckDue, await offer(both))
    both.ledger.status = Lost()
    await both.hear(check)
    assert await both.rows(ATTEMPTS) == [("ledger", "SUBMITTED")], "it may only not be known yet"
    async with both.database.sessions.begin() as session:
        await session.execute(text("UPDATE attempts SET intended_at = '2020-01-01 00:00:00'"))
    await both.hear(check)
    [failed] = of(SceneFailed, await both.published())
    assert failed.kind == "submission_unknown"
    assert both.second.taken == []


async def test_a_scene_that_began_to_wait_as_its_video_was_cancelled_is_never_paid(rig: Any, scene: Scene) -> None:
    await rig.hear(scene())
    async with rig.database.sessions.begin() as session:
        # As if the cancelling had looked before the scene was there.
        await session.execute(text(f"INSERT INTO cancelled_videos VALUES ('{UUID(int=1)}')"))
    await offer(rig)
    assert rig.ledger.taken == []
    assert await rig.rows("SELECT state FROM renders") == [("cancelled",)]


async def test_a_video_that_goes_on_is_told_again_what_has_failed_for_good(rig: Any, scene: Scene) -> None:
    rig.ledger.lose_answers(SubmissionRefused("moderation", "Not with us."))
    await rig.hear(scene())
    await offer(rig)
    await rig.hear(VideoResumed(video_id=UUID(int=1)))
    assert [event.kind for event in of(SceneFailed, await rig.published())] == ["moderation"]


async def test_of_a_video_that_cannot_go_on_nothing_more_is_paid(rig: Any, scene: Scene) -> None:
    rig.ledger.lose_answers(SubmissionRefused("moderation", "Not with us."))
    await rig.hear(scene(1))
    await rig.hear(scene(2))
    await offer(rig)
    await rig.hear(VideoFailed(video_id=UUID(int=1), stage="scene-render", kind="moderation", reason="r"))
    await rig.hear(VideoResumed(video_id=UUID(int=1)))
    [failed] = of(SceneFailed, await offer(rig))
    assert failed.scene_number == 1
    await offer(rig)
    assert len(rig.ledger.taken) == 1
    assert await rig.rows(WHERE) == [("ledger", "failed"), ("ledger", "waiting")]
