"""Checks a due attempt: reconciles its submission or polls its task.

Nothing here costs money, except sending an order again that certainly did not arrive. Each check ends in one
transaction that changes the attempt's state or schedules the next check.
"""

import asyncio
import random
import uuid
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from sqlalchemy import func, select, update

from scene_render.attempts import polling_policy, submission
from scene_render.attempts.attempt_state import AttemptTransitions
from scene_render.attempts.lease import Lease
from scene_render.dependencies import Dependencies
from scene_render.internal_messages import ClipReady
from scene_render.models import Attempt, Render
from scene_render.providers.base import (
    Absent,
    Failed,
    Found,
    Lost,
    NotYet,
    Provider,
    ProviderSilent,
    ProviderUnreachable,
    Running,
    Succeeded,
)
from shared.contracts.events import SceneProgressed
from shared.persistence.database import is_outage, now
from shared.persistence.unit_of_work import UnitOfWork, transaction

log = structlog.get_logger()

T = TypeVar("T")

SILENT_SECONDS = 10.0
QUEUE_SECONDS = 3600.0
"""How long a task may wait in its provider's own queue."""
LOST_SECONDS = 120.0
"""How long after its order a task may still be unknown to some of a provider's servers."""
SILENCE_SECONDS = 6 * 3600.0
"""How long after its order a task is polled, and its clip fetched, without an answer. The links of all providers last
longer."""
ANSWER_SECONDS = 60.0
"""The time limit of a free question, including all requests of the adapter."""
WITHOUT_KEY_SECONDS = 15.0
NEVER_ANSWERED = "The provider never said whether it took the task; it may have been paid, so it is not asked again."


@dataclass(frozen=True)
class Look:
    """An attempt, its scene and its age in seconds at the start of the check."""

    lease: Lease
    attempt: Attempt
    render: Render
    age: float
    provider: Provider
    deps: Dependencies

    async def again(self, work: UnitOfWork, seconds: float, **values: Any) -> None:  # noqa: ANN401 - columns
        """Schedule the next check in `seconds`, unless the lease was lost or a check is due sooner."""
        await self.lease.move(work.session, next_check_at=now(seconds), **values)


async def look_at(lease: Lease, deps: Dependencies) -> None:
    """Check an attempt and keep its lease meanwhile."""
    async with lease.kept(deps.database):
        attempt, render, age = await load(uuid.UUID(lease.attempt_id), deps)
        with structlog.contextvars.bound_contextvars(service="scene-render", video_id=attempt.video_id):
            provider = deps.providers.get(attempt.provider)
            if provider is None:
                await _wait_for_key(lease, attempt, age, deps)
                return
            look = Look(lease, attempt, render, age, provider, deps)
            try:
                if attempt.state == "INTENT":
                    await _reconcile(look)
                elif attempt.state == "SUBMITTED" and attempt.task_id is not None:
                    await _check(look, attempt.task_id)
            except Exception as error:
                if is_outage(error):
                    raise
                log.exception("attempt.look_failed", attempt_id=attempt.id, provider=attempt.provider)
                await _look_later(look)


async def load(attempt_id: uuid.UUID, deps: Dependencies) -> tuple[Attempt, Render, float]:
    """Return an attempt, its scene, and its age in seconds."""
    async with deps.database.reading() as session:
        attempt = await session.get_one(Attempt, str(attempt_id))
        render = await session.get_one(Render, (attempt.video_id, attempt.scene_number))
        clock = (await session.execute(select(now()))).scalar_one()
        return attempt, render, (clock - attempt.intended_at).total_seconds()


async def check_now(work: UnitOfWork, attempt_id: str, **values: Any) -> None:  # noqa: ANN401 - columns
    """Make the task of an attempt due for a check as soon as this transaction is committed."""
    known = update(Attempt).where(Attempt.id == attempt_id, Attempt.state == "SUBMITTED")
    await work.session.execute(known.values(next_check_at=now(), **values))


# --- a submission without an answer


async def _reconcile(look: Look) -> None:
    """Search for the task of an unanswered submission. Order again only if the provider certainly has none."""
    deadline = asyncio.get_running_loop().time()
    attempt, provider, attempts = look.attempt, look.provider, look.deps.attempts
    try:
        found = await _answer(provider.find(attempt.id, look.age))
    except ProviderSilent:
        found = NotYet(SILENT_SECONDS * attempts.scale)
    async with transaction(look.deps.database) as work:
        match found:
            case Found():
                await attempts.submitted(work, attempt, found.task_id)
            case NotYet():
                if not attempt.looked_for:
                    await attempts.unconfirmed(work, attempt, found.until)
                await look.again(work, found.look_after, looked_for=True)
            case Absent():
                if not await AttemptTransitions(work.session, attempt).resubmit(provider.submit_seconds):
                    return
            case _:
                await attempts.unknown(work, attempt, NEVER_ANSWERED, before="INTENT")
                log.error("attempt.unknown", attempt_id=attempt.id, provider=provider.name)
    if isinstance(found, Absent):
        deadline += provider.submit_seconds
        await look.deps.shielded.run(submission.submit(attempt, look.render, provider, deadline, look.deps))


# --- a running task


async def _check(look: Look, task_id: str) -> None:
    """Poll the task: keep waiting, queue its clip, or handle its failure."""
    attempts, provider, attempt = look.deps.attempts, look.provider, look.attempt
    status = await _status(task_id, provider)
    if isinstance(status, Lost) and look.age < provider.submit_seconds + LOST_SECONDS * attempts.scale:
        status = None
    match status:
        case None:
            await _look_later(look)
        case Running():
            await _keep_waiting(look, task_id, status)
        case Succeeded():
            async with transaction(look.deps.database) as work:
                if await attempts.succeeded(work, attempt, status.cost):
                    ready = ClipReady(video_id=uuid.UUID(attempt.video_id), attempt_id=uuid.UUID(attempt.id))
                    await work.emit(ready)
        case Failed():
            async with transaction(look.deps.database) as work:
                await attempts.failed(work, attempt, status, before="SUBMITTED")
        case Lost():
            reason = f"{provider.name} took the task and does not know it any more; it may be paid."
            async with transaction(look.deps.database) as work:
                await attempts.unknown(work, attempt, reason, before="SUBMITTED")


async def _status(task_id: str, provider: Provider) -> Running | Succeeded | Failed | Lost | None:
    """Return the status of a task; None: the provider did not answer."""
    try:
        return await _answer(provider.check(task_id))
    except ProviderSilent as silence:
        log.warning("provider.silent", task_id=task_id, reason=str(silence), cause=repr(silence.__cause__))
        return None


async def _answer(question: Awaitable[T]) -> T:
    """Wait for the answer to a free question.

    Raises:
        ProviderSilent: there is no answer in time.
    """
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await question
    except TimeoutError as error:
        raise ProviderSilent(f"no answer within {ANSWER_SECONDS:.0f} s") from error


async def _look_later(look: Look) -> None:
    """Check again later, or give the attempt up as UNKNOWN after `SILENCE_SECONDS` without an answer."""
    provider, attempts = look.provider, look.deps.attempts
    async with transaction(look.deps.database) as work:
        if look.age > SILENCE_SECONDS:
            reason = f"{provider.name} has not answered for {SILENCE_SECONDS / 3600:.0f} hours; it may be paid."
            await attempts.unknown(work, look.attempt, reason, before=look.attempt.state)
        else:
            seconds = max(SILENT_SECONDS * attempts.scale, provider.check_seconds)
            await look.again(work, seconds, maybe_queued=True)


async def _keep_waiting(look: Look, task_id: str, status: Running) -> None:
    provider, attempt = look.provider, look.attempt
    async with look.deps.database.reading() as session:
        usual = await look.deps.attempts.usual_seconds(session, provider, attempt.product)
        times = select(Attempt.submitted_at, Attempt.running_since, now()).where(Attempt.id == attempt.id)
        submitted_at, running_since, clock = (await session.execute(times)).one()
    queued = (clock - submitted_at).total_seconds() if submitted_at else 0.0
    elapsed = (clock - running_since).total_seconds() if running_since else 0.0
    if elapsed > provider.attempt_seconds or (status.queued and queued > QUEUE_SECONDS):
        await _end_overdue(look, task_id)
        return
    seconds = status.check_after or polling_policy.next_look(elapsed, usual, provider.check_seconds)
    seconds *= random.uniform(1.0, 1.1)  # noqa: S311 - spreads the checks
    async with transaction(look.deps.database) as work:
        values: dict[str, Any] = {"maybe_queued": status.queued}
        if not status.queued:
            # If no check has seen it queued, it started when it was submitted.
            begun = now() if attempt.maybe_queued else Attempt.submitted_at
            values["running_since"] = func.coalesce(Attempt.running_since, begun)
        await look.again(work, seconds, **values)
    if attempt.product != "clip":
        return
    guess = 0.0 if status.queued else polling_policy.percent(elapsed, usual)
    progressed = SceneProgressed(
        video_id=uuid.UUID(attempt.video_id),
        scene_number=attempt.scene_number,
        provider=provider.name,
        percent=guess if status.percent is None else status.percent,
        eta_seconds=max(usual - elapsed, 0.0) if status.eta is None else status.eta,
    )
    await look.deps.ephemeral.publish(progressed)


async def _end_overdue(look: Look, task_id: str) -> None:
    """Cancel an overdue attempt. Only a confirmed end allows another attempt."""
    provider, attempts = look.provider, look.deps.attempts
    try:
        ended = await _answer(provider.cancel(task_id))
    except ProviderSilent as silence:
        log.warning("provider.silent", task_id=task_id, reason=str(silence), cause=repr(silence.__cause__))
        await _look_later(look)
        return
    if ended is None and not isinstance(await _status(task_id, provider), Running):
        # It may have succeeded meanwhile.
        await _look_later(look)
        return
    async with transaction(look.deps.database) as work:
        if ended is not None:
            reason = f"{provider.name} did not finish within {provider.attempt_seconds:.0f} s."
            failure = Failed("timed_out", reason, ended.cost, again=True)
            await attempts.failed(work, look.attempt, failure, before="SUBMITTED")
        else:
            reason = f"{provider.name} did not finish in time and does not say that it has stopped; it may be paid."
            await attempts.unknown(work, look.attempt, reason, before="SUBMITTED")


# --- a provider without a key


async def _wait_for_key(lease: Lease, attempt: Attempt, age: float, deps: Dependencies) -> None:
    """Publish once which setting is missing. The attempt continues when it is set."""
    missing = ProviderUnreachable(attempt.provider)
    async with transaction(deps.database) as work:
        if age > SILENCE_SECONDS and attempt.state in ("INTENT", "SUBMITTED"):
            await deps.attempts.unknown(work, attempt, missing.reason, before=attempt.state)
            return
        if attempt.failure_kind != missing.kind:
            await deps.attempts.publish_delay(work, attempt, missing.kind, missing.reason)
            log.error("provider.key_missing", attempt_id=attempt.id, provider=attempt.provider)
        values = {"failure_kind": missing.kind, "failure_reason": missing.reason, "maybe_queued": True}
        await lease.move(work.session, next_check_at=now(WITHOUT_KEY_SECONDS), **values)
