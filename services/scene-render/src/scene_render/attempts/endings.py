"""How attempts end, and what becomes of their scenes then.

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
from scene_render.models import Attempt, AttemptState, CancelledVideo, Render
from scene_render.providers.base import Failed, Provider, ProviderUnreachable
from scene_render.scheduling import circuit_breaker, slots
from scene_render.scheduling.provider_selection import ProviderSelection
from scene_render.scheduling.scene_state import SceneTransitions, has_stopped
from scene_render.scheduling.video_standing import give_up, resume_when_whole
from shared.money.budget import BudgetExceeded, Caps
from shared.money.prices import FREE
from shared.persistence.database import now
from shared.persistence.unit_of_work import UnitOfWork

MAX_ATTEMPTS = 3
MAX_ATTEMPTS_OF_KIND: Mapping[str, int] = {"bad_output": 2, "job_failed": 2, "clip_unusable": 2}
"""How often a scene is tried at one provider, in all; the same prompt rarely goes better after these failures."""
CONTENT_KINDS = frozenset({"moderation"})
"""What one provider does not want to show is not carried to the next."""
UNKNOWN_KIND = "submission_unknown"
RETRY_SECONDS = 5.0
ATTEMPT_SECONDS_WITHOUT_KEY = 3600.0
"""The longest a task may go on at a provider that is not configured any more."""

ENDED = prometheus.Counter("multishot_attempts_total", "Attempts by how they ended", ["provider", "state", "kind"])


@dataclass(frozen=True)
class UnknownPolicy:
    """What happens to an order that may or may not have been taken: it waits for a person.

    With `pay_again` its scene is ordered once more after `wait_seconds`, for at most `day_usd` in a day.
    """

    pay_again: bool = False
    wait_seconds: float = 600.0
    day_usd: Decimal = Decimal(10)


@dataclass(frozen=True)
class AttemptEndings:
    """The paid step at the providers of `selection`.

    `scale`: all waiting is multiplied by it; below 1 for simulated providers that are faster than life. `simulated`:
    the money is not real, because the providers are not.
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
        """The provider's task has ended well: free its slot, book its cost. Returns whether this was news."""
        render = await lock_render(work.session, attempt)
        if not await AttemptTransitions(work.session, attempt).succeed():
            return False
        ENDED.labels(attempt.provider, "SUCCEEDED", "").inc()
        await self._settle(work, attempt, render, cost)
        return True

    async def failed(
        self, work: UnitOfWork, attempt: Attempt, failure: Failed, *, before: AttemptState, asked: bool = True
    ) -> None:
        """The provider's task has ended badly, or was surely never taken: try again where that helps, else give up.

        `asked`: the provider said so; else nothing was sent.
        """
        render = await lock_render(work.session, attempt)
        if await AttemptTransitions(work.session, attempt).fail(before, failure.kind, failure.reason):
            ENDED.labels(attempt.provider, "FAILED", failure.kind).inc()
            await self._settle(work, attempt, render, failure.cost)
            if asked:
                await self._recover(work, attempt)
            await self._go_on(work, render, failure)

    async def cancelled(self, work: UnitOfWork, attempt: Attempt, cost: Decimal | None) -> None:
        """The provider's task was ended because nobody wants it any more."""
        render = await lock_render(work.session, attempt)
        if await AttemptTransitions(work.session, attempt).cancel():
            ENDED.labels(attempt.provider, "CANCELLED", "").inc()
            await self._settle(work, attempt, render, cost)
            if await has_stopped(work.session, render):
                SceneTransitions(render).cancel()

    async def rejected(self, work: UnitOfWork, attempt: Attempt, reason: str, *, again: bool) -> None:
        """The task had ended well, and was booked, but its clip cannot be used. `again`: another one may be better."""
        render = await lock_render(work.session, attempt)
        if await AttemptTransitions(work.session, attempt).reject_clip("clip_unusable", reason):
            ENDED.labels(attempt.provider, "FAILED", "clip_unusable").inc()
            await self._go_on(work, render, Failed("clip_unusable", reason, cost=FREE, again=again))

    async def unknown(self, work: UnitOfWork, attempt: Attempt, reason: str, *, before: AttemptState) -> None:
        """No one can tell whether the attempt was paid: its money stays reserved, and no other attempt is made.

        Its slot stays taken for as long as a task of this provider may go on.
        """
        render = await lock_render(work.session, attempt)
        transitions = AttemptTransitions(work.session, attempt)
        if await transitions.lose(before, UNKNOWN_KIND, reason, *self._unknown_until(attempt, before)):
            ENDED.labels(attempt.provider, "UNKNOWN", "").inc()
            await billing.publish_charge(work, attempt, "unknown", reason=reason)
            if await has_stopped(work.session, render):
                await give_up(work, render, UNKNOWN_KIND, reason)

    def _unknown_until(self, attempt: Attempt, before: AttemptState) -> tuple[float, float | None]:
        """Return after how many seconds its slot is released, and after how many its scene is ordered again."""
        provider = self.selection.providers.get(attempt.provider)
        if provider is None:
            return ATTEMPT_SECONDS_WITHOUT_KEY, None
        pays_again = self.unknown_policy.pay_again and before == "INTENT" and not provider.can_reconcile
        return provider.attempt_seconds, self.unknown_policy.wait_seconds if pays_again else None

    async def pay_again(self, work: UnitOfWork, attempt: Attempt) -> None:
        """Let the scene of an UNKNOWN attempt be ordered once more, knowing that both may be paid.

        At most once for each scene, and within the day's cap for this. The attempt stays UNKNOWN, its money reserved.
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
        await resume_when_whole(work, attempt.video_id)

    async def refuse_task(self, work: UnitOfWork, attempt: Attempt, reason: str) -> None:
        """A person named a task that cannot be that of an UNKNOWN attempt: tell why, and leave it as it is."""
        await lock_render(work.session, attempt)
        if await AttemptTransitions(work.session, attempt).stay_unknown(reason):
            await billing.publish_charge(work, attempt, "unknown", reason=reason)

    async def settle_unknown(self, work: UnitOfWork, attempt: Attempt, cost: Decimal | None, *, again: bool) -> None:
        """A person has found out what became of an UNKNOWN attempt that has no task to look at."""
        render = await lock_render(work.session, attempt)
        if not await AttemptTransitions(work.session, attempt).withdraw("UNKNOWN"):
            return
        await self._settle(work, attempt, render, cost)
        if again and render.state == "failed":
            await self._wait(work, render, 0.0)
            await resume_when_whole(work, attempt.video_id)

    async def release_slot(self, work: UnitOfWork, attempt: Attempt) -> None:
        """Free the slot of an attempt that has been UNKNOWN for longer than a task of its provider takes."""
        mine = (Attempt.id == attempt.id, Attempt.release_slot_at <= now())
        due = update(Attempt).where(*mine).values(release_slot_at=None).execution_options(synchronize_session=False)
        result = await work.session.execute(due)
        assert isinstance(result, CursorResult)  # noqa: S101 - for the type checker
        if result.rowcount:
            await slots.free(work.session, attempt.id)

    async def _go_on(self, work: UnitOfWork, render: Render, failure: Failed) -> None:
        """Try again or give up after an attempt that ended badly, unless another may still deliver what is needed.

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
        """Let the scene wait for another attempt, here or at the next provider, if that may help."""
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
        """Let the scene wait for its turn, which comes in so many seconds at the earliest; unless nobody wants it."""
        if await work.session.get(CancelledVideo, render.video_id) is not None:
            SceneTransitions(render).cancel()
            return
        SceneTransitions(render).wait(seconds)
        await work.session.flush()

    async def _settle(self, work: UnitOfWork, attempt: Attempt, render: Render, cost: Decimal | None) -> None:
        """Turn the reservation into what was really taken (None: all of it), and free the slot."""
        await billing.settle(work, attempt, render, cost)
        await slots.free(work.session, attempt.id)

    async def _recover(self, work: UnitOfWork, attempt: Attempt) -> None:
        """The provider answers: what waits for others that do not may come to it."""
        if await circuit_breaker.close(work.session, attempt.provider):
            for name in await circuit_breaker.tripped_circuits(work.session):
                await self.selection.move_waiting(work, name)


async def lock_render(session: AsyncSession, attempt: Attempt) -> Render:
    """Lock the scene of an attempt, first of all rows: always in one order."""
    return await session.get_one(Render, (attempt.video_id, attempt.scene_number), with_for_update=True)
