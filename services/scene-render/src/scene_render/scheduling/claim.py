"""Claims the next waiting scene of a provider: slot, money and INTENT in one transaction, before anything is sent."""

from dataclasses import dataclass
from enum import Enum, auto

from sqlalchemy import exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from scene_render.attempts.service import Attempts
from scene_render.capacity import circuit_breaker, slots
from scene_render.models import Attempt, CancelledVideo, Render, VideoStanding
from scene_render.providers.base import Provider
from scene_render.scenes import cast, frame_review, video_standing
from scene_render.scenes.next_step import NextStep, PictureNotOffered, next_step
from scene_render.scenes.scene_state import SceneTransitions
from shared.catalogue.models import MAX_REFERENCES
from shared.money.budget import BudgetExceeded
from shared.persistence.database import is_outage, now
from shared.persistence.unit_of_work import UnitOfWork

CANDIDATES = 10
PROBE_MARGIN_SECONDS = 2.0
DEFER_SECONDS = 30.0


class NoClaim(Enum):
    """Why no scene was claimed."""

    NOTHING_DUE = auto()
    """No slot is free, no scene waits, or the circuit is open."""
    LOCKED = auto()
    """A slot is free and a scene waits, but other transactions have locked them and may release them unused."""
    SKIPPED = auto()
    """The next scene cannot start; the one after it may."""


@dataclass(frozen=True)
class Claim:
    """A scene with a saved INTENT, ready to be submitted."""

    attempt: Attempt
    render: Render


class ClaimFailed(Exception):
    """An unexpected error kept a scene from starting; nothing was changed."""

    def __init__(self, render: Render) -> None:
        super().__init__(f"scene {render.scene_number} of video {render.video_id} could not be started")
        self.video_id = render.video_id
        self.scene_number = render.scene_number


async def claim_next(work: UnitOfWork, provider: Provider, attempts: Attempts) -> Claim | NoClaim:
    """Write INTENT for the next scene, if a slot is free."""
    session = work.session
    if provider.name not in attempts.selection.order:
        # Only scenes that requested this provider stay with it.
        await attempts.selection.move_waiting(work, provider.name)
    if provider.name in await circuit_breaker.open_circuits(session):
        return NoClaim.NOTHING_DUE
    slot = await slots.lock_free_slot(session, provider.name)
    if slot is None:
        return NoClaim.LOCKED if await slots.has_free_slot(session, provider.name) else NoClaim.NOTHING_DUE
    render = await _lock_next_scene(session, provider.name)
    if isinstance(render, NoClaim):
        return render
    if await session.get(CancelledVideo, render.video_id) is not None:
        SceneTransitions(render).cancel()
        return NoClaim.SKIPPED
    if await video_standing.pause_if_failed(session, render):
        return NoClaim.SKIPPED
    try:
        step = await _next_step(work, render, provider)
    except PictureNotOffered as reason:
        await video_standing.give_up(work, render, "no_provider", str(reason))
        return NoClaim.SKIPPED
    if step is None:
        return NoClaim.SKIPPED
    if await circuit_breaker.is_tripped(session, provider.name) and not await circuit_breaker.begin_probe(
        session, provider.name, provider.submit_seconds + PROBE_MARGIN_SECONDS
    ):
        return NoClaim.NOTHING_DUE
    try:
        return Claim(await attempts.intend(work, render, slot, provider, step), render)
    except BudgetExceeded as exceeded:
        await video_standing.give_up(work, render, "budget", str(exceeded))
        return NoClaim.SKIPPED
    except Exception as error:
        if is_outage(error):
            raise
        raise ClaimFailed(render) from error


async def _next_step(work: UnitOfWork, render: Render, provider: Provider) -> NextStep | None:
    """Return what a scene orders next; None: it now waits for reference pictures, or for a person."""
    if render.is_reference or provider.models is None:
        return next_step(render, provider.models, 0)
    pictures = await cast.pictures_for(work.session, render, lock=True)
    expected = len(pictures.pictures) if pictures.complete else MAX_REFERENCES
    step = next_step(render, provider.models, expected)
    if step.product == "first_frame" and not pictures.complete:
        SceneTransitions(render).plan()
        return None
    if step.product == "clip" and frame_review.must_wait(render):
        await frame_review.await_review(work, render)
        return None
    return step


async def defer(work: UnitOfWork, failure: ClaimFailed, give_up_after: float) -> None:
    """Delay a scene that could not be started, so that it does not block others; fail it after `give_up_after` s."""
    key = (failure.video_id, failure.scene_number)
    render = await work.session.get_one(Render, key, with_for_update=True)
    if render.state != "waiting":
        return
    clock = (await work.session.execute(select(now()))).scalar_one()
    if (clock - render.requested_at).total_seconds() < give_up_after:
        render.available_at = now(DEFER_SECONDS)
    else:
        await video_standing.give_up(work, render, "not_started", "It could not be started; the log says why.")


async def _lock_next_scene(session: AsyncSession, provider: str) -> Render | NoClaim:
    """Lock the next waiting scene.

    Interactive requests before batches; then the owner with the fewest scenes running at this provider; then the video
    with the fewest running anywhere; then the oldest request.
    """
    waits = (Render.state == "waiting", Render.provider == provider, Render.available_at <= now())
    running = aliased(Render)
    of_owner = (
        select(func.count())
        .where(running.state == "running", running.provider == provider, running.owner == Render.owner)
        .scalar_subquery()
    )
    other = aliased(Render)
    of_video = select(func.count()).where(other.state == "running", other.video_id == Render.video_id).scalar_subquery()
    failed = exists().where(VideoStanding.video_id == Render.video_id, VideoStanding.failed)
    candidates = (
        select(Render.video_id, Render.scene_number)
        .where(*waits)
        # Scenes of failed videos come last: each is found here once and then paused.
        .order_by(failed, Render.batch, of_owner, of_video, Render.requested_at, Render.scene_number)
        .limit(CANDIDATES)
    )
    found = (await session.execute(candidates)).all()
    # Found without locks, then locked one by one: locking while sorting would lock the whole queue.
    for video_id, scene_number in found:
        one = select(Render).where(Render.video_id == video_id, Render.scene_number == scene_number, *waits)
        render = (await session.execute(one.with_for_update(skip_locked=True))).scalar_one_or_none()
        if render is not None:
            return render
    return NoClaim.LOCKED if found else NoClaim.NOTHING_DUE
