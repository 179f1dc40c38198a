"""The paid step: INTENT, then one submission, then its outcome.

Each method is a part of its caller's transaction. `attempt_state` and `scene_state` define the states and their
transitions.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from scene_render.attempts import billing, polling_policy
from scene_render.attempts.attempt_state import AttemptTransitions, reconcile_at
from scene_render.attempts.endings import ENDED, AttemptEndings, lock_render
from scene_render.capacity import circuit_breaker
from scene_render.internal_messages import CancelDue
from scene_render.models import Attempt, CancelledVideo, Product, ProviderSlot, Render
from scene_render.providers.base import Provider, SubmissionDeferred
from scene_render.scenes.next_step import NextStep
from scene_render.scenes.scene_state import SceneTransitions, has_stopped, needs
from scene_render.scenes.video_standing import resume_when_whole
from shared.contracts.events import SceneDelayed, SceneStarted
from shared.money.prices import FREE
from shared.persistence.database import now
from shared.persistence.unit_of_work import UnitOfWork

OUTAGE_SECONDS = 2.0
MEASURED_TASKS = 20
PICTURE_SHARE = 0.25
"""A first estimate of the time for a picture, as a share of that for a clip."""


@dataclass(frozen=True)
class Attempts(AttemptEndings):
    """The paid step, from INTENT until the provider has accepted the task."""

    async def usual_seconds(self, session: AsyncSession, provider: Provider, product: Product) -> float:
        """Return the usual duration of this provider's tasks in seconds: the median of the last ones."""
        ended = (Attempt.provider == provider.name, Attempt.state == "SUCCEEDED", Attempt.product == product)
        last = select(Attempt.running_since, Attempt.ended_at).where(*ended).order_by(Attempt.ended_at.desc())
        rows = (await session.execute(last.limit(MEASURED_TASKS))).all()
        first_guess = provider.usual_seconds * (1 if product == "clip" else PICTURE_SHARE)
        measured = [(end - start).total_seconds() for start, end in rows if start and end]
        return polling_policy.usual(first_guess, measured)

    async def intend(
        self, work: UnitOfWork, render: Render, slot: ProviderSlot, provider: Provider, step: NextStep
    ) -> Attempt:
        """Write INTENT: take the slot and reserve the money before anything is sent to the provider.

        Raises:
            BudgetExceeded: a budget does not suffice; nothing was changed.
        """
        attempt = Attempt(
            id=str(uuid.uuid4()),
            video_id=render.video_id,
            scene_number=render.scene_number,
            number=render.attempts + 1,
            provider=provider.name,
            model=None if step.model is None else step.model.id,
            product=step.product,
            seconds=step.seconds,
            part=len(render.parts),
            state="INTENT",
            intended_at=now(),
            next_check_at=reconcile_at(provider.submit_seconds),
        )
        if step.model is not None:
            await billing.reserve(work, attempt, render, step.usd, self.caps, simulated=self.simulated)
        work.session.add(attempt)
        SceneTransitions(render).start(step.product)
        slot.attempt_id = attempt.id
        await work.session.flush()
        return attempt

    async def submitted(self, work: UnitOfWork, attempt: Attempt, task_id: str) -> None:
        """Record the provider's task. If the attempt was UNKNOWN, its scene resumes."""
        provider = self.provider_of(attempt)
        render = await lock_render(work.session, attempt)
        task_id = provider.task_id_of(task_id, attempt.model)
        usual = await self.usual_seconds(work.session, provider, attempt.product)
        first = polling_policy.first_look(usual, provider.check_seconds)
        transitions = AttemptTransitions(work.session, attempt)
        if await transitions.submit("INTENT", task_id, first):
            await self._recover(work, attempt)
        elif await transitions.submit("UNKNOWN", task_id, first):
            await self._resume_with(work, attempt, render)
        else:
            return
        await billing.publish_charge(work, attempt, "held", task_id=task_id)
        video_id = uuid.UUID(attempt.video_id)
        if needs(render, attempt):
            render.delayed_by = render.delayed_since = render.give_up_at = None
            if attempt.product == "clip":
                started = SceneStarted(
                    video_id=video_id, scene_number=attempt.scene_number, provider=attempt.provider, eta_seconds=usual
                )
                await work.emit(started)
        if await work.session.get(CancelledVideo, attempt.video_id) is not None:
            await work.emit(CancelDue(video_id=video_id, attempt_id=uuid.UUID(attempt.id)))

    async def _resume_with(self, work: UnitOfWork, attempt: Attempt, render: Render) -> None:
        """Resume a waiting or failed scene with a found attempt, if it was for the part that is needed next."""
        if attempt.part != len(render.parts) or attempt.product != render.product:
            return
        before = render.state
        if before in ("waiting", "failed"):  # a waiting scene need not be ordered again
            SceneTransitions(render).resume()
        if before == "failed" and not render.is_reference:
            await resume_when_whole(work, attempt.video_id)

    async def deferred(self, work: UnitOfWork, attempt: Attempt, delay: SubmissionDeferred) -> None:
        """Record that the provider accepts no tasks now: the scene waits, and this does not count as a failure."""
        render = await lock_render(work.session, attempt)
        if not await AttemptTransitions(work.session, attempt).fail("INTENT", delay.kind, delay.reason):
            return
        ENDED.labels(attempt.provider, "DEFERRED", delay.kind).inc()
        await self._settle(work, attempt, render, FREE)
        if await has_stopped(work.session, render):
            await self._wait(work, render, OUTAGE_SECONDS * self.scale)
        await self._note_failure(work, attempt, delay)

    async def unanswered(self, work: UnitOfWork, attempt: Attempt) -> None:
        """Record an unanswered submission: the attempt stays at INTENT, and the circuit breaker counts an outage."""
        await self.unconfirmed(work, attempt, self.provider_of(attempt).submit_seconds + 1)
        await self._note_failure(work, attempt, SubmissionDeferred("outage", "It does not answer."))

    async def unconfirmed(self, work: UnitOfWork, attempt: Attempt, until: float | None) -> None:
        """Publish since when an order has no answer, and until when one is awaited.

        `until` counts seconds from the order; None: until the provider can be asked.
        """
        still = (Attempt.id == attempt.id, Attempt.state == "INTENT")
        since = (await work.session.execute(select(Attempt.intended_at).where(*still))).scalar_one_or_none()
        if since is None:
            return
        end = f"{attempt.provider} can be asked" if until is None else _clock(since + timedelta(seconds=until))
        reason = f"{attempt.provider} has not confirmed the order of {_clock(since)}; an answer is awaited until {end}."
        await self.publish_delay(work, attempt, "unconfirmed", reason)

    async def publish_delay(self, work: UnitOfWork, attempt: Attempt, kind: str, reason: str) -> None:
        """Publish why an attempt waits, unless it makes a reference picture: that belongs to no scene."""
        if attempt.product == "reference":
            return
        delayed = SceneDelayed(
            video_id=uuid.UUID(attempt.video_id),
            scene_number=attempt.scene_number,
            provider=attempt.provider,
            kind=kind,
            reason=reason,
        )
        await work.emit(delayed)

    async def never_sent(self, work: UnitOfWork, attempt: Attempt, wait: float = 0.0) -> None:
        """Withdraw an attempt that was certainly not sent: nothing is paid, and the scene is queued again.

        It starts in `wait` seconds at the earliest, and this does not count as a failure.
        """
        render = await lock_render(work.session, attempt)
        mine = select(Attempt.state).where(Attempt.id == attempt.id, Attempt.posts == attempt.posts)
        state = (await work.session.execute(mine)).scalar_one_or_none()
        if state == "UNKNOWN":
            await self.settle_unknown(work, attempt, FREE, again=True)
        elif state == "INTENT" and await AttemptTransitions(work.session, attempt).withdraw("INTENT"):
            await self._settle(work, attempt, render, FREE)
            if await has_stopped(work.session, render):
                await self._wait(work, render, wait)

    async def _note_failure(self, work: UnitOfWork, attempt: Attempt, delay: SubmissionDeferred) -> None:
        if await circuit_breaker.note_failure(work.session, attempt.provider, delay, self.scale) is not None:
            await self.selection.move_waiting(work, attempt.provider)


def _clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
