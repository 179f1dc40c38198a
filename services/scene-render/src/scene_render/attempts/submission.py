"""Submits the order of an attempt once and saves the provider's answer."""

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
"""How long a scene is delayed if the storage is down and the pictures of its order cannot be read."""
SAVE_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)
"""The pauses between attempts to save an answer; the last one repeats."""

Change = Callable[[UnitOfWork], Awaitable[None]]


async def submit(attempt: Attempt, render: Render, provider: Provider, deadline: float, deps: Dependencies) -> None:
    """Send the order, once, and save the answer. Without an answer the attempt stays at INTENT.

    `deadline`, on the event loop's clock, counts from before INTENT: a process that was frozen past it sends nothing,
    because another process may have reconciled the attempt.
    """
    async with contextlib.AsyncExitStack() as stack:
        try:
            async with asyncio.timeout_at(deadline):
                order = await stack.enter_async_context(deps.order_files.order_of(render, attempt, provider))
        except Exception as error:  # noqa: BLE001 - nothing was sent
            await _save(deps, attempt, _without_pictures(attempt, error, deps.attempts))
            return
        if not await _may_send(attempt, provider, deadline, deps):
            log.warning("submission.too_late", attempt_id=attempt.id, provider=provider.name)
            await _save(deps, attempt, lambda work: deps.attempts.never_sent(work, attempt))
            return
        try:
            async with asyncio.timeout_at(deadline):
                task_id = await provider.submit(attempt.id, order)
        except SubmissionRefused as refusal:
            failed = partial(deps.attempts.failed, before="INTENT", asked=refusal.asked)
            failure = Failed(refusal.kind, refusal.reason, cost=FREE, again=False)
            await _save(deps, attempt, lambda work: failed(work, attempt, failure))
            return
        except SubmissionDeferred as error:
            delay = error
            fields = {"kind": delay.kind, "reason": delay.reason, "detail": delay.detail}
            log.warning("submission.deferred", provider=provider.name, **fields)
            await _save(deps, attempt, lambda work: deps.attempts.deferred(work, attempt, delay))
            return
        except Exception as error:  # noqa: BLE001 - the task may have been accepted
            log.warning("submission.unanswered", attempt_id=attempt.id, provider=provider.name, error=repr(error))
            await _save(deps, attempt, lambda work: deps.attempts.unanswered(work, attempt))
            return
    await _save(deps, attempt, lambda work: deps.attempts.submitted(work, attempt, task_id), task_id)


async def _may_send(attempt: Attempt, provider: Provider, deadline: float, deps: Dependencies) -> bool:
    """Return whether this process may still send the order, by the row and by both clocks."""
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
    # Checked last: this process may have been frozen since the row was read.
    return is_ours and clock() < deadline


def _without_pictures(
    attempt: Attempt, error: Exception, attempts: Attempts
) -> Callable[[UnitOfWork], Coroutine[Any, Any, None]]:
    """Return the change to an attempt whose pictures cannot be read."""
    if is_outage(error) or isinstance(error, TimeoutError):
        log.warning("pictures.away", attempt_id=attempt.id, error=repr(error))
        return lambda work: attempts.never_sent(work, attempt, STORAGE_SECONDS * attempts.scale)
    failure = Failed("first_frame", f"The pictures of its order could not be read: {error}", cost=FREE, again=True)
    return lambda work: attempts.failed(work, attempt, failure, before="INTENT", asked=False)


async def _save(deps: Dependencies, attempt: Attempt, change: Change, task_id: str | None = None) -> None:
    """Save the answer of a provider. It cannot be requested again, so retry until the database is back.

    If the process ends before that, only the log contains the answer.
    """
    fields = {"attempt_id": attempt.id, "provider": attempt.provider, "task_id": task_id}
    try:
        for pause in itertools.chain(SAVE_SECONDS, itertools.repeat(SAVE_SECONDS[-1])):
            try:
                async with transaction(deps.database) as work:
                    await change(work)
            except Exception as error:
                if not is_outage(error):
                    raise
                log.warning("answer.not_saved_yet", **fields, error=repr(error))
                await asyncio.sleep(pause)
            else:
                return
    except BaseException:
        log.exception("answer.unsaved", **fields)
        raise
