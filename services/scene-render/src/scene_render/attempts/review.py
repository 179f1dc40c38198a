"""Settles an unknown attempt as decided by a person who looked it up at the provider."""

import structlog
from sqlalchemy import select

from scene_render.attempts.polling import load
from scene_render.dependencies import Dependencies
from scene_render.models import Attempt
from scene_render.providers.base import Lost, ProviderSilent
from shared.contracts.events import ChargeReviewed
from shared.messaging.errors import TryAgainLater
from shared.messaging.event_router import Delivery
from shared.money.prices import FREE
from shared.persistence.unit_of_work import idempotent_transaction

log = structlog.get_logger()


async def settle(event: ChargeReviewed, delivery: Delivery, deps: Dependencies) -> None:
    """Use the clip of the attempt, book its cost, or release its reservation."""
    attempt, _, _ = await load(event.attempt_id, deps)
    wrong = None
    if event.paid and event.task_id is not None:
        provider = deps.attempts.provider_of(attempt)
        wrong = await _wrong_with(provider.task_id_of(event.task_id, attempt.model), attempt, deps)
    async with idempotent_transaction(deps.database, delivery) as work:
        if wrong is not None:
            await deps.attempts.refuse_task(work, attempt, wrong)
        elif event.paid and event.task_id is not None:
            await deps.attempts.submitted(work, attempt, event.task_id)
        else:
            cost = event.cost_usd if event.paid else FREE
            await deps.attempts.settle_unknown(work, attempt, cost, again=event.again)
    log.info("charge.reviewed", attempt_id=attempt.id, paid=event.paid, by=event.by, wrong=wrong)


async def _wrong_with(task_id: str, attempt: Attempt, deps: Dependencies) -> str | None:
    """Return why a task cannot belong to an attempt; None if it can."""
    provider = deps.attempts.provider_of(attempt)
    taken = (Attempt.provider == attempt.provider, Attempt.task_id == task_id, Attempt.id != attempt.id)
    async with deps.database.reading() as session:
        other = (await session.execute(select(Attempt.video_id, Attempt.scene_number).where(*taken))).first()
    if other is not None:
        return f"Task {task_id} is that of scene {other.scene_number} of video {other.video_id}; look it up again."
    try:
        status = await provider.check(task_id)
    except ProviderSilent as silence:
        raise TryAgainLater(f"{provider.name} does not say whether it knows task {task_id}") from silence
    if isinstance(status, Lost):
        return f"{provider.name} knows no task {task_id}; look it up again in the account whose key is used here."
    return None
