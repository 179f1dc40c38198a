"""Estimates, spending and charges as the API shows them."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from gateway.http.resource import Resource

ChargeState = Literal["held", "unknown", "settled"]


class EstimateResource(Resource):
    """What a request would cost, in USD, and how much of the day's budgets is used; null: there is no such cap."""

    provider: str
    estimate_usd: Decimal
    cap_per_video_usd: Decimal | None
    cap_per_owner_and_day_usd: Decimal | None
    used_by_owner_today_usd: Decimal
    cap_per_day_usd: Decimal | None
    used_today_usd: Decimal
    simulated: bool = Field(description="Whether the money is not real, because the provider is simulated")


class SpendLine(Resource):
    """What one provider took for one owner on one day (UTC), in USD. `unknown` is a part of `held`."""

    day: date
    owner: str
    provider: str
    attempts: int
    held_usd: Decimal
    unknown_usd: Decimal
    booked_usd: Decimal
    simulated: bool = Field(description="Whether the money is not real, because the provider is simulated")


class SpendResource(Resource):
    """What was spent, by day, owner and provider, and the sums, in which simulated money does not count."""

    lines: list[SpendLine]
    held_usd: Decimal
    unknown_usd: Decimal
    booked_usd: Decimal


class ChargeResource(Resource):
    """What one paid attempt at a scene holds or took, in USD.

    `unknown`: it may have been paid and nobody can tell. Look it up in the provider's account, and settle it.
    """

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, from_attributes=True)

    attempt_id: UUID
    video_id: UUID
    scene_number: int
    owner: str
    provider: str
    day: date
    state: ChargeState
    held_usd: Decimal
    booked_usd: Decimal
    task_id: str | None
    reason: str | None
    simulated: bool = Field(description="Whether the money is not real, because the provider is simulated")


class ChargePage(Resource):
    """Charges, the latest first."""

    charges: list[ChargeResource]


class Settlement(BaseModel):
    """What a person has found out about an unknown charge.

    Paid, with the provider's `taskId`: the provider is asked for it; if it knows the task, its clip is fetched and the
    video goes on, else the charge stays unknown and its `reason` says what is wrong. Paid without: `costUsd` is booked
    (default: what is held). Not paid: the money is free; with `again` the scene is tried once more.
    """

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    paid: bool
    task_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]+$", max_length=255)] | None = None
    cost_usd: Annotated[Decimal, Field(ge=0, le=1000)] | None = None
    again: bool = False
