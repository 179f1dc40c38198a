"""The money of an attempt: reserved with its INTENT, settled when it ends, published at every change.

Each function is a part of its caller's transaction.
"""

import uuid
from decimal import Decimal

import prometheus_client as prometheus

from scene_render.models import Attempt, ChargeState, Render, Spend, budgets
from shared.contracts.events import SceneCharged
from shared.money import budget
from shared.money.budget import Budget, Caps
from shared.money.prices import FREE
from shared.persistence.database import now
from shared.persistence.unit_of_work import UnitOfWork

BOOKED = prometheus.Counter("multishot_spend_usd_total", "What providers took, in USD", ["provider"])


async def reserve(
    work: UnitOfWork, attempt: Attempt, render: Render, price: Decimal, caps: Caps, *, simulated: bool
) -> None:
    """Reserve the price of an attempt, in USD.

    Raises:
        BudgetExceeded: a budget does not suffice; nothing was changed.
    """
    day = await budget.today(work.session)
    of_video = caps.budgets(render.video_id, render.owner, day, simulated=simulated)
    await budget.reserve(work.session, budgets, of_video, price)
    spend = Spend(
        attempt_id=attempt.id,
        video_id=render.video_id,
        owner=render.owner,
        provider=attempt.provider,
        day=day,
        reserved_usd=price,
        reserved_at=now(),
        simulated=simulated,
    )
    work.session.add(spend)
    await work.session.flush()
    await publish_charge(work, attempt, "held")


async def settle(work: UnitOfWork, attempt: Attempt, render: Render, cost: Decimal | None) -> None:
    """Replace the reservation by the actual cost in USD (None: the reserved amount)."""
    spend = await work.session.get(Spend, attempt.id, with_for_update=True)
    if spend is None:
        return
    taken = spend.reserved_usd if cost is None else cost
    await budget.adjust(work.session, budgets, _budgets_of(spend), taken - spend.reserved_usd)
    spend.reserved_usd, spend.booked_usd = FREE, taken
    await publish_charge(work, attempt, "settled")
    name = f"{attempt.provider} (simulated)" if spend.simulated else attempt.provider
    BOOKED.labels(name).inc(float(taken))
    render.cost_usd += taken


async def reserve_again(work: UnitOfWork, attempt: Attempt, day_usd: Decimal, *, simulated: bool) -> None:
    """Reserve the price of an UNKNOWN attempt again, from the daily budget for that.

    Raises:
        BudgetExceeded: a budget does not suffice; nothing was changed.
    """
    price = (await work.session.get_one(Spend, attempt.id)).reserved_usd
    scope = f"{budget.SIMULATED if simulated else ''}again"
    cap = Budget(scope, await budget.today(work.session), day_usd)
    await budget.reserve(work.session, budgets, (cap,), price)


async def publish_charge(
    work: UnitOfWork, attempt: Attempt, state: ChargeState, *, task_id: str | None = None, reason: str | None = None
) -> None:
    """Publish the charge of an attempt, unless it is free."""
    spend = await work.session.get(Spend, attempt.id, with_for_update=True)
    if spend is None:
        return
    spend.state = state
    spend.revision += 1
    charged = SceneCharged(
        video_id=uuid.UUID(attempt.video_id),
        scene_number=attempt.shown_scene,
        purpose=attempt.product,
        model=attempt.model,
        attempt_id=uuid.UUID(attempt.id),
        revision=spend.revision,
        owner=spend.owner,
        provider=attempt.provider,
        day=spend.day,
        state=state,
        held_usd=spend.reserved_usd,
        booked_usd=spend.booked_usd,
        task_id=task_id or attempt.task_id,
        reason=reason,
        simulated=spend.simulated,
    )
    await work.emit(charged)


def _budgets_of(spend: Spend) -> tuple[Budget, ...]:
    return Caps(None, None, None).budgets(spend.video_id, spend.owner, spend.day, simulated=spend.simulated)
