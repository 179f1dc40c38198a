"""Sends the order of an attempt, once, and saves what the provider answers."""

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import structlog
from sqlalchemy import select

from scene_render.attempts.service import Attempts
from scene_render.dependencies import Dependencies
from scene_render.models import Attempt, Render
from scene_render.providers.base import Failed, Provider, SubmissionDeferred, SubmissionRefused
from shared.money.prices import FREE
from shared.persistence.database import is_outage, now
from shared.persistence.unit_of_work import UnitOfWork, transaction

log = structlog.get_logger()

STORAGE_SECONDS = 15.0
"""How long a scene waits for its first frame when the storage is away."""
SAVE_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)
"""The pauses between attempts to save what a provider has answered; the last one again and again."""

Change = Callable[[UnitOfWork], Awaitable[None]]


async def submit(attempt: Attempt, render: Render, provider: Provider, deadline: float, deps: Dependencies) -> None:
    """Order the shot, once, and save the answer. Without an answer the attempt stays at INTENT.

    `deadline`, on the event loop's clock, counts from before INTENT: a process that is frozen until after it sends
    nothing, because others may have given the attempt up.
    """
    async with contextlib.AsyncExitStack() as stack:
        try:
            async with asyncio.timeout_at(deadline):
                shot = await stack.enter_async_context(deps.clips.shot_of(render, attempt))
        except Exception as error:  # noqa: BLE001 - whatever it was, nothing was sent
            await _save(deps, attempt, _without_first_frame(attempt, error, deps.attempts))
            return
        if not await _may_send(attempt, provider, deadline, deps):
            log.warning("submission.too_late", attempt_id=attempt.id, provider=provider.name)
            await _save(deps, attempt, lambda work: deps.attempts.never_sent(work, attempt))
            return
        try:
            async with asyncio.timeout_at(deadline):
                task_id = await provider.submit(attempt.id, shot)
        except SubmissionRefused as refusal:
            failed = partial(deps.attempts.failed, before="INTENT", asked=refusal.asked)
            failure = Failed(refusal.kind, refusal.reason, cost=FREE, again=False)
            await _save(deps, attempt, lambda work: failed(work, attempt, failure))
            return
        except SubmissionDeferred as error:
            delay = error
            told = {"kind": delay.kind, "reason": delay.reason, "detail": delay.detail}
            log.warning("submission.deferred", provider=provider.name, **told)
            await _save(deps, attempt, lambda work: deps.attempts.deferred(work, attempt, delay))
            return
        except Exception as error:  # noqa: BLE001 - whatever it was, the task may have been taken
            log.warning("submission.unanswered", attempt_id=attempt.id, provider=provider.name, error=repr(error))
            await _save(deps, attempt, lambda work: deps.attempts.unanswered(work, attempt))
            return
    await _save(deps, attempt, lambda work: deps.attempts.submitted(work, attempt, task_id), task_id)


async def _may_send(attempt: Attempt, provider: Provider, deadline: float, deps: Dependencies) -> bool:
    """Return whether it is still up to this process to send the order: by the row, and by both clocks."""
    still = select(Attempt.id).where(
        Attempt.id == attempt.id,
        Attempt.state == "INTENT",
        Attempt.posts == attempt.posts,
        Attempt.intended_at > now(-provider.submit_seconds),
    )
    clock = asyncio.get_running_loop().time
    if clock() >= deadline:
        return False
    try:
        async with asyncio.timeout_at(deadline), deps.database.reading() as session:
            is_ours = (await session.execute(still)).first() is not None
    except Exception as error:
        if not is_outage(error) and not isinstance(error, TimeoutError):
            raise
        return False
    # Looked at last: this process may have been frozen since the row was read.
    return is_ours and clock() < deadline


def _without_first_frame(
    attempt: Attempt, error: Exception, attempts: Attempts
) -> Callable[[UnitOfWork], Coroutine[Any, Any, None]]:
    """Return what becomes of an attempt whose first frame cannot be had."""
    if is_outage(error) or isinstance(error, TimeoutError):
        log.warning("first_frame.away", attempt_id=attempt.id, error=repr(error))
        return lambda work: attempts.never_sent(work, attempt, STORAGE_SECONDS * attempts.scale)
    failure = Failed("first_frame", f"Its first frame could not be read: {error}", cost=FREE, again=True)
    return lambda work: attempts.failed(work, attempt, failure, before="INTENT", asked=False)


async def _save(deps: Dependencies, attempt: Attempt, change: Change, task_id: str | None = None) -> None:
    """Save what a provider has answered: nobody can ask it again, so a database that is away is waited for.

    Only the end of this process ends that; then the log is all that holds the answer.
    """
    told = {"attempt_id": attempt.id, "provider": attempt.provider, "task_id": task_id}
    try:
        for pause in itertools.chain(SAVE_SECONDS, itertools.repeat(SAVE_SECONDS[-1])):
            try:
                async with transaction(deps.database) as work:
                    await change(work)
            except Exception as error:
                if not is_outage(error):
                    raise
                log.warning("answer.not_saved_yet", **told, error=repr(error))
                await asyncio.sleep(pause)
            else:
                return
    except BaseException:
        log.exception("answer.unsaved", **told)
        raise
