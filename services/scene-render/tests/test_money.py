"""The money of the paid step: reserved first, booked at the end, kept while unknown, always within the caps."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from scene_render.internal_messages import CallbackReceived, CancelDue, ClipReady
from scene_render.providers.base import Failed, Found, Lost, NotYet, ProviderSilent, Running
from scene_render.providers.callbacks import Callbacks, route
from scene_render.settings import KeyMissing, Settings
from shared.contracts.events import (
    ChargeReviewed,
    SceneCharged,
    SceneDelayed,
    SceneFailed,
    SceneRendered,
    SceneRequested,
    VideoCancelled,
    VideoResumed,
)
from shared.media.ffmpeg import Ffmpeg
from shared.messaging.errors import TryAgainLater
from shared_testing.due_times import CheckDue, PayAgainDue, SubmissionOverdue, UnknownOverdue

Scene = Callable[..., SceneRequested]
VIDEO = UUID(int=1)


@pytest.fixture
def rig(sqlite_rig: Any) -> Any:
    """What is about rows and locks is tested on MariaDB too, in test_paid_step.py and below."""
    return sqlite_rig


def of(kind: type, events: list[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


async def offer(rig: Any) -> list[Any]:
    await rig.start("ledger")
    return await rig.published()


async def used(rig: Any, scope: str) -> Decimal:
    [(units,)] = await rig.rows(f"SELECT used FROM budgets WHERE scope = '{scope}'")
    return units * Decimal("0.0001")


async def lost(rig: Any, scene: SceneRequested) -> UUID:
    """Lose a submission for good; returns its attempt's id."""
    rig.ledger.lose_answers(ConnectionError())
    await rig.deliver(scene)
    [overdue] = of(SubmissionOverdue, await offer(rig))
    await rig.deliver(overdue)
    return overdue.attempt_id


# --- settings


def test_a_paid_provider_without_a_key_is_refused_at_the_start() -> None:
    given = {"database_url": "sqlite://", "storage_url": "file:///x"}
    with pytest.raises(ValueError, match="runway needs a key: set VIDEO_API_KEY or RUNWAY_API_KEY"):
        Settings(**given, video_api_provider="runway")
    with pytest.raises(ValueError, match="PROVIDERS_SIMULATED is true, but runway is the real one: set RUNWAY_API_URL"):
        Settings(**given, video_api_provider="runway", video_api_key="key_1", providers_simulated=True)
    assert issubclass(KeyMissing, ValueError)
    both = Settings(**given, video_providers="runway, luma", runway_api_key="key_1", luma_api_key="luma-1")
    assert both.providers == ("runway", "luma")
    assert both.api_key("luma").get_secret_value() == "luma-1"


# --- budgets


async def test_the_price_is_reserved_at_intent_and_the_cost_booked_at_the_end(rig: Any, scene: Scene) -> None:
    await rig.deliver(scene())
    events = await offer(rig)
    assert [await used(rig, scope) for scope in ("all", "owner:o", f"video:{VIDEO}")] == [Decimal("0.75")] * 3
    await rig.deliver(of(CheckDue, events)[0])
    assert [await used(rig, scope) for scope in ("all", "owner:o", f"video:{VIDEO}")] == [Decimal("0.6")] * 3
    charges = of(SceneCharged, events) + of(SceneCharged, await rig.published())
    assert [(c.state, c.held_usd, c.booked_usd, c.revision) for c in charges] == [
        ("held", Decimal("0.75"), 0, 1), ("held", Decimal("0.75"), 0, 2), ("settled", 0, Decimal("0.6"), 3)
    ]  # fmt: skip


async def test_simulated_money_has_its_own_budgets_and_is_marked(rig: Any, scene: Scene) -> None:
    rig.configure(day=Decimal("1.00"))
    rig.deps = replace(rig.deps, attempts=replace(rig.deps.attempts, simulated=True))
    for number in (1, 2):
        await rig.deliver(scene(number))
    events = await offer(rig)
    assert all(charge.simulated for charge in of(SceneCharged, events))
    [failed] = of(SceneFailed, await offer(rig))
    assert failed.reason == (
        "Budget exceeded: $0.75 required, $0.25 of $1.00 left for all videos today (simulated money)."
    )
    await rig.deliver(of(CheckDue, events)[0])
    assert await rig.rows("SELECT DISTINCT scope FROM budgets WHERE scope NOT LIKE 'simulated %'") == []
    assert await used(rig, "simulated all") == Decimal("0.6")


@pytest.mark.parametrize("cap", ["video", "owner_day", "day"])
async def test_a_scene_over_budget_fails_with_the_amount_and_nothing_is_sent(rig: Any, scene: Scene, cap: str) -> None:
    rig.configure(**{cap: Decimal("1.00")})
    await rig.deliver(scene(1))
    await rig.deliver(scene(2))
    await offer(rig)
    [failed] = of(SceneFailed, await offer(rig))
    assert (failed.kind, failed.scene_number) == ("budget", 2)
    assert failed.reason.startswith("Budget exceeded: $0.75 required")
    assert "$0.25 of $1.00 left for" in failed.reason
    assert len(rig.ledger.taken) == 1
    assert await rig.rows("SELECT COUNT(*) FROM provider_slots WHERE attempt_id IS NOT NULL") == [(1,)]


async def test_concurrent_intents_never_exceed_the_cap(mariadb_rig: Any, scene: Scene) -> None:
    rig = mariadb_rig
    rig.ledger.concurrency = 12
    await rig.use(rig.ledger)
    rig.configure(day=Decimal("2.30"), scale=1.0)
    for video in range(1, 13):
        await rig.deliver(scene(1, video=video))

    async def one() -> None:
        await rig.start("ledger")

    results = await asyncio.gather(*(one() for _ in range(12)), return_exceptions=True)
    assert len(rig.ledger.taken) == 3, results


# --- unknown attempts


async def test_an_unknown_attempt_keeps_its_reservation_and_frees_its_slot_after_a_time(rig: Any, scene: Scene) -> None:
    attempt_id = await lost(rig, scene())
    events = await rig.published()
    [charge] = of(SceneCharged, events)
    assert (charge.state, charge.held_usd) == ("unknown", Decimal("0.75"))
    [overdue] = of(UnknownOverdue, events)
    assert await rig.rows("SELECT COUNT(*) FROM provider_slots WHERE attempt_id IS NOT NULL") == [(1,)]
    await rig.deliver(overdue)
    assert await rig.rows("SELECT COUNT(*) FROM provider_slots WHERE attempt_id IS NOT NULL") == [(0,)]
    assert await used(rig, "all") == Decimal("0.75")
    assert overdue.attempt_id == attempt_id


async def clip_of(path: Path, seconds: float) -> Path:
    source = f"testsrc2=s=1280x720:r=24:d={seconds}"
    arguments = ["-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p", "-preset", "ultrafast", "-y", str(path)]
    await Ffmpeg().run(arguments, time_limit=30)
    return path


async def test_settling_with_a_task_id_uses_the_clip_and_resumes_the_video(
    rig: Any, scene: Scene, tmp_path: Path
) -> None:
    rig.ledger.clip = await clip_of(tmp_path / "clip.mp4", 1)
    attempt_id = await lost(rig, scene())
    await rig.published()
    await rig.deliver(ChargeReviewed(video_id=VIDEO, attempt_id=attempt_id, paid=True, task_id="task-9", by="me"))
    events = await rig.published()
    assert len(of(VideoResumed, events)) == 1
    await rig.deliver(of(CheckDue, events)[0])
    [ready] = of(ClipReady, await rig.published())
    await rig.deliver(ready)
    [rendered] = of(SceneRendered, await rig.published())
    assert (rendered.cost_usd, len(rig.ledger.taken)) == (Decimal("0.6"), 1)


async def test_an_unknown_task_id_settles_nothing_and_the_charge_gives_the_reason(rig: Any, scene: Scene) -> None:
    attempt_id = await lost(rig, scene())
    await rig.published()
    review = ChargeReviewed(video_id=VIDEO, attempt_id=attempt_id, paid=True, task_id="task-8", by="me")
    succeeded, rig.ledger.status = rig.ledger.status, Lost()
    await rig.deliver(review)
    [charge] = await rig.published()
    assert (charge.state, charge.held_usd) == ("unknown", Decimal("0.75"))
    assert charge.reason.startswith("ledger knows no task task-8;")
    assert await rig.rows("SELECT state, task_id FROM attempts") == [("UNKNOWN", None)]
    rig.ledger.status = ProviderSilent()
    with pytest.raises(TryAgainLater, match="task-8"):
        await rig.deliver(review)
    rig.ledger.status = succeeded
    await rig.deliver(review)
    assert len(of(VideoResumed, await rig.published())) == 1


async def test_a_task_id_settles_only_one_attempt(rig: Any, scene: Scene) -> None:
    attempts = [(UUID(int=video), await lost(rig, scene(1, video=video))) for video in (1, 2)]
    for video_id, attempt_id in attempts:
        await rig.deliver(
            ChargeReviewed(video_id=video_id, attempt_id=attempt_id, paid=True, task_id="task-9", by="me")
        )
    *_, charge = of(SceneCharged, await rig.published())
    assert (charge.state, charge.reason.startswith("Task task-9 is that of scene 1 ")) == ("unknown", True)
    assert await rig.rows("SELECT state FROM attempts ORDER BY video_id") == [("SUBMITTED",), ("UNKNOWN",)]


@pytest.mark.parametrize(
    ("until", "deadline"), [(None, r"ledger can be asked\."), (600.0, r"\d{4}-\d\d-\d\d [\d:]{8} UTC\.")]
)
async def test_an_unconfirmed_order_is_published_with_its_start_and_deadline(
    rig: Any, scene: Scene, until: float | None, deadline: str
) -> None:
    rig.ledger.lose_answers(ConnectionError())
    await rig.deliver(scene())
    events = await offer(rig)
    moment = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
    [delayed] = of(SceneDelayed, events)
    assert delayed.kind == "unconfirmed"
    assert re.fullmatch(
        f"ledger has not confirmed the order of {moment}; an answer is awaited until {moment}.", delayed.reason
    )
    [overdue] = of(SubmissionOverdue, events)
    rig.ledger.found = NotYet(1.0, until)
    for looks in (1, 0, 0):
        await rig.deliver(overdue)
        events = await rig.published()
        assert len(of(SceneDelayed, events)) == looks, "published again only with another deadline"
        assert all(re.search(f"until {deadline}$", one.reason) for one in of(SceneDelayed, events))
        [overdue] = of(SubmissionOverdue, events)


@pytest.mark.parametrize(("paid", "cost", "booked"), [(True, None, "0.75"), (True, "0.30", "0.3"), (False, None, "0")])
async def test_settling_without_a_task_id_books_or_releases_the_money(
    rig: Any, scene: Scene, paid: bool, cost: str | None, booked: str
) -> None:
    attempt_id = await lost(rig, scene())
    await rig.published()
    review = ChargeReviewed(video_id=VIDEO, attempt_id=attempt_id, paid=paid, cost_usd=cost, by="me")
    await rig.deliver(review)
    await rig.deliver(review)
    charges = of(SceneCharged, await rig.published())
    assert [(charge.state, charge.held_usd, charge.booked_usd) for charge in charges] == [
        ("settled", 0, Decimal(booked))
    ]
    assert await used(rig, "all") == Decimal(booked)
    assert await rig.rows("SELECT state FROM renders") == [("failed",)]


async def test_a_scene_settled_as_not_paid_can_be_retried(rig: Any, scene: Scene) -> None:
    attempt_id = await lost(rig, scene())
    await rig.published()
    rig.ledger.answer = lambda _: "task-2"
    await rig.deliver(ChargeReviewed(video_id=VIDEO, attempt_id=attempt_id, paid=False, again=True, by="me"))
    assert len(of(VideoResumed, await rig.published())) == 1
    await offer(rig)
    assert len(set(rig.ledger.taken)) == 2
    assert await rig.rows("SELECT state FROM attempts ORDER BY number") == [("FAILED",), ("SUBMITTED",)]


# --- paid again


async def test_pay_again_orders_once_and_both_orders_are_booked(rig: Any, scene: Scene) -> None:
    rig.pay_again()
    first = await lost(rig, scene())
    events = await rig.published()
    [due] = of(PayAgainDue, events)
    await rig.deliver(due)
    events = await rig.published()
    assert len(of(VideoResumed, events)) == 1
    [charge] = of(SceneCharged, events)
    assert (charge.attempt_id, charge.state, "both may be paid" in charge.reason) == (first, "unknown", True)
    [overdue] = of(SubmissionOverdue, await offer(rig))
    assert await used(rig, "all") == 2 * Decimal("0.75")
    await rig.deliver(overdue)
    [again] = of(PayAgainDue, await rig.published())
    await rig.deliver(again)
    assert await rig.published() == [], "once for each scene"
    assert await rig.rows("SELECT state FROM attempts") == [("UNKNOWN",)] * 2
    assert (len(rig.ledger.taken), await used(rig, "again")) == (2, Decimal("0.75"))


async def test_a_late_failure_of_the_first_order_does_not_affect_the_second(rig: Any, scene: Scene) -> None:
    rig.pay_again()
    first = await lost(rig, scene())
    [due] = of(PayAgainDue, await rig.published())
    await rig.deliver(due)
    rig.ledger.answer = lambda _: "task-2"
    await offer(rig)
    await rig.deliver(ChargeReviewed(video_id=VIDEO, attempt_id=first, paid=True, task_id="task-1", by="me"))
    [check] = of(CheckDue, await rig.published())
    rig.ledger.status = Failed("job_failed", "r", Decimal(0), again=True)
    await rig.deliver(check)
    assert await rig.rows("SELECT state FROM renders") == [("running",)]
    assert await rig.rows("SELECT state FROM attempts ORDER BY number") == [("FAILED",), ("SUBMITTED",)]


async def test_pay_again_respects_the_daily_cap_and_the_charge_gives_the_reason(rig: Any, scene: Scene) -> None:
    rig.pay_again(day_usd="1.00")
    due = []
    for video in (1, 2):
        await lost(rig, scene(1, video=video))
        due += of(PayAgainDue, await rig.published())
    first, second = due
    await rig.deliver(first)
    await rig.published()
    await rig.deliver(second)
    [charge] = await rig.published()
    assert charge.reason.endswith(
        "It is not ordered again: Budget exceeded: $0.75 required, $0.25 of $1.00 left for repeated attempts today."
    )
    assert await rig.rows("SELECT state FROM renders ORDER BY video_id") == [("waiting",), ("failed",)]


@pytest.mark.parametrize("event", [
    ChargeReviewed(video_id=VIDEO, attempt_id=VIDEO, paid=False, by="me"),
    ChargeReviewed(video_id=VIDEO, attempt_id=VIDEO, paid=True, task_id="t", by="me"),
    VideoCancelled(video_id=VIDEO, by="me", reason="r"),
])  # fmt: skip
async def test_a_settled_or_cancelled_attempt_is_not_paid_again(rig: Any, scene: Scene, event: Any) -> None:
    rig.pay_again()
    attempt_id = await lost(rig, scene())
    [due] = of(PayAgainDue, await rig.published())
    await rig.deliver(event.model_copy(update={"attempt_id": attempt_id} if isinstance(event, ChargeReviewed) else {}))
    await rig.published()
    await rig.deliver(due)
    await offer(rig)
    assert len(rig.ledger.taken) == 1


@pytest.mark.parametrize(("policy", "asked"), [(False, False), (True, True)])
async def test_pay_again_needs_the_policy_and_a_provider_that_cannot_reconcile(
    rig: Any, scene: Scene, policy: bool, asked: bool
) -> None:
    if policy:
        rig.pay_again()
    rig.ledger.can_reconcile = asked
    await lost(rig, scene())
    assert of(PayAgainDue, await rig.published()) == []


# --- callbacks


@pytest.mark.parametrize("state", ["INTENT", "UNKNOWN"])
async def test_a_callback_reveals_a_lost_task(rig: Any, scene: Scene, state: str) -> None:
    rig.ledger.lose_answers(ConnectionError())
    await rig.deliver(scene())
    [overdue] = of(SubmissionOverdue, await offer(rig))
    if state == "UNKNOWN":
        await rig.deliver(overdue)
    await rig.deliver(CallbackReceived(video_id=VIDEO, attempt_id=overdue.attempt_id, task_id="task-3"))
    assert await rig.rows("SELECT state, task_id FROM attempts") == [("SUBMITTED", "task-3")]
    assert await rig.rows("SELECT state FROM renders") == [("running",)]


async def test_a_callback_triggers_one_check_and_no_second_schedule(rig: Any, scene: Scene) -> None:
    await rig.deliver(scene())
    [check] = of(CheckDue, await offer(rig))
    rig.ledger.status = Running(percent=40)
    await rig.deliver(CallbackReceived(video_id=VIDEO, attempt_id=check.attempt_id, task_id="forged"))
    [hint] = of(CheckDue, await rig.published())
    assert hint == check
    await rig.deliver(hint)
    assert await rig.published() == [check], "looked at once, and then as regularly as before"
    assert await rig.rows("SELECT task_id <> 'forged' FROM attempts") == [(1,)]


async def test_a_callback_needs_the_secret_url(sqlite_rig: Any, scene: Scene) -> None:
    rig = sqlite_rig
    await rig.deliver(scene())
    [check] = of(CheckDue, await offer(rig))
    callbacks = Callbacks("https://here.example", b"secret")
    address = callbacks.address("ledger", str(check.attempt_id)).removeprefix("https://here.example")
    door = TestClient(Starlette(routes=[route(callbacks, rig.providers, rig.database)]))
    answers = {
        "forged token": door.post(address[:-4] + "0000", json={"id": "t"}).status_code,
        "token of other letters": door.post(address[:-4] + "%C3%A9%F0%9F%98%80", json={"id": "t"}).status_code,
        "other provider": door.post(address.replace("ledger", "second"), json={"id": "t"}).status_code,
        "not JSON": door.post(address, content=b"{").status_code,
        "too large": door.post(address, content=b" " * 70_000).status_code,
    }
    assert answers == {
        "forged token": 404,
        "token of other letters": 404,
        "other provider": 404,
        "not JSON": 400,
        "too large": 413,
    }
    assert await rig.published() == []
    assert door.post(address, json={"id": "t"}).status_code == 204
    [heard] = of(CallbackReceived, await rig.published())
    assert (heard.attempt_id, heard.task_id) == (check.attempt_id, "t")


# --- cancelling


async def test_a_queued_task_of_a_cancelled_video_is_cancelled_for_free(rig: Any, scene: Scene) -> None:
    await rig.deliver(scene())
    await offer(rig)
    rig.ledger.status = Running(queued=True)
    await rig.deliver(VideoCancelled(video_id=VIDEO, by="me", reason="r"))
    [due] = await rig.published()
    await rig.deliver(due)
    assert len(rig.ledger.cancelled) == 1
    assert await used(rig, "all") == 0
    assert await rig.rows("SELECT state FROM attempts") == [("CANCELLED",)]
    assert await rig.rows("SELECT COUNT(*) FROM provider_slots WHERE attempt_id IS NOT NULL") == [(0,)]


async def test_a_running_task_of_a_cancelled_video_is_paid_collected_and_kept(
    rig: Any, scene: Scene, tmp_path: Path
) -> None:
    rig.ledger.clip = await clip_of(tmp_path / "clip.mp4", 1)
    await rig.deliver(scene())
    [check] = of(CheckDue, await offer(rig))
    succeeded, rig.ledger.status = rig.ledger.status, Running()
    await rig.deliver(VideoCancelled(video_id=VIDEO, by="me", reason="r"))
    await rig.deliver((await rig.published())[0])
    assert rig.ledger.cancelled == []
    rig.ledger.status = succeeded
    await rig.deliver(check)
    events = await rig.published()
    assert of(SceneCharged, events)[-1].booked_usd == Decimal("0.6")
    await rig.deliver(of(ClipReady, events)[0])
    assert len(of(SceneRendered, await rig.published())) == 1


async def test_a_task_found_after_the_cancellation_is_cancelled(rig: Any, scene: Scene) -> None:
    rig.ledger.lose_answers(ConnectionError())
    await rig.deliver(scene())
    [overdue] = of(SubmissionOverdue, await offer(rig))
    await rig.deliver(VideoCancelled(video_id=VIDEO, by="me", reason="r"))
    rig.ledger.found, rig.ledger.status = Found("task-7"), Running(queued=True)
    await rig.deliver(overdue)
    [due] = of(CancelDue, await rig.published())
    await rig.deliver(due)
    assert rig.ledger.cancelled == ["task-7"]


# --- long scenes


@pytest.mark.slow
async def test_a_long_scene_is_rendered_in_parts_each_beginning_where_the_last_ended(
    sqlite_rig: Any, scene: Scene, tmp_path: Path
) -> None:
    rig = sqlite_rig
    rig.ledger.clip = await clip_of(tmp_path / "clip.mp4", 10)
    await rig.deliver(scene(clip_frames=13 * 24))
    await rig.published()
    for _ in range(2):
        [check] = of(CheckDue, await offer(rig))
        await rig.deliver(check)
        [ready] = of(ClipReady, await rig.published())
        await rig.deliver(ready)
    [rendered] = of(SceneRendered, await rig.published())
    assert (rendered.clip.frames, rendered.cost_usd) == (312, Decimal("1.2"))
    first, second = rig.ledger.orders
    assert (first.seconds, first.first_frame) == (10, None)
    assert second.seconds == 5
    assert second.first_frame.content_type == "image/jpeg"
    assert second.first_frame.task_id == f"task-{rig.ledger.taken[0]}"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["runway", "luma", "pika"])
async def test_the_parts_are_chained_at_each_provider(sqlite_rig: Any, simulated: Any, scene: Scene, name: str) -> None:
    provider = simulated.provider(name)
    await sqlite_rig.use(provider)
    await sqlite_rig.deliver(scene(clip_frames=14 * 24))
    async with provider:
        emitted = await sqlite_rig.play(
            lambda emitted: bool(of(SceneRendered, emitted) or of(SceneFailed, emitted)), seconds=60
        )
    [rendered] = of(SceneRendered, emitted)
    tasks = await simulated.tasks()
    assert [task["firstFrame"] for task in tasks] == [False, True]
    assert rendered.clip.frames == 14 * 24
    assert rendered.cost_usd == sum(Decimal(task["chargedUsd"]) for task in tasks)
