"""The REST API of money: estimates, what was spent, and charges that a person has to settle."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from gateway.access.dependencies import Admin, Reader
from gateway.billing.schemas import (
    ChargePage,
    ChargeResource,
    ChargeState,
    EstimateResource,
    Settlement,
    SpendLine,
    SpendResource,
)
from gateway.billing.service import Money
from gateway.http.json_body import json_only
from gateway.storyboards.reviews import Reviews
from gateway.storyboards.schemas import VideoWish
from gateway.videos.rating_routes import days_before


def routes(money: Money, reviews: Reviews) -> APIRouter:
    """All routes about money, on these tools."""
    router = APIRouter(tags=["money"])

    @router.post("/api/v1/estimates", dependencies=[Depends(json_only)])
    async def estimate_video(wish: VideoWish, caller: Reader) -> EstimateResource:
        """Ask what a video would cost. Nothing is made."""
        event = wish.event(caller.owner)
        reviews.check(event.storyboard)
        quote = await money.quote(event)
        return EstimateResource(
            provider=quote.provider,
            estimate_usd=quote.estimate,
            cap_per_video_usd=quote.caps.video,
            cap_per_owner_and_day_usd=quote.caps.owner_day,
            used_by_owner_today_usd=quote.used_by_owner_today,
            cap_per_day_usd=quote.caps.day,
            used_today_usd=quote.used_today,
            simulated=quote.simulated,
        )

    @router.get("/api/v1/spend")
    async def get_spend(
        caller: Reader,
        first: Annotated[date | None, Query(alias="from", description="Default: 30 days ago")] = None,
        last: Annotated[date | None, Query(alias="to", description="Default: today")] = None,
        owner: Annotated[str | None, Query(description="Default: all that the caller sees")] = None,
        provider: str | None = None,
    ) -> SpendResource:
        """See what was spent, by day (UTC), owner and provider."""
        until = last or datetime.now(UTC).date()
        found = await money.spend(
            first or days_before(until, 30), until, owner, provider, visible_owner=caller.visible_owner
        )
        lines = [
            SpendLine(
                day=date.fromisoformat(spent.day),
                owner=spent.owner,
                provider=spent.provider,
                attempts=spent.attempts,
                held_usd=spent.held,
                unknown_usd=spent.unknown,
                booked_usd=spent.booked,
                simulated=spent.simulated,
            )
            for spent in found
        ]
        zero, real = Decimal(0), [line for line in lines if not line.simulated]
        return SpendResource(
            lines=lines,
            held_usd=sum((line.held_usd for line in real), zero),
            unknown_usd=sum((line.unknown_usd for line in real), zero),
            booked_usd=sum((line.booked_usd for line in real), zero),
        )

    @router.get("/api/v1/charges")
    async def list_charges(
        caller: Reader,
        state: ChargeState | None = None,
        video_id: Annotated[UUID | None, Query(alias="videoId")] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> ChargePage:
        """List charges, the latest first. Those that are `unknown` wait for a person to settle them."""
        found = await money.charges(state, video_id, limit, owner=caller.visible_owner)
        return ChargePage(charges=[ChargeResource.model_validate(charge) for charge in found])

    @router.post(
        "/api/v1/charges/{attempt_id}/settle", status_code=202, dependencies=[Depends(json_only)], responses={409: {}}
    )
    async def settle_charge(attempt_id: UUID, settlement: Settlement, caller: Admin) -> ChargeResource:
        """Settle an unknown charge, once you have looked it up in the provider's account."""
        charge = await money.review(
            attempt_id,
            paid=settlement.paid,
            task_id=settlement.task_id,
            cost=settlement.cost_usd,
            again=settlement.again,
            by=caller.owner,
        )
        return ChargeResource.model_validate(charge)

    return router
