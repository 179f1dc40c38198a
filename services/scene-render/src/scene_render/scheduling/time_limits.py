"""Applies time limits: starved scenes, slots and orders of unknown attempts, scenes of resumed videos.

Each row has its own transaction, which checks again that the row is due.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog
from sqlalchemy import ColumnElement, select

from scene_render.attempts.endings import AttemptEndings
from scene_render.capacity import circuit_breaker
from scene_render.models import Attempt, Render, VideoStanding
from scene_render.scenes import frame_review, video_standing
from shared.persistence.database import Database, is_outage, now
from shared.persistence.unit_of_work import UnitOfWork, transaction

log = structlog.get_logger()

BATCH = 100
LEAST_WAIT_SECONDS = 1.0


async def carry_out(database: Database, attempts: AttemptEndings) -> None:
    """Apply everything that is due. A failure is logged and tried again; it does not stop the rest."""
    wait = attempts.selection.scene_wait_seconds
    for key, at, where, change in (
        ((VideoStanding.video_id,), VideoStanding.release_scenes_at, (), _release_scenes(wait)),
        ((Attempt.id,), Attempt.release_slot_at, (), _of_attempt(attempts.release_slot)),
        ((Attempt.id,), Attempt.pay_again_at, (), _of_attempt(attempts.pay_again)),
        ((Render.video_id, Render.scene_number), Render.give_up_at, (Render.state == "waiting",), _give_up(attempts)),
    ):
        for row in await _due(database, key, at, where):
            await _carry_out_one(database, row, change)


Change = Callable[..., Awaitable[None]]


async def _due(
    database: Database,
    key: Sequence[Any],
    at: Any,  # noqa: ANN401 - a column
    where: Sequence[ColumnElement[bool]],
) -> Sequence[tuple[Any, ...]]:
    found = select(*key).where(at <= now(), *where).order_by(at).limit(BATCH)
    async with database.reading() as session:
        return [tuple(row) for row in await session.execute(found)]


async def _carry_out_one(database: Database, row: tuple[Any, ...], change: Change) -> None:
    try:
        async with transaction(database) as work:
            await change(work, *row)
    except Exception as error:
        if is_outage(error):
            raise
        log.exception("time_limit.failed", row=row)


async def release_scenes(work: UnitOfWork, video_id: str, give_up_after: float) -> None:
    """Queue the paused scenes of a video and those whose reference pictures have ended, or start its review."""
    scenes = await video_standing.release_scenes(work, video_id, give_up_after)
    await frame_review.publish_if_complete(work, scenes)


def _release_scenes(give_up_after: float) -> Change:
    async def release(work: UnitOfWork, video_id: str) -> None:
        await release_scenes(work, video_id, give_up_after)

    return release


def _of_attempt(change: Callable[[UnitOfWork, Attempt], Awaitable[None]]) -> Change:
    async def apply(work: UnitOfWork, attempt_id: str) -> None:
        await change(work, await work.session.get_one(Attempt, attempt_id))

    return apply


def _give_up(attempts: AttemptEndings) -> Change:
    """Fail a scene that no provider has accepted in time; one that waits for a slot keeps waiting."""
    selection = attempts.selection

    async def give_up(work: UnitOfWork, video_id: str, scene_number: int) -> None:
        render = await work.session.get_one(Render, (video_id, scene_number), with_for_update=True)
        if render.state != "waiting" or render.give_up_at is None:
            return
        if await video_standing.has_failed(work.session, video_id):
            # The claim pauses it, and the resumed video releases it.
            render.give_up_at = None
            return
        await selection.route(work, render)
        starved = await selection.seconds_starved(work.session, render)
        if starved < selection.scene_wait_seconds:
            render.give_up_at = now(max(selection.scene_wait_seconds - starved, LEAST_WAIT_SECONDS))
            return
        state = (await circuit_breaker.tripped_circuits(work.session))[render.provider]
        minutes = selection.scene_wait_seconds / 60
        reason = f"{render.provider} took nothing for {minutes:.0f} minutes: {state.reason}"
        await video_standing.give_up(work, render, state.kind or "outage", reason)

    return give_up
