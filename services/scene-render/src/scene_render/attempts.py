"""The paid step, as rows: INTENT, then one submission, then whatever the provider makes of it.

    INTENT ──submission answered──▶ SUBMITTED ──▶ SUCCEEDED | FAILED | CANCELLED
       └────nobody can tell───────▶ UNKNOWN

Each function is a part of its caller's transaction. A change of state names the states it may follow, so that a late
or doubled writer changes nothing.
"""

import uuid
from decimal import Decimal
from typing import Any

from sqlalchemy import CursorResult, update
from sqlalchemy.ext.asyncio import AsyncSession

from scene_render import turns
from scene_render.models import Attempt, ProviderSlot, Render, Spend
from scene_render.provider import Failed, Provider, Running
from scene_render.steps import CheckDue, SlotOffered, SubmissionOverdue
from shared.contracts.events import SceneFailed, SceneRequested, SceneStarted
from shared.database import now
from shared.unit_of_work import Work

NOTHING = Decimal(0)
MAX_ATTEMPTS = 3
RETRY_SECONDS = 5.0


def request_of(render: Render) -> SceneRequested:
    """The event that asked for this scene."""
    return SceneRequested.model_validate(render.request)


async def intend(work: Work, render: Render, slot: ProviderSlot, provider: Provider) -> Attempt:
    """Write INTENT: the slot is taken and the money reserved before a byte goes to the provider."""
    request = request_of(render)
    render.state = "running"
    render.attempts += 1
    attempt = Attempt(
        id=str(uuid.uuid4()),
        video_id=render.video_id,
        scene_number=render.scene_number,
        number=render.attempts,
        provider=provider.name,
        state="INTENT",
        intended_at=now(),
    )
    slot.attempt_id = attempt.id
    spend = Spend(
        attempt_id=attempt.id,
        video_id=render.video_id,
        owner=render.owner,
        provider=provider.name,
        reserved_usd=provider.price(request),
        reserved_at=now(),
    )
    work.session.add_all([attempt, spend])
    await work.session.flush()
    overdue = SubmissionOverdue(video_id=request.video_id, attempt_id=uuid.UUID(attempt.id))
    await work.emit(overdue, after=provider.submit_seconds + 1)
    return attempt


async def submitted(work: Work, attempt: Attempt, task_id: str, expected: Running) -> None:
    """The provider has the task. An attempt that was given up as UNKNOWN is known again."""
    if not await _move(work.session, attempt, ("INTENT", "UNKNOWN"), "SUBMITTED", task_id=task_id, submitted_at=now()):
        return
    video_id = uuid.UUID(attempt.video_id)
    started = SceneStarted(
        video_id=video_id, scene_number=attempt.scene_number, provider=attempt.provider, eta_seconds=expected.eta
    )
    await work.emit(started)
    await work.emit(CheckDue(video_id=video_id, attempt_id=uuid.UUID(attempt.id)), after=expected.check_after)


async def succeeded(work: Work, attempt: Attempt, cost: Decimal) -> bool:
    """The provider's task has ended well: free its slot, book its cost. Returns whether this was news."""
    if not await _move(work.session, attempt, ("SUBMITTED",), "SUCCEEDED", ended_at=now()):
        return False
    await _settle(work, attempt, cost)
    return True


async def failed(work: Work, attempt: Attempt, failure: Failed, *, wait: float = RETRY_SECONDS) -> None:
    """The provider's task has ended badly, or was surely never taken: try again where that helps, else give up."""
    told = {"failure_kind": failure.kind, "failure_reason": failure.reason, "ended_at": now()}
    if await _move(work.session, attempt, ("INTENT", "SUBMITTED"), "FAILED", **told):
        await _settle(work, attempt, failure.cost)
        await _try_again(work, attempt, failure, wait)


async def spoiled(work: Work, attempt: Attempt, reason: str) -> None:
    """The task had ended well, and was booked, but its clip cannot be used."""
    told = {"failure_kind": "clip_unusable", "failure_reason": reason}
    if await _move(work.session, attempt, ("SUCCEEDED",), "FAILED", **told):
        failure = Failed("clip_unusable", reason, cost=NOTHING, again=True)
        await _try_again(work, attempt, failure, RETRY_SECONDS)


async def _try_again(work: Work, attempt: Attempt, failure: Failed, wait: float) -> None:
    """Let the scene wait for another attempt, if that may help and not too many were made."""
    render = await work.session.get_one(Render, (attempt.video_id, attempt.scene_number), with_for_update=True)
    if failure.again and render.attempts < MAX_ATTEMPTS:
        render.state = "waiting"
        render.available_at = now(wait)
        await work.emit(SlotOffered(video_id=uuid.UUID(attempt.video_id), provider=attempt.provider), after=wait)
        return
    await give_up(work, render, failure.kind, failure.reason)


async def unknown(work: Work, attempt: Attempt, provider: Provider) -> None:
    """Nobody can tell whether the attempt was paid: its money stays reserved, and no other attempt is made.

    Its slot stays taken for as long as a task of this provider may go on.
    """
    reason = "The provider never said whether it took the task; it may have been paid, so it is not asked again."
    told = {"failure_kind": "submission_unknown", "failure_reason": reason}
    if await _move(work.session, attempt, ("INTENT", "SUBMITTED"), "UNKNOWN", **told):
        render = await work.session.get_one(Render, (attempt.video_id, attempt.scene_number), with_for_update=True)
        await give_up(work, render, "submission_unknown", reason)
        check = CheckDue(video_id=uuid.UUID(attempt.video_id), attempt_id=uuid.UUID(attempt.id))
        await work.emit(check, after=provider.attempt_seconds)


async def give_up(work: Work, render: Render, kind: str, reason: str) -> None:
    """The scene will not be rendered."""
    render.state = "failed"
    render.failure_kind = kind
    render.failure_reason = reason
    failed_scene = SceneFailed(
        video_id=uuid.UUID(render.video_id),
        scene_number=render.scene_number,
        kind=kind,
        reason=reason,
        cost_usd=render.cost_usd,
    )
    await work.emit(failed_scene)


async def release(work: Work, attempt: Attempt) -> None:
    """Free the slot of an attempt, and let the next scene start."""
    await turns.free(work.session, attempt.id)
    await work.emit(SlotOffered(video_id=uuid.UUID(attempt.video_id), provider=attempt.provider))


async def _settle(work: Work, attempt: Attempt, cost: Decimal) -> None:
    """Free the slot and turn the reservation into what was really taken."""
    await release(work, attempt)
    booked = update(Spend).where(Spend.attempt_id == attempt.id).values(reserved_usd=0, booked_usd=cost)
    await work.session.execute(booked)
    render = (Render.video_id == attempt.video_id, Render.scene_number == attempt.scene_number)
    await work.session.execute(update(Render).where(*render).values(cost_usd=Render.cost_usd + cost))


async def _move(
    session: AsyncSession,
    attempt: Attempt,
    before: tuple[str, ...],
    state: str,
    **values: Any,  # noqa: ANN401 - columns
) -> bool:
    """Change the state of an attempt if it is still one of `before`."""
    change = update(Attempt).where(Attempt.id == attempt.id, Attempt.state.in_(before)).values(state=state, **values)
    result = await session.execute(change, execution_options={"synchronize_session": False})
    assert isinstance(result, CursorResult)  # noqa: S101 - for the type checker
    return result.rowcount == 1
