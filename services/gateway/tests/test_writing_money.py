"""What a language model takes for a story: in the cost and promise of its video, in the budgets, for one alone too."""

from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from gateway.app import Gateway
from shared.contracts.events import Event, StoryboardRequested, StoryCharged, VideoFailed
from shared.contracts.story import Scene
from shared.messaging.message_processor import DeadLettered, process
from shared_testing.servers import delivery, published

WISH = {"prompt": "a fox", "sceneCount": 2, "duration": 30}
EXPECTED = Decimal("0.04")
"""4,000 tokens each way, at 2 and 8 USD a million."""


@pytest.fixture
def more_settings() -> dict[str, Any]:
    return {"llm_price_input_usd": 2, "llm_price_output_usd": 8, "budget_day_usd": Decimal("0.10")}


def taken(video_id: str, usd: str, revision: int = 1, **more: Any) -> StoryCharged:
    return StoryCharged(
        video_id=UUID(video_id), attempt_id=UUID(int=5), revision=revision, owner="anonymous", provider="llm",
        day=more.pop("day", "2026-11-20"), state="settled", held_usd=0, booked_usd=usd, **more,
    )  # fmt: skip


async def used(gateway: Gateway) -> dict[str, Decimal]:
    """What is used of each kind of budget, over all days."""
    async with gateway.database.reading() as session:
        rows = (await session.execute(text("SELECT scope, used FROM budgets"))).all()
    return {scope.split(":")[0]: units * Decimal("0.0001") for scope, units in rows}


async def test_a_video_is_promised_the_money_for_its_story_and_booked_what_it_took(
    api: httpx.AsyncClient, gateway: Gateway, happen: Any, film_of: Any
) -> None:
    video = (await api.post("/api/v1/videos", json=WISH)).json()
    assert Decimal(str(video["estimatedCostUsd"])) == EXPECTED
    assert (await used(gateway))["all"] == EXPECTED
    first, second = taken(video["videoId"], "0.0100"), taken(video["videoId"], "0.0300", revision=2)
    created: list[Event] = (await film_of(video["videoId"]))[:1]
    await happen(first, first, *created, second, first)
    shown = (await api.get(video["links"]["self"])).json()
    assert Decimal(str(shown["costUsd"])) == Decimal(str(shown["estimatedCostUsd"])) == Decimal("0.03")
    assert set((await used(gateway)).values()) == {Decimal("0.03")}
    spend = (await api.get("/api/v1/spend?from=2026-11-20&to=2026-11-20")).json()
    assert Decimal(str(spend["bookedUsd"])) == Decimal("0.03")


async def test_a_video_that_fails_with_its_story_has_cost_what_the_model_took(
    api: httpx.AsyncClient, gateway: Gateway, happen: Any
) -> None:
    video = (await api.post("/api/v1/videos", json=WISH)).json()
    failed = VideoFailed(video_id=UUID(video["videoId"]), stage="storyboard", kind="storyboard", reason="r")
    await happen(failed, taken(video["videoId"], "0.0200"))
    assert set((await used(gateway)).values()) == {Decimal("0.02")}


async def test_a_video_that_brings_its_storyboard_pays_for_no_writing(api: httpx.AsyncClient) -> None:
    scenes = [
        Scene(scene_number=n, description="d", camera_angle=a, duration=15, action=f"a {n}", transition="cut")
        for n, a in ((1, "wide"), (2, "medium"))
    ]
    story = {"title": "t", "niche": "n", "overallPrompt": "p", "totalDuration": 30}
    board = {**story, "scenes": [scene.model_dump(mode="json", by_alias=True) for scene in scenes]}
    answer = await api.post("/api/v1/estimates", json={**WISH, "storyboard": board})
    assert float(answer.json()["estimateUsd"]) == 0


async def test_a_storyboard_alone_counts_and_is_refused_where_nothing_is_left(
    api: httpx.AsyncClient, gateway: Gateway, happen: Any
) -> None:
    async with gateway.database.sessions.begin() as session:
        day = (await session.execute(text("SELECT date('now')"))).scalar_one()
    await happen(
        taken(str(uuid4()), "0.0500", alone=True, day=day), taken(str(uuid4()), "0.0700", 2, alone=True, day=day)
    )
    assert {kind: usd for kind, usd in (await used(gateway)).items() if kind != "video"} == {
        "all": Decimal("0.07"),
        "owner": Decimal("0.07"),
    }
    assert (await api.get("/api/v1/videos")).json()["total"] == 0
    refused = await api.post("/api/v1/storyboards", json=WISH)
    assert refused.status_code == 402, refused.text
    assert "all videos today" in refused.json()["detail"]
    assert not any(isinstance(event, StoryboardRequested) for event in await published(gateway.database))


async def test_a_charge_that_names_another_owner_is_not_booked(
    api: httpx.AsyncClient, service: Any, gateway: Gateway
) -> None:
    video = (await api.post("/api/v1/videos", json=WISH)).json()
    forged = taken(video["videoId"], "0.0200").model_copy(update={"owner": "victim"})
    [hears] = [one for one in service.router.subscriptions if one.event is StoryCharged]
    assert isinstance(await process(service, hears, delivery(), forged.model_dump_json().encode()), DeadLettered)
    assert float((await api.get(video["links"]["self"])).json()["costUsd"]) == 0
