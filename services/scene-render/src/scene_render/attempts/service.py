"""The paid step, as rows: INTENT, then one submission, then whatever the provider makes of it.

    INTENT ──submission answered──▶ SUBMITTED ──▶ SUCCEEDED | FAILED | CANCELLED
       └────nobody can tell───────▶ UNKNOWN ──found, or a person settles it──▶ SUBMITTED | SUCCEEDED | FAILED

Each method is a part of its caller's transaction. A change of state names the states it may follow, so that a late or
doubled writer changes nothing.
"""

import math
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import prometheus_client as prometheus
from sqlalchemy import ColumnElement, CursorResult, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from scene_render.attempts import polling_policy as pace
from scene_render.internal_messages import (
    CancelDue,
    CheckDue,
    PayAgainDue,
    SceneOverdue,
    SlotOffered,
    SubmissionOverdue,
    UnknownOverdue,
)
from scene_render.models import (
    Attempt,
    AttemptState,
    CancelledVideo,
    ChargeState,
    ProviderSlot,
    Render,
    Spend,
    budgets,
)
from scene_render.providers.base import Failed, Provider, ProviderUnreachable, SubmissionDeferred
from scene_render.scheduling import circuit_breaker as breaker
from scene_render.scheduling import routing
from scene_render.scheduling import scheduler as turns
from scene_render.scheduling.scene_state import give_up, has_stopped, needs, resume_when_whole
from shared.contracts.events import (
    SceneCharged,
    SceneDelayed,
    SceneRequested,
    SceneStarted,
)
from shared.contracts.media import FRAME_RATE
from shared.contracts.provider_selection import is_available, providers_for
from shared.contracts.story import DEFAULT_NICHE
from shared.money import budget
from shared.money.budget import Budget, BudgetExceeded, Caps
from shared.money.prices import FREE
from shared.persistence.database import now
from shared.persistence.unit_of_work import UnitOfWork

MAX_ATTEMPTS = 3
MAX_ATTEMPTS_OF_KIND: Mapping[str, int] = {"bad_output": 2, "job_failed": 2, "clip_unusable": 2}
"""How often a scene is tried at one provider, in all; the same prompt rarely goes better after these failures."""
CONTENT_KINDS = frozenset({"moderation"})
"""What one provider does not want to show is not carried to the next."""
RETRY_SECONDS = 5.0
OUTAGE_SECONDS = 2.0
MEASURED_TASKS = 20
SECOND_WAIT_SECONDS = 3600.0
"""When a scene that was tried again is looked at, whether anybody takes it."""

ENDED = prometheus.Counter("multishot_attempts_total", "Attempts by how they ended", ["provider", "state", "kind"])
BOOKED = prometheus.Counter("multishot_spend_usd_total", "What providers took, in USD", ["provider"])


def request_of(render: Render) -> SceneRequested:
    """The event that asked for this scene."""
    return SceneRequested.model_validate(render.request)


def without_text(event: SceneRequested) -> SceneRequested:
    """The request with what people and models wrote removed; it still tells what was ordered and is being paid."""
    scene = event.scene.model_copy(update={"description": "", "action": ""})
    return event.model_copy(
        update={"scene": scene, "shot_prompt": "", "niche": DEFAULT_NICHE, "first_frame": None, "post_id": None},
    )


def frames_left(render: Render) -> int:
    """How many frames of the scene are not rendered yet."""
    return request_of(render).clip_frames - sum(int(part["frames"]) for part in render.parts)


def seconds_to_order(render: Render, provider: Provider) -> int:
    """The length of the next clip to order: all that is left, or the first part of it."""
    left = frames_left(render) / FRAME_RATE
    return math.ceil(left) if provider.tariff is None else provider.tariff.split(left)[0]


@dataclass(frozen=True)
class UnknownPolicy:
    """What is done about an order of which nobody can tell whether it was taken: it waits for a person.

    With `pay_again` its scene is ordered once more after `wait_seconds`, for at most `day_usd` in a day.
    """

    pay_again: bool = False
    wait_seconds: float = 600.0
    day_usd: Decimal = Decimal(10)


@dataclass(frozen=True)
class Attempts:
    """The paid step at these providers, of which `order` names those that take new scenes, the preferred one first.

    `scale`: all waiting is multiplied by it; below 1 for simulated providers that are faster than life.
    """

    providers: Mapping[str, Provider]
    order: Sequence[str]
    caps: Caps
    scale: float = 1.0
    unknown_policy: UnknownPolicy = UnknownPolicy()
    simulated: bool = False
    """Whether the money is not real, because the providers are not."""

    # --- which provider

    def provider_of(self, attempt: Attempt) -> Provider:
        """Whoever the attempt was made at, be it one that takes no new scenes.

        Raises:
            ProviderUnreachable: there is no key for it.
        """
        provider = self.providers.get(attempt.provider)
        if provider is None:
            raise ProviderUnreachable(attempt.provider)
        return provider

    def takes_new(self, name: str) -> bool:
        """Whether new scenes may go to this provider."""
        return is_available(name, self.order)

    async def route(self, work: UnitOfWork, render: Render) -> bool:
        """Give the scene to the provider whose turn it is. Returns False where none is left."""
        names = providers_for(request_of(render).providers, self.order)
        parked = await breaker.parked(work.session)
        name = routing.choose(names, render.tried, tuple(parked))
        if name is None:
            return False
        if name != render.provider:
            render.provider, render.failures = name, 0
        if name in parked:
            state = parked[name]
            await self._delayed(work, render, state.kind or "", state.reason or "")
        return True

    async def seconds_in_vain(self, session: AsyncSession, render: Render) -> float:
        """For how long a scene has waited while nobody who may render it took anything; 0: somebody takes tasks."""
        names = providers_for(request_of(render).providers, self.order)
        unproven = await breaker.unproven(session)
        left = [name for name in names if name not in render.tried]
        if render.delayed_since is None or any(name not in unproven for name in left):
            return 0.0
        failing = [since for name in left if (since := unproven[name].failing_since) is not None]
        clock = (await session.execute(select(now()))).scalar_one()
        return (clock - max([render.delayed_since, *failing])).total_seconds()

    async def _delayed(self, work: UnitOfWork, render: Render, kind: str, reason: str) -> None:
        """Tell why a scene waits, once for each provider that it waits for."""
        if render.delayed_by == render.provider:
            return
        if render.delayed_by is None:
            render.delayed_since = now()
        render.delayed_by = render.provider
        delayed = SceneDelayed(
            video_id=uuid.UUID(render.video_id),
            scene_number=render.scene_number,
            provider=render.provider,
            kind=kind,
            reason=reason,
        )
        await work.emit(delayed)

    async def usual_seconds(self, session: AsyncSession, provider: Provider) -> float:
        """How long this provider's tasks usually take: as the last ones did."""
        ended = (Attempt.provider == provider.name, Attempt.state == "SUCCEEDED")
        last = select(Attempt.running_since, Attempt.ended_at).where(*ended).order_by(Attempt.ended_at.desc())
        rows = (await session.execute(last.limit(MEASURED_TASKS))).all()
        return pace.usual(
            provider.usual_seconds, [(end - start).total_seconds() for start, end in rows if start and end]
        )

    # --- INTENT

    async def intend(self, work: UnitOfWork, render: Render, slot: ProviderSlot, provider: Provider) -> Attempt:
        """Write INTENT: the slot is taken and the money reserved before a byte goes to the provider.

        Raises:
            BudgetExceeded: the money is not there; nothing was changed.
        """
        seconds = seconds_to_order(render, provider)
        attempt = Attempt(
            id=str(uuid.uuid4()),
            video_id=render.video_id,
            scene_number=render.scene_number,
            number=render.attempts + 1,
            provider=provider.name,
            seconds=seconds,
            part=len(render.parts),
            state="INTENT",
            intended_at=now(),
        )
        if provider.tariff is not None:
            await self._reserve(work, attempt, render, provider.tariff.price(seconds))
        work.session.add(attempt)
        render.state = "running"
        render.attempts += 1
        slot.attempt_id = attempt.id
        await work.session.flush()
        overdue = SubmissionOverdue(video_id=uuid.UUID(render.video_id), attempt_id=uuid.UUID(attempt.id))
        await work.emit(overdue, after=provider.submit_seconds + 1)
        return attempt

    async def submitted(self, work: UnitOfWork, attempt: Attempt, task_id: str) -> None:
        """The provider has the task. An attempt that was given up as UNKNOWN is known again, and its scene goes on."""
        values = {"task_id": task_id, "submitted_at": now(), "failure_kind": None, "failure_reason": None}
        provider, video_id = self.provider_of(attempt), uuid.UUID(attempt.video_id)
        render = await _render_of(work.session, attempt)
        if await _move(work.session, attempt, ("INTENT",), "SUBMITTED", **values):
            await self._recover(work, attempt)
        elif await _move(work.session, attempt, ("UNKNOWN",), "SUBMITTED", **values):
            await self._resume_with(work, attempt, render)
        else:
            return
        await _tell_charge(work, attempt, "held", task_id=task_id)
        usual = await self.usual_seconds(work.session, provider)
        if needs(render, attempt):
            render.delayed_by = render.delayed_since = None
            started = SceneStarted(
                video_id=video_id, scene_number=attempt.scene_number, provider=attempt.provider, eta_seconds=usual
            )
            await work.emit(started)
        attempt_id = uuid.UUID(attempt.id)
        first = pace.first_look(usual, provider.check_seconds)
        await work.emit(CheckDue(video_id=video_id, attempt_id=attempt_id), after=first)
        if await work.session.get(CancelledVideo, attempt.video_id) is not None:
            await work.emit(CancelDue(video_id=video_id, attempt_id=attempt_id))

    async def _resume_with(self, work: UnitOfWork, attempt: Attempt, render: Render) -> None:
        """Resume a waiting or failed scene with an attempt that is known again, if it was for the part needed next."""
        if attempt.part != len(render.parts):
            return
        if render.state == "waiting":
            render.state = "running"  # it was to be ordered again, and need not be
        elif render.state == "failed":
            render.state, render.failure_kind, render.failure_reason = "running", None, None
            await resume_when_whole(work, attempt.video_id)

    async def put_off(self, work: UnitOfWork, attempt: Attempt, delay: SubmissionDeferred) -> None:
        """The provider surely has not taken the task, and takes none now: the scene waits, and no try was lost."""
        render = await _render_of(work.session, attempt)
        told = {"failure_kind": delay.kind, "failure_reason": delay.reason, "ended_at": now()}
        if not await _move(work.session, attempt, ("INTENT",), "FAILED", **told):
            return
        ENDED.labels(attempt.provider, "PUT_OFF", delay.kind).inc()
        await self._settle(work, attempt, render, FREE)
        wait = OUTAGE_SECONDS * self.scale
        if await has_stopped(work.session, render) and await self._wait(work, render, wait):
            await work.emit(SlotOffered(video_id=uuid.UUID(attempt.video_id), provider=attempt.provider), after=wait)
        await self._note_failure(work, attempt, delay)

    async def unanswered(self, work: UnitOfWork, attempt: Attempt) -> None:
        """The submission had no answer: the attempt stays at INTENT; a provider that does so often is parked."""
        await self.unconfirmed(work, attempt, self.provider_of(attempt).submit_seconds + 1)
        await self._note_failure(work, attempt, SubmissionDeferred("outage", "It does not answer."))

    async def unconfirmed(self, work: UnitOfWork, attempt: Attempt, until: float | None) -> None:
        """Tell since when an order has no answer, and until when one is awaited.

        `until` counts seconds from the order; None: until the provider can be asked.
        """
        still = (Attempt.id == attempt.id, Attempt.state == "INTENT")
        since = (await work.session.execute(select(Attempt.intended_at).where(*still))).scalar_one_or_none()
        if since is None:
            return
        end = f"{attempt.provider} can be asked" if until is None else _clock(since + timedelta(seconds=until))
        reason = f"{attempt.provider} has not confirmed the order of {_clock(since)}; an answer is awaited until {end}."
        delayed = SceneDelayed(
            video_id=uuid.UUID(attempt.video_id),
            scene_number=attempt.scene_number,
            provider=attempt.provider,
            kind="unconfirmed",
            reason=reason,
        )
        await work.emit(delayed)

    async def never_sent(self, work: UnitOfWork, attempt: Attempt, wait: float = 0.0) -> None:
        """Something of ours held it up, and surely nothing was sent: the scene waits again, and nothing is paid.

        Its turn comes in `wait` seconds at the earliest, and no try was lost.
        """
        render = await _render_of(work.session, attempt)
        mine = select(Attempt.state).where(Attempt.id == attempt.id, Attempt.posts == attempt.posts)
        state = (await work.session.execute(mine)).scalar_one_or_none()
        if state == "UNKNOWN":
            await self.settle_unknown(work, attempt, FREE, again=True)
        elif state == "INTENT" and await _move(work.session, attempt, ("INTENT",), "FAILED", ended_at=now()):
            await self._settle(work, attempt, render, FREE)
            if await has_stopped(work.session, render) and await self._wait(work, render, wait) and wait:
                offer = SlotOffered(video_id=uuid.UUID(attempt.video_id), provider=attempt.provider)
                await work.emit(offer, after=wait)

    async def post_again(self, work: UnitOfWork, attempt: Attempt) -> bool:
        """The submission surely did not arrive: make it ours to send it again. Returns False where it is not.

        Its task may have become known meanwhile, or another replica sends it.
        """
        posts, mine = attempt.posts + 1, Attempt.posts == attempt.posts
        if not await _move(work.session, attempt, ("INTENT",), "INTENT", mine, posts=posts, intended_at=now()):
            return False
        attempt.posts = posts
        return True

    async def _note_failure(self, work: UnitOfWork, attempt: Attempt, delay: SubmissionDeferred) -> None:
        parked_for = await breaker.note_failure(work.session, attempt.provider, delay, self.scale)
        if parked_for is not None:
            offer = SlotOffered(video_id=uuid.UUID(attempt.video_id), provider=attempt.provider)
            await work.emit(offer, after=parked_for + 0.1)
            await self.move_waiting(work, attempt.provider)

    async def _recover(self, work: UnitOfWork, attempt: Attempt) -> None:
        """The provider answers: whoever waits for it may go on."""
        if await breaker.recover(work.session, attempt.provider):
            for name in await breaker.unproven(work.session):
                await self.move_waiting(work, name)
            for _ in range(self.provider_of(attempt).concurrency):
                await work.emit(SlotOffered(video_id=uuid.UUID(attempt.video_id), provider=attempt.provider))

    async def move_waiting(self, work: UnitOfWork, provider: str) -> None:
        """A provider takes nothing now: what waits for it goes to the next one that does, or is told why it waits."""
        unproven = await breaker.unproven(work.session)
        waiting = select(Render).where(Render.provider == provider, Render.state == "waiting").with_for_update()
        moved: Counter[str] = Counter()
        video_id = uuid.UUID(int=0)
        for render in (await work.session.execute(waiting)).scalars():
            names = providers_for(request_of(render).providers, self.order)
            others = [name for name in names if name != provider]
            target = routing.choose(others, [*render.tried, *unproven], ())
            if target is None and provider not in names:
                target = routing.choose(others, render.tried, ())
            if target is not None:
                render.provider, render.failures, render.available_at = target, 0, now()
                video_id = uuid.UUID(render.video_id)
                moved[target] += 1
            elif provider in unproven:
                state = unproven[provider]
                await self._delayed(work, render, state.kind or "", state.reason or "")
        for name, count in moved.items():
            for _ in range(min(count, self.providers[name].concurrency)):
                await work.emit(SlotOffered(video_id=video_id, provider=name))

    # --- how it ends

    async def succeeded(self, work: UnitOfWork, attempt: Attempt, cost: Decimal | None) -> bool:
        """The provider's task has ended well: free its slot, book its cost. Returns whether this was news."""
        render = await _render_of(work.session, attempt)
        begun = func.coalesce(Attempt.running_since, Attempt.submitted_at)
        if not await _move(work.session, attempt, ("SUBMITTED",), "SUCCEEDED", running_since=begun, ended_at=now()):
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
        render = await _render_of(work.session, attempt)
        told = {"failure_kind": failure.kind, "failure_reason": failure.reason, "ended_at": now()}
        if await _move(work.session, attempt, (before,), "FAILED", **told):
            ENDED.labels(attempt.provider, "FAILED", failure.kind).inc()
            await self._settle(work, attempt, render, failure.cost)
            if asked:
                await self._recover(work, attempt)
            await self._go_on(work, render, failure)

    async def cancelled(self, work: UnitOfWork, attempt: Attempt, cost: Decimal | None) -> None:
        """The provider's task was ended because nobody wants it any more."""
        render = await _render_of(work.session, attempt)
        if await _move(work.session, attempt, ("SUBMITTED",), "CANCELLED", ended_at=now()):
            ENDED.labels(attempt.provider, "CANCELLED", "").inc()
            await self._settle(work, attempt, render, cost)
            if await has_stopped(work.session, render):
                render.state = "cancelled"

    async def spoiled(self, work: UnitOfWork, attempt: Attempt, reason: str, *, again: bool) -> None:
        """The task had ended well, and was booked, but its clip cannot be used. `again`: another one may be better."""
        render = await _render_of(work.session, attempt)
        told = {"failure_kind": "clip_unusable", "failure_reason": reason}
        if await _move(work.session, attempt, ("SUCCEEDED",), "FAILED", **told):
            ENDED.labels(attempt.provider, "FAILED", "clip_unusable").inc()
            await self._go_on(work, render, Failed("clip_unusable", reason, cost=FREE, again=again))

    async def unknown(self, work: UnitOfWork, attempt: Attempt, reason: str, *, before: AttemptState) -> None:
        """Nobody can tell whether the attempt was paid: its money stays reserved, and no other attempt is made.

        Its slot stays taken for as long as a task of this provider may go on.
        """
        render = await _render_of(work.session, attempt)
        told = {"failure_kind": "submission_unknown", "failure_reason": reason}
        if await _move(work.session, attempt, (before,), "UNKNOWN", **told):
            ENDED.labels(attempt.provider, "UNKNOWN", "").inc()
            await _tell_charge(work, attempt, "unknown", reason=reason)
            if await has_stopped(work.session, render):
                await give_up(work, render, "submission_unknown", reason)
            overdue = UnknownOverdue(video_id=uuid.UUID(attempt.video_id), attempt_id=uuid.UUID(attempt.id))
            await work.emit(overdue, after=self.provider_of(attempt).attempt_seconds)
            if self.unknown_policy.pay_again and before == "INTENT" and not self.provider_of(attempt).can_reconcile:
                due = PayAgainDue(video_id=uuid.UUID(attempt.video_id), attempt_id=uuid.UUID(attempt.id))
                await work.emit(due, after=self.unknown_policy.wait_seconds)

    async def pay_again(self, work: UnitOfWork, attempt: Attempt) -> None:
        """Let the scene of an UNKNOWN attempt be ordered once more, knowing that both may be paid.

        At most once for each scene, and within the day's cap for this. The attempt stays UNKNOWN, its money reserved.
        """
        render = await _render_of(work.session, attempt)
        state = await work.session.scalar(select(Attempt.state).where(Attempt.id == attempt.id))
        waits = (render.state, render.failure_kind, render.attempts) == ("failed", "submission_unknown", attempt.number)
        if not waits or state != "UNKNOWN" or render.paid_again:
            return
        if await work.session.get(CancelledVideo, render.video_id) is not None:
            return
        price = (await work.session.get_one(Spend, attempt.id)).reserved_usd
        cap = Budget(
            f"{budget.SIMULATED if self.simulated else ''}again",
            await budget.today(work.session),
            self.unknown_policy.day_usd,
        )
        try:
            await budget.reserve(work.session, budgets, (cap,), price)
        except BudgetExceeded as exceeded:
            reason = f"{attempt.failure_reason} It is not ordered again: {exceeded}"
            await _tell_charge(work, attempt, "unknown", reason=reason)
            return
        render.paid_again, render.failure_kind, render.failure_reason = True, None, None
        await self._wait(work, render, 0.0)
        reason = f"{attempt.failure_reason} It was ordered again, as UNKNOWN_POLICY says; both may be paid."
        await _tell_charge(work, attempt, "unknown", reason=reason)
        overdue = SceneOverdue(video_id=uuid.UUID(attempt.video_id), scene_number=attempt.scene_number)
        await work.emit(overdue, after=SECOND_WAIT_SECONDS)
        await resume_when_whole(work, attempt.video_id)

    async def refuse_task(self, work: UnitOfWork, attempt: Attempt, reason: str) -> None:
        """A person named a task that cannot be that of an UNKNOWN attempt: tell why, and leave it as it is."""
        await _render_of(work.session, attempt)
        if await _move(work.session, attempt, ("UNKNOWN",), "UNKNOWN", failure_reason=reason):
            await _tell_charge(work, attempt, "unknown", reason=reason)

    async def settle_unknown(self, work: UnitOfWork, attempt: Attempt, cost: Decimal | None, *, again: bool) -> None:
        """A person has found out what became of an UNKNOWN attempt that has no task to look at."""
        render = await _render_of(work.session, attempt)
        if not await _move(work.session, attempt, ("UNKNOWN",), "FAILED", ended_at=now()):
            return
        await self._settle(work, attempt, render, cost)
        if again and render.state == "failed":
            render.failure_kind, render.failure_reason = None, None
            await self._wait(work, render, 0.0)
            overdue = SceneOverdue(video_id=uuid.UUID(attempt.video_id), scene_number=attempt.scene_number)
            await work.emit(overdue, after=SECOND_WAIT_SECONDS)
            await resume_when_whole(work, attempt.video_id)

    async def release(self, work: UnitOfWork, attempt: Attempt) -> None:
        """Free the slot of an attempt, and let the next scene start."""
        await turns.free(work.session, attempt.id)
        await work.emit(SlotOffered(video_id=uuid.UUID(attempt.video_id), provider=attempt.provider))

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
            await give_up(work, render, "submission_unknown", unknown.failure_reason or "")
        else:
            await self._try_again(work, render, failure)

    async def _try_again(self, work: UnitOfWork, render: Render, failure: Failed) -> None:
        """Let the scene wait for another attempt, here or at the next provider, if that may help."""
        render.failures += 1
        if failure.again and render.failures < MAX_ATTEMPTS_OF_KIND.get(failure.kind, MAX_ATTEMPTS):
            wait = RETRY_SECONDS * self.scale
            if await self._wait(work, render, wait):
                await work.emit(SlotOffered(video_id=uuid.UUID(render.video_id), provider=render.provider), after=wait)
            return
        if failure.kind not in CONTENT_KINDS:
            render.tried = [*render.tried, render.provider]
            if await self.route(work, render):
                if await self._wait(work, render, 0.0):
                    await work.emit(SlotOffered(video_id=uuid.UUID(render.video_id), provider=render.provider))
                return
        await give_up(work, render, failure.kind, failure.reason)

    async def _wait(self, work: UnitOfWork, render: Render, seconds: float) -> bool:
        """Let the scene wait for its turn, which comes in so many seconds at the earliest; unless nobody wants it."""
        if await work.session.get(CancelledVideo, render.video_id) is not None:
            render.state = "cancelled"
            return False
        render.state, render.available_at = "waiting", now(seconds)
        await work.session.flush()
        return True

    # --- money

    async def _reserve(self, work: UnitOfWork, attempt: Attempt, render: Render, price: Decimal) -> None:
        day = await budget.today(work.session)
        of_video = self.caps.budgets(render.video_id, render.owner, day, simulated=self.simulated)
        await budget.reserve(work.session, budgets, of_video, price)
        spend = Spend(
            attempt_id=attempt.id,
            video_id=render.video_id,
            owner=render.owner,
            provider=attempt.provider,
            day=day,
            reserved_usd=price,
            reserved_at=now(),
            simulated=self.simulated,
        )
        work.session.add(spend)
        await work.session.flush()
        await _tell_charge(work, attempt, "held")

    async def _settle(self, work: UnitOfWork, attempt: Attempt, render: Render, cost: Decimal | None) -> None:
        """Turn the reservation into what was really taken (None: all of it), and free the slot."""
        spend = await work.session.get(Spend, attempt.id, with_for_update=True)
        if spend is not None:
            taken = spend.reserved_usd if cost is None else cost
            of_day = _budgets_of(spend)
            await budget.adjust(work.session, budgets, of_day, taken - spend.reserved_usd)
            spend.reserved_usd, spend.booked_usd = FREE, taken
            await _tell_charge(work, attempt, "settled")
            name = f"{attempt.provider} (simulated)" if spend.simulated else attempt.provider
            BOOKED.labels(name).inc(float(taken))
            render.cost_usd += taken
        await self.release(work, attempt)


async def _tell_charge(
    work: UnitOfWork, attempt: Attempt, state: ChargeState, *, task_id: str | None = None, reason: str | None = None
) -> None:
    """Tell others what the money of an attempt is doing; nothing where it is free."""
    spend = await work.session.get(Spend, attempt.id, with_for_update=True)
    if spend is None:
        return
    spend.state = state
    spend.revision += 1
    charged = SceneCharged(
        video_id=uuid.UUID(attempt.video_id),
        scene_number=attempt.scene_number,
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


def _clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _budgets_of(spend: Spend) -> tuple[Budget, ...]:
    return Caps(None, None, None).budgets(spend.video_id, spend.owner, spend.day, simulated=spend.simulated)


async def _render_of(session: AsyncSession, attempt: Attempt) -> Render:
    """The scene of an attempt, locked first of all rows: always in one order."""
    return await session.get_one(Render, (attempt.video_id, attempt.scene_number), with_for_update=True)


async def _move(
    session: AsyncSession,
    attempt: Attempt,
    before: tuple[str, ...],
    state: str,
    *also: ColumnElement[bool],
    **values: Any,  # noqa: ANN401 - columns
) -> bool:
    """Change the state of an attempt if it is still one of `before`, and `also` holds."""
    change = update(Attempt).where(Attempt.id == attempt.id, Attempt.state.in_(before), *also)
    result = await session.execute(
        change.values(state=state, **values), execution_options={"synchronize_session": False}
    )
    assert isinstance(result, CursorResult)  # noqa: S101 - for the type checker
    return result.rowcount == 1
