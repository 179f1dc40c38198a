"""Ends attempts, and retries or fails their scenes.

Each method is a part of its caller's transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import prometheus_client as prometheus
from sqlalchemy import CursorResult, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from scene_render.attempts import billing
from scene_render.attempts.attempt_state import AttemptTransitions
from scene_render.capacity import circuit_breaker, slots
from scene_render.capacity.provider_selection import ProviderSelection
from scene_render.models import Attempt, AttemptState, CancelledVideo, Render
from scene_render.providers.base import Failed, Provider, ProviderUnreachable
from scene_render.scenes.scene_state import SceneTransitions, has_stopped
from scene_render.scenes.video_standing import give_up, resume_when_whole
from shared.money.budget import BudgetExceeded, Caps
from shared.money.prices import FREE
from shared.persistence.database import now
from shared.persistence.unit_of_work import UnitOfWork

MAX_ATTEMPTS = 3
MAX_ATTEMPTS_OF_KIND: Mapping[str, int] = {"bad_output": 2, "job_failed": 2, "clip_unusable": 2}
"""Attempts at a scene per provider. After these failures the same prompt rarely succeeds."""
CONTENT_KINDS = frozenset({"moderation"})
"""Content refused by one provider is not sent to the next."""
UNKNOWN_KIND = "submission_unknown"
RETRY_SECONDS = 5.0
ATTEMPT_SECONDS_WITHOUT_KEY = 3600.0
"""The longest a task may run at a provider that is not configured any more."""

ENDED = prometheus.Counter("multishot_attempts_total", "Attempts by how they ended", ["provider", "state", "kind"])


@dataclass(frozen=True)
class UnknownPolicy:
    """What happens to an order that may have been accepted: it waits for a person.

    With `pay_again` its scene is ordered again after `wait_seconds`, for at most `day_usd` a day.
    """

    pay_again: bool = False
    wait_seconds: float = 600.0
    day_usd: Decimal = Decimal(10)


@dataclass(frozen=True)
class AttemptEndings:
    """The paid step at the providers of `selection`.

    `scale`: the factor of all delays; below 1 for fast simulated providers. `simulated`: the providers, and so the
    money, are not real.
    """

    selection: ProviderSelection
    caps: Caps
    scale: float = 1.0
    unknown_policy: UnknownPolicy = UnknownPolicy()
    simulated: bool = False

    def provider_of(self, attempt: Attempt) -> Provider:
        """Return the provider of an attempt, even one that takes no new scenes.

        Raises:
            ProviderUnreachable: there is no key for it.
        """
        provider = self.selection.providers.get(attempt.provider)
        if provider is None:
            raise ProviderUnreachable(attempt.provider)
        return provider

    async def succeeded(self, work: UnitOfWork, attempt: Attempt, cost: Decimal | None) -> bool:
        """Record a successful task: free its slot, book its cost. Returns False if this was done before."""
        render = await lock_render(work.session, attempt)
        if not await AttemptTransitions(work.session, attempt).succeed():
            return False
        ENDED.labels(attempt.provider, "SUCCEEDED", "").inc()
        await self._settle(work, attempt, render, cost)
        return True

    async def failed(
        self, work: UnitOfWork, attempt: Attempt, failure: Failed, *, before: AttemptState, asked: bool = True
    ) -> None:
        """Record a failed or certainly not accepted task: try again if that may help, else fail the scene.

        `asked`: the provider reported it; otherwise nothing was sent.
        """
        render = await lock_render(work.session, attempt)
        if await AttemptTransitions(work.session, attempt).fail(before, failure.kind, failure.reason):
            ENDED.labels(attempt.provider, "FAILED", failure.kind).inc()
            await self._settle(work, attempt, render, failure.cost)
            if asked:
                await self._recover(work, attempt)
            await self._retry_or_fail(work, render, failure)

    async def cancelled(self, work: UnitOfWork, attempt: Attempt, cost: Decimal | None) -> None:
        """Record that the provider cancelled the task of a cancelled video."""
        render = await lock_render(work.session, attempt)
        if await AttemptTransitions(work.session, attempt).cancel():
            ENDED.labels(attempt.provider, "CANCELLED", "").inc()
            await self._settle(work, attempt, render, cost)
            if await has_stopped(work.session, render):
                SceneTransitions(render).cancel()

    async def rejected(self, work: UnitOfWork, attempt: Attempt, reason: str, *, again: bool) -> None:
        """Record that a paid clip cannot be used. `again`: another attempt may help."""
        render = await lock_render(work.session, attempt)
        if await AttemptTransitions(work.session, attempt).reject_clip("clip_unusable", reason):
            ENDED.labels(attempt.provider, "FAILED", "clip_unusable").inc()
            await self._retry_or_fail(work, render, Failed("clip_unusable", reason, cost=FREE, again=again))

    async def unknown(self, work: UnitOfWork, attempt: Attempt, reason: str, *, before: AttemptState) -> None:
        """Record that the attempt may have been paid: its money stays reserved, and no other attempt is made.

        Its slot stays taken for as long as a task of this provider may run.
        """
        render = await lock_render(work.session, attempt)
        transitions = AttemptTransitions(work.session, attempt)
        if await transitions.lose(before, UNKNOWN_KIND, reason, *self._unknown_until(attempt, before)):
            ENDED.labels(attempt.provider, "UNKNOWN", "").inc()
            await billing.publish_charge(work, attempt, "unknown", reason=reason)
            if await has_stopped(work.session, render):
                await give_up(work, render, UNKNOWN_KIND, reason)

    def _unknown_until(self, attempt: Attempt, before: AttemptState) -> tuple[float, float | None]:
        """Return after how many seconds its slot is freed, and after how many its scene is ordered again."""
        provider = self.selection.providers.get(attempt.provider)
        if provider is None:
            return ATTEMPT_SECONDS_WITHOUT_KEY, None
        pays_again = self.unknown_policy.pay_again and before == "INTENT" and not provider.can_reconcile
        return provider.attempt_seconds, self.unknown_policy.wait_seconds if pays_again else None

    async def pay_again(self, work: UnitOfWork, attempt: Attempt) -> None:
        """Order the scene of an UNKNOWN attempt again, although both may be paid.

        At most once per scene, and within the daily budget for this. The attempt stays UNKNOWN, its money reserved.
        """
        render = await lock_render(work.session, attempt)
        mine = (Attempt.id == attempt.id, Attempt.pay_again_at <= now())
        due = update(Attempt).where(*mine).values(pay_again_at=None).execution_options(synchronize_session=False)
        result = await work.session.execute(due)
        assert isinstance(result, CursorResult)  # noqa: S101 - for the type checker
        waits = (render.state, render.failure_kind, render.attempts) == ("failed", UNKNOWN_KIND, attempt.number)
        if not result.rowcount or not self.unknown_policy.pay_again or not waits or render.paid_again:
            return
        if await work.session.get(CancelledVideo, render.video_id) is not None:
            return
        try:
            await billing.reserve_again(work, attempt, self.unknown_policy.day_usd, simulated=self.simulated)
        except BudgetExceeded as exceeded:
            reason = f"{attempt.failure_reason} It is not ordered again: {exceeded}"
            await billing.publish_charge(work, attempt, "unknown", reason=reason)
            return
        render.paid_again = True
        await self._wait(work, render, 0.0)
        reason = f"{attempt.failure_reason} It was ordered again, as UNKNOWN_POLICY says; both may be paid."
        await billing.publish_charge(work, attempt, "unknown", reason=reason)
        if not render.is_reference:
            await resume_when_whole(work, attempt.video_id)

    async def refuse_task(self, work: UnitOfWork, attempt: Attempt, reason: str) -> None:
        """Publish why the task that a person named cannot belong to an UNKNOWN attempt, which stays as it is."""
        await lock_render(work.session, attempt)
        if await AttemptTransitions(work.session, attempt).stay_unknown(reason):
            await billing.publish_charge(work, attempt, "unknown", reason=reason)

    async def settle_unknown(self, work: UnitOfWork, attempt: Attempt, cost: Decimal | None, *, again: bool) -> None:
        """Settle an UNKNOWN attempt that has no task, as a person decided."""
        render = await lock_render(work.session, attempt)
        if not await AttemptTransitions(work.session, attempt).withdraw("UNKNOWN"):
            return
        await self._settle(work, attempt, render, cost)
        if again and render.state == "failed":
            await self._wait(work, render, 0.0)
            if not render.is_reference:
                await resume_when_whole(work, attempt.video_id)

    async def release_slot(self, work: UnitOfWork, attempt: Attempt) -> None:
        """Free the slot of an attempt that has been UNKNOWN for longer than a task may run."""
        mine = (Attempt.id == attempt.id, Attempt.release_slot_at <= now())
        due = update(Attempt).where(*mine).values(release_slot_at=None).execution_options(synchronize_session=False)
        result = await work.session.execute(due)
        assert isinstance(result, CursorResult)  # noqa: S101 - for the type checker
        if result.rowcount:
            await slots.free(work.session, attempt.id)

    async def _retry_or_fail(self, work: UnitOfWork, render: Render, failure: Failed) -> None:
        """Retry or fail the scene of a failed attempt, unless another attempt may still deliver the part.

        If the latest order may have been paid, the scene fails: only a person or the policy may order again after it.
        """
        if not await has_stopped(work.session, render):
            return
        latest = select(Attempt.failure_reason).where(
            Attempt.video_id == render.video_id,
            Attempt.scene_number == render.scene_number,
            Attempt.number == render.attempts,
            Attempt.state == "UNKNOWN",
        )
        unknown = (await work.session.execute(latest)).first()
        if unknown is not None:
            await give_up(work, render, UNKNOWN_KIND, unknown.failure_reason or "")
        else:
            await self._try_again(work, render, failure)

    async def _try_again(self, work: UnitOfWork, render: Render, failure: Failed) -> None:
        """Queue the scene for another attempt, here or at the next provider, or fail it."""
        render.failures += 1
        if failure.again and render.failures < MAX_ATTEMPTS_OF_KIND.get(failure.kind, MAX_ATTEMPTS):
            await self._wait(work, render, RETRY_SECONDS * self.scale)
            return
        if failure.kind not in CONTENT_KINDS:
            render.tried = [*render.tried, render.provider]
            if await self.selection.route(work, render):
                await self._wait(work, render, 0.0)
                return
        await give_up(work, render, failure.kind, failure.reason)

    async def _wait(self, work: UnitOfWork, render: Render, seconds: float) -> None:
        """Queue the scene, for a start in `seconds` at the earliest; cancel it if its video is cancelled."""
        if await work.session.get(CancelledVideo, render.video_id) is not None:
            SceneTransitions(render).cancel()
            return
        SceneTransitions(render).wait(seconds)
        await work.session.flush()

    async def _settle(self, work: UnitOfWork, attempt: Attempt, render: Render, cost: Decimal | None) -> None:
        """Settle the reservation with the actual cost (None: the reserved amount), and free the slot."""
        await billing.settle(work, attempt, render, cost)
        await slots.free(work.session, attempt.id)

    async def _recover(self, work: UnitOfWork, attempt: Attempt) -> None:
        """Close the circuit of a provider that answers, and move scenes from unavailable providers to it."""
        if await circuit_breaker.close(work.session, attempt.provider):
            for name in await circuit_breaker.tripped_circuits(work.session):
                await self.selection.move_waiting(work, name)


async def lock_render(session: AsyncSession, attempt: Attempt) -> Render:
    """Lock the scene of an attempt. It is the first row to be locked, to avoid deadlocks."""
    return await session.get_one(Render, (attempt.video_id, attempt.scene_number), with_for_update=True)
