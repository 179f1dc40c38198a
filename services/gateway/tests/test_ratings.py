"""How films are liked, how well they are made, and who renders them."""

from decimal import Decimal
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from gateway.app import Gateway
from gateway.models import Video
from shared.contracts.events import SceneDelayed, SceneStarted, VideoFailed
from shared.persistence.database import now
from shared.persistence.unit_of_work import transaction

VIDEOS = "/api/v1/videos"

either = pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("mariadb", marks=pytest.mark.connected)], indirect=True
)


async def test_a_film_can_be_rated_anew_and_the_rating_taken_back(api: httpx.AsyncClient, filmed: Any) -> None:
    link = (await filmed())["links"]["self"]
    for wish in ({"rating": 2}, {"rating": 5, "comment": "  The kite! ☕ "}):
        answer = await api.put(f"{link}/rating", json=wish)
        assert (answer.status_code, answer.json()["rating"]) == (200, wish["rating"])
    shown = (await api.get(link)).json()
    assert (shown["rating"], shown["ratingComment"]) == (5, "The kite! ☕")
    assert [(await api.delete(f"{link}/rating")).status_code for _ in range(2)] == [204, 204]
    shown = (await api.get(link)).json()
    assert (shown["rating"], shown["ratingComment"]) == (None, None)


@pytest.mark.parametrize(
    "wish", [{"rating": 0}, {"rating": 6}, {"rating": 4.5}, {}, {"rating": 3, "comment": "x" * 1001}]
)
async def test_a_rating_that_is_none_is_refused(api: httpx.AsyncClient, filmed: Any, wish: Any) -> None:
    answer = await api.put((await filmed())["links"]["self"] + "/rating", json=wish)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


async def test_what_is_not_made_cannot_be_rated(api: httpx.AsyncClient) -> None:
    video = (await api.post(VIDEOS, json={"prompt": "a fox"})).json()
    answer = await api.put(video["links"]["self"] + "/rating", json={"rating": 1})
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems#nothing-to-rate")


@either
async def test_the_figures_say_how_well_it_goes(
    api: httpx.AsyncClient, gateway: Gateway, filmed: Any, happen: Any
) -> None:
    empty = (await api.get("/api/v1/statistics")).json()
    assert (empty["requested"], empty["successRate"], empty["averageRating"]) == (0, None, None)
    films = [await filmed() for _ in range(3)]
    for film, rating in zip(films, (5, 4, None), strict=True):
        if rating:
            await api.put(film["links"]["self"] + "/rating", json={"rating": rating})
    lost, dropped, _running = [(await api.post(VIDEOS, json={"prompt": "a fox"})).json() for _ in range(3)]
    await happen(VideoFailed(video_id=lost["videoId"], stage="composer", kind="k", reason="r"))
    await api.post(dropped["links"]["cancel"], json={})
    await api.post(films[0]["links"]["animatic"], json={})  # a free preview is no video of its own
    await api.delete(films[1]["links"]["self"])  # it was made all the same
    told = (await api.get("/api/v1/statistics")).json()
    assert (told["requested"], told["completed"], told["failed"], told["cancelled"]) == (6, 3, 1, 1)
    assert (told["successRate"], told["averageRating"], told["ratings"]) == (0.75, 4.5, 2)
    assert 0 <= told["averageSeconds"] < 60
    before = (await api.get("/api/v1/statistics", params={"to": "2020-01-01"})).json()
    assert before["requested"] == 0


@either
async def test_the_figures_show_the_spread_of_cost_and_time_by_tier_and_provider(
    api: httpx.AsyncClient, gateway: Gateway, filmed: Any
) -> None:
    empty = (await api.get("/api/v1/statistics")).json()
    assert (empty["films"], empty["byQuality"], empty["byProvider"]) == (
        {"name": "all", "films": 0, "costUsd": None, "seconds": None},
        [],
        [],
    )
    # The cheapest and quickest ones are premium films of Luma.
    for n in range(1, 21):
        film = await filmed()
        cheap = n <= 5
        changed = {
            "cost_usd": Decimal(n) / 10, "created_at": now(-10 * n), "completed_at": now(), "approved_at": None,
            "quality": "premium" if cheap else "standard", "renderer": "luma" if cheap else "runway",
        }  # fmt: skip
        async with transaction(gateway.database) as work:
            await work.session.execute(update(Video).where(Video.video_id == film["videoId"]).values(changed))
    told = (await api.get("/api/v1/statistics")).json()
    assert (told["films"]["films"], told["films"]["costUsd"]) == (20, {"p50": "1.0000", "p95": "1.9000"})
    assert told["films"]["seconds"] == {"p50": pytest.approx(100, abs=2), "p95": pytest.approx(190, abs=2)}
    for group, cheap, other in (("byQuality", "premium", "standard"), ("byProvider", "luma", "runway")):
        assert [(one["name"], one["films"], one["costUsd"]) for one in told[group]] == [
            (cheap, 5, {"p50": "0.3000", "p95": "0.5000"}),
            (other, 15, {"p50": "1.3000", "p95": "2.0000"}),
        ]
    async with transaction(gateway.database) as work:
        await work.session.execute(update(Video).values(simulated=True))
    told = (await api.get("/api/v1/statistics")).json()["films"]
    assert (told["costUsd"], told["seconds"] is not None) == (None, True)


@either
async def test_providers_are_shown_with_their_prices_and_what_they_have(
    api: httpx.AsyncClient, gateway: Gateway, happen: Any, film_of: Any, tmp_path: Any
) -> None:
    [idle] = (await api.get("/api/v1/providers")).json()["providers"]
    assert (idle["name"], idle["pricesUsd"], idle["rendering"], idle["waiting"]) == ("animatic", {}, 0, 0)
    gateway.settings.video_providers = ("runway", "luma")
    video = (await api.post(VIDEOS, json={"prompt": "a fox", "sceneCount": 2})).json()
    own = {"video_id": video["videoId"]}
    [storyboard, *_] = await film_of(video["videoId"])
    reason = "runway has no credit left"
    await happen(
        storyboard,
        SceneStarted(**own, scene_number=1, provider="luma", eta_seconds=30),
        SceneDelayed(**own, scene_number=2, provider="runway", kind="credit", reason=reason),
    )
    runway, luma = (await api.get("/api/v1/providers")).json()["providers"]
    assert (runway["model"], runway["pricesUsd"]["10"]) == ("runway/gen4_turbo", "0.50")
    assert (runway["rendering"], runway["waiting"]) == (0, 1)
    assert (runway["available"], runway["notice"]) == (False, reason)
    assert (luma["rendering"], luma["waiting"], luma["available"]) == (1, 0, True)
    await happen(SceneStarted(**own, scene_number=2, provider="runway", eta_seconds=30))
    runway, _ = (await api.get("/api/v1/providers")).json()["providers"]
    assert (runway["available"], runway["rendering"]) == (True, 1)
