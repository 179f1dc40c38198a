"""The cost of a language model: reserved before each call, booked with each answer, within the caps."""

from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from shared.contracts.events import StoryboardDrafted, StoryboardFailed, StoryboardRequested, StoryCharged, VideoFailed
from shared.messaging.message_processor import DeadLettered, Handled, Retry, process
from shared.money.budget import Caps
from shared.money.prices import TokenPrices
from shared_testing.servers import delivery, published
from storyboard.handlers import router
from storyboard.models import LlmAnswerRow, budgets

CENT = Decimal("0.01")


@pytest.fixture
def rig(rig: Any) -> Any:
    rig.prices = TokenPrices(Decimal(2), Decimal(8))
    return rig


async def used(rig: Any) -> set[Decimal]:
    """What is used of each budget, in USD."""
    async with rig.database.reading() as session:
        rows = await session.scalars(select(budgets.c.used))
        return {units * Decimal("0.0001") for units in rows}


async def test_each_answer_is_booked_and_the_total_published(rig) -> None:
    await rig.fault("wrong_count", times=1)
    assert await rig.process(rig.request(owner="publisher")) == Handled()
    first, second, *_ = await published(rig.database)
    assert isinstance(first, StoryCharged)
    assert isinstance(second, StoryCharged)
    assert (first.attempt_id, first.revision, second.revision) == (second.attempt_id, 1, 2)
    cost = sum(answer.cost_usd for answer in await rig.rows(LlmAnswerRow))
    assert 0 <= second.booked_usd - cost < Decimal("0.0001")
    assert (second.owner, second.held_usd, second.alone) == ("publisher", 0, False)
    [booked] = await used(rig)
    assert 0 <= booked - second.booked_usd <= Decimal("0.0001")


@pytest.mark.parametrize("cap", ["video", "owner_day", "day"])
async def test_a_request_over_budget_is_not_sent(rig, cap: str) -> None:
    caps = Caps(**({"video": None, "owner_day": None, "day": None} | {cap: CENT}))
    ended = await rig.process(rig.request(), rig.service(rig.writer(caps=caps)))
    assert isinstance(ended, DeadLettered)
    [failed] = await published(rig.database)
    assert isinstance(failed, VideoFailed)
    assert (failed.stage, failed.kind) == ("storyboard", "budget")
    assert "of $0.01 left for" in failed.reason
    assert await rig.calls() == 0
    assert await used(rig) <= {Decimal(0)}


@pytest.mark.parametrize(
    ("fault", "outcome", "is_held"),
    [("500", Retry, False), ("401", DeadLettered, False), ("slow", Retry, True), ("truncated", Retry, True)],
)
async def test_the_reservation_stays_only_if_the_model_may_have_charged(
    rig, fault: str, outcome: type, is_held: bool
) -> None:
    await rig.fault(fault, seconds=5)
    writer = rig.writer(timeout=0.3 if fault == "slow" else 20)
    assert isinstance(await rig.process(rig.request(), rig.service(writer)), outcome)
    assert any(await used(rig)) == is_held


@pytest.mark.parametrize(("cap", "end"), [(None, StoryboardDrafted), (CENT, StoryboardFailed)])
async def test_caps_apply_to_storyboards_without_a_video(rig, cap: Decimal | None, end: type) -> None:
    [subscription] = [one for one in router.subscriptions if one.event is StoryboardRequested]
    request = StoryboardRequested(video_id=rig.request().video_id, prompt="a fox")
    service = rig.service(rig.writer(caps=Caps(None, cap, None)))
    assert await process(service, subscription, delivery(), request.model_dump_json().encode()) == Handled()
    *charged, ended = await published(rig.database)
    assert isinstance(ended, end)
    assert [event.alone for event in charged] == ([True] if cap is None else [])
