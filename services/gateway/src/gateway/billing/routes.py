"""The REST API of money: what was spent, and charges that a person has to settle."""

from datetime import UTC, date, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from gateway.access.dependencies import Admin, Reader
from gateway.billing.charges import Charges
from gateway.billing.schemas import (
    ChargePage,
    ChargeResource,
    ChargeState,
    Settlement,
    SpendResource,
    spend_resource,
)
from gateway.http.date_range import days_before
from gateway.http.json_body import json_only

DEFAULT_DAYS = 30


def routes(charges: Charges) -> APIRouter:
    """Return the routes of spending and charges."""
    router = APIRouter(tags=["money"])

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
        since = first or days_before(until, DEFAULT_DAYS)
        return spend_resource(await charges.spend(since, until, (owner, caller.visible_owner), provider))

    @router.get("/api/v1/charges")
    async def list_charges(
        caller: Reader,
        state: ChargeState | None = None,
        video_id: Annotated[UUID | None, Query(alias="videoId")] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> ChargePage:
        """List charges, the latest first. Those that are `unknown` wait for a person to settle them."""
        found = await charges.latest(state, video_id, limit, owner=caller.visible_owner)
        return ChargePage(charges=[ChargeResource.model_validate(charge) for charge in found])

    @router.post(
        "/api/v1/charges/{attempt_id}/settle", status_code=202, dependencies=[Depends(json_only)], responses={409: {}}
    )
    async def settle_charge(attempt_id: UUID, settlement: Settlement, caller: Admin) -> ChargeResource:
        """Settle an unknown charge, once you have looked it up in the provider's account."""
        charge = await charges.settle(
            attempt_id,
            paid=settlement.paid,
            task_id=settlement.task_id,
            cost=settlement.cost_usd,
            again=settlement.again,
            by=caller.owner,
        )
        return ChargeResource.model_validate(charge)

    return router
