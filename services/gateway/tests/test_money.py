"""The cost of videos: estimated, checked against budgets, summed, and settled by a person if unknown."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from gateway import app as gateway_app
from gateway.app import Gateway
from gateway.settings import Settings
from shared.contracts.events import (
    ChargeReviewed,
    SceneCharged,
    SceneDelayed,
    SceneStarted,
    StoryboardCreated,
    VideoCancelled,
    VideoRequested,
)
from shared.contracts.story import Scene
from shared.messaging.event_router import NullPublisher
from shared.messaging.message_processor import DeadLettered, Handled, process
from shared.persistence.migration_files import folder_of
from shared.persistence.migrations import migrate
from shared.persistence.unit_of_work import transaction
from shared_testing.servers import delivery, published

GOOD = {"prompt": "a fox", "sceneCount": 3, "duration": 30}
PRICE = 3.6
"""Three clips of 10 s by Runway's gen4.5, at $0.12 a second."""
TEXT_ONLY = {"runway": {"standard": "gen4.5", "text": "", "picture": "", "referenced_picture": ""}}
"""Scenes cost nothing but their clips, whoever is in them."""

Open = Callable[..., Any]


@pytest.fixture
async def opened(tmp_path: Path, sql_server: Any, schema: Any) -> AsyncIterator[Open]:
    """Open a gateway on MariaDB with these settings; yields it with its API."""
    gateways: list[Gateway] = []

    async def open_it(**settings: Any) -> tuple[Gateway, httpx.AsyncClient]:
        chosen = {"video_api_provider": "runway", "video_models": TEXT_ONLY, **settings}
        url = SecretStr(sql_server.url(schema()))
        gateway = Gateway(
            Settings(database_url=url, storage_url=tmp_path.as_uri(), media_secret=SecretStr("s"), **chosen)
        )
        await migrate(gateway.database, folder_of(gateway_app.__file__))
        gateways.append(gateway)
        app = gateway.app(gateway.storage, routes=[])
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        return gateway, httpx.AsyncClient(transport=transport, base_url="http://gateway")

    yield open_it
    for gateway in gateways:
        await gateway.database.close()


pytestmark = pytest.mark.connected


async def tell(gateway: Gateway, *events: Any) -> None:
    for event in events:
        async with transaction(gateway.database) as work:
            await gateway.projector.record(work, event)


def charged(
    video_id: Any, attempt: int, revision: int, state: str, held: str, booked: str, **more: Any
) -> SceneCharged:
    return SceneCharged(
        video_id=video_id, scene_number=1, attempt_id=UUID(int=attempt), revision=revision, owner="anonymous",
        provider="runway", day="2026-11-20", state=state, held_usd=held, booked_usd=booked, **more,
    )  # fmt: skip


async def test_the_price_is_told_before_and_shown_in_the_row(opened: Open) -> None:
    _, api = await opened()
    quote = (await api.post("/api/v1/estimates", json=GOOD)).json()
    assert (quote["provider"], float(quote["estimateUsd"])) == ("runway", PRICE)
    assert (await api.get("/api/v1/videos")).json()["total"] == 0
    video = (await api.post("/api/v1/videos", json=GOOD)).json()
    assert (float(video["estimatedCostUsd"]), float(video["costUsd"])) == (PRICE, 0)
    assert float((await api.post("/api/v1/estimates", json=GOOD)).json()["usedTodayUsd"]) == PRICE


async def test_animatics_are_free(opened: Open) -> None:
    _, api = await opened(video_api_provider="animatic", budget_day_usd=0)
    video = (await api.post("/api/v1/videos", json=GOOD)).json()
    assert float(video["estimatedCostUsd"]) == 0


async def test_of_200_parallel_requests_on_a_budget_for_10_exactly_10_are_accepted(opened: Open) -> None:
    gateway, api = await opened(budget_day_usd=10 * PRICE, budget_owner_day_usd=None)
    answers = await asyncio.gather(*(api.post("/api/v1/videos", json=GOOD) for _ in range(200)))
    assert sorted(answer.status_code for answer in answers) == [202] * 10 + [402] * 190
    [refusal] = [answer.json() for answer in answers if answer.status_code == 402][:1]
    assert (float(refusal["estimateUsd"]), float(refusal["capUsd"])) == (PRICE, 36)
    assert refusal["detail"].startswith("Budget exceeded: $3.60 required, $0.00 of $36.00 left for all videos today.")
    assert (await api.get("/api/v1/videos")).json()["total"] == 10
    requested = [event for event in await published(gateway.database) if isinstance(event, VideoRequested)]
    assert len(requested) == 10


async def test_a_slow_request_does_not_block_others_on_the_same_day_s_budget(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first call has done everything but the commit when the second one comes."""
    gateway, api = await opened(budget_day_usd=2 * PRICE)
    as_saved, is_saved, goes_on = gateway.queries.as_saved, asyncio.Event(), asyncio.Event()

    async def slowly(*given: Any) -> Any:
        saved = await as_saved(*given)
        if not is_saved.is_set():
            is_saved.set()
            await goes_on.wait()
        return saved

    monkeypatch.setattr(gateway.queries, "as_saved", slowly)
    first = asyncio.create_task(api.post("/api/v1/videos", json=GOOD))
    await is_saved.wait()
    second = (await api.post("/api/v1/videos", json=GOOD)).status_code
    goes_on.set()
    assert (second, (await first).status_code) == (202, 202)
    assert (await api.post("/api/v1/videos", json=GOOD)).status_code == 402


async def test_a_budget_that_others_used_up_meanwhile_is_refused_at_the_end(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, api = await opened(budget_day_usd=PRICE)
    both, as_saved = asyncio.Barrier(2), gateway.queries.as_saved

    async def together(*given: Any) -> Any:
        saved = await as_saved(*given)
        await both.wait()
        return saved

    monkeypatch.setattr(gateway.queries, "as_saved", together)
    answers = await asyncio.gather(*(api.post("/api/v1/videos", json=GOOD) for _ in range(2)))
    assert sorted(answer.status_code for answer in answers) == [202, 402]
    assert (await api.get("/api/v1/videos")).json()["total"] == 1
    assert len([one for one in await published(gateway.database) if isinstance(one, VideoRequested)]) == 1


@pytest.mark.parametrize("cap", ["budget_video_usd", "budget_owner_day_usd", "budget_day_usd"])
async def test_each_cap_refuses_with_the_figure_and_takes_nothing(opened: Open, cap: str) -> None:
    _, api = await opened(**{cap: PRICE - 0.01})
    answer = await api.post("/api/v1/videos", json=GOOD)
    assert (answer.status_code, answer.headers["content-type"]) == (402, "application/problem+json")
    assert "$3.60 required" in answer.json()["detail"]
    cheaper = await api.post("/api/v1/videos", json={**GOOD, "duration": 15})
    assert cheaper.status_code == 202


async def test_simulated_money_is_marked_and_counts_nowhere(opened: Open) -> None:
    gateway, api = await opened(providers_simulated=True, budget_day_usd=PRICE)
    video = (await api.post("/api/v1/videos", json=GOOD)).json()
    assert video["simulated"] is True
    refusal = await api.post("/api/v1/videos", json=GOOD)
    assert (refusal.status_code, "(simulated money)" in refusal.json()["detail"]) == (402, True)
    await tell(gateway, charged(video["videoId"], 1, 1, "settled", "0", "1.20", simulated=True))
    await tell(gateway, VideoCancelled(video_id=video["videoId"], by="me", reason="r"))
    async with gateway.database.reading() as session:
        used = (await session.execute(text("SELECT scope, used FROM budgets WHERE used > 0"))).all()
    assert {(scope.split(" ")[0], amount) for scope, amount in used} == {("simulated", 12_000)}
    assert [charge["simulated"] for charge in (await api.get("/api/v1/charges")).json()["charges"]] == [True]
    spend = (await api.get("/api/v1/spend", params={"from": "2026-11-01", "to": "2026-11-30"})).json()
    assert [(float(line["bookedUsd"]), line["simulated"]) for line in spend["lines"]] == [(1.2, True)]
    assert float(spend["bookedUsd"]) == 0
    assert (await api.post("/api/v1/estimates", json=GOOD)).json()["simulated"] is True


async def test_the_same_request_again_takes_no_more_money(opened: Open) -> None:
    _, api = await opened(budget_day_usd=PRICE)
    request = {**GOOD, "videoId": str(uuid4())}
    assert [(await api.post("/api/v1/videos", json=request)).status_code for _ in range(3)] == [202] * 3


async def test_a_promise_becomes_what_it_really_took(opened: Open) -> None:
    gateway, api = await opened(budget_day_usd=2 * PRICE)
    first = (await api.post("/api/v1/videos", json=GOOD)).json()["videoId"]
    await tell(gateway, charged(first, 1, 1, "held", "1.20", "0"), charged(first, 1, 2, "settled", "0", "1.10"))
    video = (await api.get(f"/api/v1/videos/{first}")).json()
    assert (float(video["costUsd"]), float(video["heldUsd"]), float(video["estimatedCostUsd"])) == (1.1, 0, PRICE)
    await tell(gateway, VideoCancelled(video_id=first, by="me", reason="r"))
    quote = (await api.post("/api/v1/estimates", json=GOOD)).json()
    assert float(quote["usedTodayUsd"]) == 1.1
    assert (await api.post("/api/v1/videos", json=GOOD)).status_code == 202
    # What was running when it was cancelled is still paid, and shown.
    await tell(gateway, charged(first, 2, 1, "settled", "0", "0.50"))
    assert float((await api.get(f"/api/v1/videos/{first}")).json()["costUsd"]) == 1.6
    assert float((await api.post("/api/v1/estimates", json=GOOD)).json()["usedTodayUsd"]) == 1.6 + PRICE


async def test_the_story_makes_the_estimate_exact(opened: Open) -> None:
    gateway, api = await opened()
    video_id = (await api.post("/api/v1/videos", json={**GOOD, "sceneCount": 2, "duration": 15})).json()["videoId"]
    scenes = tuple(
        Scene(scene_number=n, description="d", camera_angle="wide", duration=d, action="a", transition="cut")
        for n, d in ((1, 5), (2, 10))
    )
    await tell(
        gateway,
        StoryboardCreated(
            video_id=video_id, title="t", niche="n", overall_prompt="p", total_duration=15, scenes=scenes,
            story_script="s", aspect_ratio="16:9",
        ),
    )  # fmt: skip
    assert float((await api.get(f"/api/v1/videos/{video_id}")).json()["estimatedCostUsd"]) == 1.8


async def test_older_news_of_a_charge_changes_nothing(opened: Open) -> None:
    gateway, api = await opened()
    video_id = (await api.post("/api/v1/videos", json=GOOD)).json()["videoId"]
    settled, held = charged(video_id, 1, 2, "settled", "0", "1.20"), charged(video_id, 1, 1, "held", "1.20", "0")
    await tell(gateway, settled, held, settled)
    video = (await api.get(f"/api/v1/videos/{video_id}")).json()
    assert (float(video["costUsd"]), float(video["heldUsd"])) == (1.2, 0)


async def test_spend_is_summed_by_day_owner_and_provider(opened: Open) -> None:
    gateway, api = await opened()
    video_id = (await api.post("/api/v1/videos", json=GOOD)).json()["videoId"]
    await tell(
        gateway,
        charged(video_id, 1, 1, "settled", "0", "1.20"),
        charged(video_id, 2, 1, "unknown", "0.80", "0"),
        charged(video_id, 3, 1, "held", "0.40", "0"),
    )
    spend = (await api.get("/api/v1/spend", params={"from": "2026-11-01", "to": "2026-11-30"})).json()
    [line] = spend["lines"]
    assert (line["day"], line["owner"], line["provider"], line["attempts"]) == ("2026-11-20", "anonymous", "runway", 3)
    assert [float(spend[key]) for key in ("bookedUsd", "heldUsd", "unknownUsd")] == [1.2, 1.2, 0.8]
    none = (await api.get("/api/v1/spend", params={"from": "2026-11-21", "to": "2026-11-30"})).json()
    assert none["lines"] == []


async def test_an_unknown_charge_is_listed_and_settled_by_a_person(opened: Open) -> None:
    gateway, api = await opened()
    video_id = (await api.post("/api/v1/videos", json=GOOD)).json()["videoId"]
    await tell(gateway, charged(video_id, 1, 1, "unknown", "0.80", "0", reason="It never answered."))
    await tell(gateway, charged(video_id, 2, 1, "settled", "0", "0.80"))
    await published(gateway.database)
    [charge] = (await api.get("/api/v1/charges", params={"state": "unknown"})).json()["charges"]
    assert (charge["reason"], float(charge["heldUsd"])) == ("It never answered.", 0.8)
    path = f"/api/v1/charges/{charge['attemptId']}/settle"
    assert (await api.post(path, json={"paid": True, "taskId": "t-1"})).status_code == 202
    [reviewed] = [event for event in await published(gateway.database) if isinstance(event, ChargeReviewed)]
    assert (reviewed.paid, reviewed.task_id, str(reviewed.video_id)) == (True, "t-1", video_id)
    assert (await api.post(path, json={"taskId": "t-1"})).status_code == 422
    known = await api.post(f"/api/v1/charges/{UUID(int=2)}/settle", json={"paid": False})
    assert (known.status_code, known.json()["title"]) == (409, "Nothing to settle")
    assert (await api.post(f"/api/v1/charges/{uuid4()}/settle", json={"paid": False})).status_code == 404


async def test_a_video_says_why_it_waits_until_it_goes_on(opened: Open) -> None:
    gateway, api = await opened()
    video_id = (await api.post("/api/v1/videos", json=GOOD)).json()["videoId"]
    why = "The account at runway has no credit left."
    await tell(gateway, SceneDelayed(video_id=video_id, scene_number=1, provider="runway", kind="credits", reason=why))
    assert (await api.get(f"/api/v1/videos/{video_id}")).json()["notice"] == why
    await tell(gateway, SceneStarted(video_id=video_id, scene_number=1, provider="runway", eta_seconds=30))
    assert (await api.get(f"/api/v1/videos/{video_id}")).json()["notice"] is None


async def awaiting(gateway: Gateway, api: httpx.AsyncClient, *durations: float) -> str:
    """Request a video whose storyboard, with scenes of these durations, awaits review; returns its path."""
    request = {**GOOD, "sceneCount": len(durations), "duration": int(sum(durations)), "review": True}
    video_id = (await api.post("/api/v1/videos", json=request)).json()["videoId"]
    wire = storyboard(*durations)
    more = {"videoId": video_id, "storyScript": "s", "aspectRatio": "16:9", "review": True}
    await tell(gateway, StoryboardCreated.model_validate({**wire, **more}))
    return f"/api/v1/videos/{video_id}"


def storyboard(*durations: float) -> dict[str, Any]:
    scenes = [
        {
            "sceneNumber": n, "description": "d", "cameraAngle": ("wide", "medium", "close-up")[n - 1],
            "duration": duration, "action": f"a {n}", "transition": "cut",
        }
        for n, duration in enumerate(durations, 1)
    ]  # fmt: skip
    total = int(sum(durations))
    return {"title": "t", "niche": "n", "overallPrompt": "p", "totalDuration": total, "scenes": scenes}


async def used_today(api: httpx.AsyncClient) -> float:
    return float((await api.post("/api/v1/estimates", json=GOOD)).json()["usedTodayUsd"])


async def test_a_review_shows_the_exact_price_and_an_approved_edit_corrects_it(opened: Open) -> None:
    gateway, api = await opened()
    path = await awaiting(gateway, api, 10, 10, 10)
    assert float((await api.get(path)).json()["estimatedCostUsd"]) == await used_today(api) == PRICE
    approved = await api.post(f"{path}/approve", json={"storyboard": storyboard(10, 10)})
    assert (approved.status_code, float(approved.json()["estimatedCostUsd"])) == (202, 2.4)
    assert await used_today(api) == 2.4


async def test_an_edit_that_does_not_fit_is_refused_and_the_video_goes_on_waiting(opened: Open) -> None:
    gateway, api = await opened(budget_day_usd=PRICE + 1)
    path = await awaiting(gateway, api, 10, 10, 10)
    refused = await api.post(f"{path}/approve", json={"storyboard": storyboard(20, 10, 10)})
    assert (refused.status_code, float(refused.json()["estimateUsd"])) == (402, 4.8)
    video = (await api.get(path)).json()
    assert (video["awaitingReview"], float(video["estimatedCostUsd"])) == (True, PRICE)
    assert await used_today(api) == PRICE
    assert (await api.post(f"{path}/approve", json={})).status_code == 202
    assert await used_today(api) == PRICE


async def test_what_is_approved_on_another_day_is_paid_from_that_day(opened: Open) -> None:
    gateway, api = await opened()
    path = await awaiting(gateway, api, 10, 10, 10)
    async with gateway.database.sessions.begin() as session:
        await session.execute(text("UPDATE videos SET budgetDay = '2026-01-01'"))
        await session.execute(text("UPDATE budgets SET day = '2026-01-01' WHERE day <> ''"))
    assert await used_today(api) == 0
    assert (await api.post(f"{path}/approve", json={})).status_code == 202
    assert await used_today(api) == PRICE
    async with gateway.database.reading() as session:
        old = await session.execute(text("SELECT SUM(used) FROM budgets WHERE day = '2026-01-01'"))
        assert int(old.scalar_one()) == 0


async def test_a_cancelled_review_gives_its_money_back_and_its_free_film_takes_none(opened: Open) -> None:
    gateway, api = await opened(budget_day_usd=PRICE)
    path = await awaiting(gateway, api, 10, 10, 10)
    film = (await api.post(f"{path}/animatic", json={})).json()
    assert float(film["estimatedCostUsd"]) == 0
    await api.post(f"{path}/cancel", json={})
    assert await used_today(api) == 0


async def test_the_price_of_an_edited_storyboard_is_exact_at_once(opened: Open) -> None:
    _, api = await opened()
    quote = (await api.post("/api/v1/estimates", json={"storyboard": storyboard(5, 10)})).json()
    assert float(quote["estimateUsd"]) == 1.8


async def test_approvals_and_a_cancellation_at_once_leave_no_money_held(opened: Open) -> None:
    gateway, api = await opened()
    path = await awaiting(gateway, api, 10, 10, 10)
    calls = [api.post(f"{path}/approve", json={}) for _ in range(8)] + [api.post(f"{path}/cancel", json={})]
    answers = await asyncio.gather(*calls)
    *approvals, cancelled = [answer.status_code for answer in answers]
    assert set(approvals) <= {202, 409}
    assert approvals.count(202) <= 1
    assert cancelled == 202
    assert (await api.get(path)).json()["status"] == "cancelled"
    assert await used_today(api) == 0


@pytest.mark.parametrize(
    ("provider", "held", "booked", "owner", "is_booked"),
    [
        ("runway", "12.00", "0", "anonymous", True),
        ("runway", "36.01", "0", "anonymous", False),
        ("runway", "0", "999999", "anonymous", False),
        ("runway", "0.40", "0", "anna", False),
        ("luma", "9.00", "0", "anonymous", True),
        ("luma", "100.01", "0", "anonymous", False),
        ("animatic", "0", "0", "anonymous", True),
    ],
)
async def test_a_charge_that_does_not_fit_its_video_takes_nothing_from_any_budget(
    opened: Open, provider: str, held: str, booked: str, owner: str, is_booked: bool
) -> None:
    gateway, api = await opened()
    video_id = (await api.post("/api/v1/videos", json=GOOD)).json()["videoId"]
    event = charged(video_id, 1, 1, "held", held, booked).model_copy(update={"provider": provider, "owner": owner})
    service = gateway.service(NullPublisher())
    [subscription] = [one for one in service.router.subscriptions if one.event is SceneCharged]
    outcome = await process(service, subscription, delivery(), event.model_dump_json().encode())
    charges = (await api.get("/api/v1/charges", params={"videoId": video_id})).json()
    used = float((await api.post("/api/v1/estimates", json=GOOD)).json()["usedTodayUsd"])
    if is_booked:
        assert outcome == Handled()
        assert used == max(PRICE, float(held) + float(booked))
    else:
        assert isinstance(outcome, DeadLettered)
        assert (outcome.kind, charges["charges"], used) == ("charge_implausible", [], PRICE)
