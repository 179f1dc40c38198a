"""Estimates, spending and charges as the REST API takes and shows them."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from gateway.billing.charges import Spent
from gateway.billing.service import Quote
from gateway.http.resource import Resource
from shared.contracts.story import Quality

ChargeState = Literal["held", "unknown", "settled"]
Simulated = Annotated[bool, Field(description="Whether the money is not real, because the provider is simulated")]


class TierEstimate(Resource):
    """What a request would cost in one tier, in USD."""

    quality: Quality
    estimate_usd: Decimal


class EstimateResource(Resource):
    """What a request would cost, in USD, and how much of the day's budgets is used; null: there is no such cap."""

    provider: str
    quality: Quality
    estimate_usd: Decimal
    tiers: list[TierEstimate] = Field(description="The same request in each tier")
    cap_per_video_usd: Decimal | None
    cap_per_owner_and_day_usd: Decimal | None
    used_by_owner_today_usd: Decimal
    cap_per_day_usd: Decimal | None
    used_today_usd: Decimal
    simulated: Simulated


class SpendLine(Resource):
    """What one provider charged one owner on one day (UTC), in USD. `unknown` is part of `held`."""

    day: date
    owner: str
    provider: str
    attempts: int
    held_usd: Decimal
    unknown_usd: Decimal
    booked_usd: Decimal
    simulated: Simulated


class SpendResource(Resource):
    """What was spent, by day, owner and provider, and the totals without simulated money."""

    lines: list[SpendLine]
    held_usd: Decimal
    unknown_usd: Decimal
    booked_usd: Decimal


class ChargeResource(Resource):
    """What one paid attempt holds or cost, in USD. Scene 0: it is for no scene, but for the cast or the storyboard.

    `unknown`: nobody knows whether it was paid. Look it up in the provider's account and settle it.
    """

    model_config = ConfigDict(from_attributes=True)

    attempt_id: UUID
    video_id: UUID
    scene_number: int
    owner: str
    purpose: Literal["clip", "first_frame", "reference", "storyboard"]
    provider: str
    model: str | None
    day: date
    state: ChargeState
    held_usd: Decimal
    booked_usd: Decimal
    task_id: str | None
    reason: str | None
    simulated: Simulated


class ChargePage(Resource):
    """Charges, the latest first."""

    charges: list[ChargeResource]


class Settlement(BaseModel):
    """What a person found out about an unknown charge.

    Paid, with the provider's `taskId`: the task is looked up at the provider. If it exists, its clip is fetched and the
    video continues; otherwise the charge stays unknown and `reason` says why. Paid without a `taskId`: `costUsd` is
    booked (default: the amount held). Not paid: the money is released; with `again`, the scene is tried once more.
    """

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    paid: bool
    task_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]+$", max_length=255)] | None = None
    cost_usd: Annotated[Decimal, Field(ge=0, le=1000)] | None = None
    again: bool = False


def estimate_resource(quote: Quote) -> EstimateResource:
    """Show a quote."""
    return EstimateResource(
        provider=quote.provider,
        quality=quote.quality,
        estimate_usd=quote.estimate,
        tiers=[TierEstimate(quality=tier, estimate_usd=usd) for tier, usd in quote.tiers.items()],
        cap_per_video_usd=quote.caps.video,
        cap_per_owner_and_day_usd=quote.caps.owner_day,
        used_by_owner_today_usd=quote.used_by_owner_today,
        cap_per_day_usd=quote.caps.day,
        used_today_usd=quote.used_today,
        simulated=quote.simulated,
    )


def spend_resource(spent: list[Spent]) -> SpendResource:
    """Show what was spent, with totals."""
    lines = [
        SpendLine(
            day=date.fromisoformat(line.day),
            owner=line.owner,
            provider=line.provider,
            attempts=line.attempts,
            held_usd=line.held,
            unknown_usd=line.unknown,
            booked_usd=line.booked,
            simulated=line.simulated,
        )
        for line in spent
    ]
    zero, real = Decimal(0), [line for line in lines if not line.simulated]
    return SpendResource(
        lines=lines,
        held_usd=sum((line.held_usd for line in real), zero),
        unknown_usd=sum((line.unknown_usd for line in real), zero),
        booked_usd=sum((line.booked_usd for line in real), zero),
    )
