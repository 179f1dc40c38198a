"""The scene-render service's part of the story: each scene is rendered once, paid once, checked and stored."""

import asyncio
import contextlib
import itertools
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import select, update

from scene_render.attempts import polling_policy as pace
from scene_render.attempts.service import Attempts, request_of, without_text
from scene_render.clips import clip_ingest as clips
from scene_render.clips.clip_ingest import ClipIngest
from scene_render.internal_messages import (
    AnimaticOrdered,
    CallbackReceived,
    CancelDue,
    CheckDue,
    ClipReady,
    PayAgainDue,
    SceneOverdue,
    SlotOffered,
    SubmissionOverdue,
    UnknownOverdue,
)
from scene_render.models import Attempt, CancelledVideo, ProviderSlot, Render
from scene_render.providers.animatic import AnimaticProvider
from scene_render.providers.base import (
    Absent,
    ClipOutOfReach,
    ClipUnusable,
    Failed,
    Found,
    Lost,
    NotYet,
    Provider,
    ProviderSilent,
    Running,
    SubmissionDeferred,
    SubmissionRefused,
    Succeeded,
)
from scene_render.scheduling import circuit_breaker as breaker
from scene_render.scheduling import scene_state as standings
from scene_render.scheduling import scheduler as turns
from shared.contracts.events import (
    ChargeReviewed,
    SceneProgressed,
    SceneRendered,
    SceneRequested,
    VideoCancelled,
    VideoDeleted,
    VideoExpired,
    VideoFailed,
    VideoResumed,
)
from shared.contracts.media import FRAME_RATE
from shared.messaging.errors import StepFailed, TryAgainLater
from shared.messaging.event_router import Delivery, EphemeralPublisher, EventRouter
from shared.money.budget import BudgetExceeded
from shared.money.prices import FREE
from shared.persistence.database import Database, is_outage, now
from shared.persistence.unit_of_work import UnitOfWork, idempotent_transaction, transaction
from shared.process.shielded import Shielded

log = structlog.get_logger()

SILENT_SECONDS = 10.0
QUEUE_SECONDS = 3600.0
"""How long a task may wait in its provider's own queue."""
LOST_SECONDS = 120.0
"""How long after its order a task may not be known yet to all of a provider's servers."""
SILENCE_SECONDS = 6 * 3600.0
"""How long after its order a task is asked about, and its clip fetched, when there is no answer; the links of all
providers last longer."""
STORAGE_SECONDS = 15.0
"""How long a scene waits for its first frame when the storage is away."""
SAVE_SECONDS = (0.1, 0.5, 1.0, 2.0, 5.0)
"""The pauses between attempts to save what a provider has answered; the last one again and again."""
NEVER_ANSWERED = "The provider never said whether it took the task; it may have been paid, so it is not asked again."


@dataclass(frozen=True)
class Dependencies:
    """What the handlers work with. `shielded` keeps a submission whole when its handler is cancelled.

    `scene_wait_seconds`: how long a scene waits for a provider that takes nothing.
    """

    database: Database
    providers: Mapping[str, Provider]
    attempts: Attempts
    animatics: AnimaticProvider
    clips: ClipIngest
    ephemeral: EphemeralPublisher
    scene_wait_seconds: float = 3600.0
    shielded: Shielded = field(default_factory=Shielded)


router: EventRouter[Dependencies] = EventRouter("scene-render")


@router.on(SceneRequested)
async def plan_scene(event: SceneRequested, delivery: Delivery, deps: Dependencies) -> None:
    """A scene was requested: let it wait for its turn."""
    async with idempotent_transaction(deps.database, delivery) as work:
        key = (str(event.video_id), event.scene.scene_number)
        if await work.session.get(Render, key) is not None:
            return
        cancelled = await work.session.get(CancelledVideo, str(event.video_id)) is not None
        render = Render(
            video_id=str(event.video_id),
            scene_number=event.scene.scene_number,
            state="cancelled" if cancelled else "waiting",
            request=(without_text(event) if cancelled else event).model_dump(mode="json"),
            owner=event.owner,
            batch=event.priority == "batch",
            provider="",
            tried=[],
            available_at=now(),
            requested_at=now(),
        )
        await deps.attempts.route(work, render)
        work.session.add(render)
        await work.session.flush()
        await work.emit(SlotOffered(video_id=event.video_id, provider=render.provider))
        overdue = SceneOverdue(video_id=event.video_id, scene_number=render.scene_number)
        await work.emit(overdue, after=deps.scene_wait_seconds)


@router.on(SlotOffered, max_concurrency=4)
async def start_attempt(event: SlotOffered, delivery: Delivery, deps: Dependencies) -> None:
    """A slot may be free: write down what we are about to pay for, for the scene whose turn it is, and submit it."""
    provider = deps.providers.get(event.provider)
    if provider is None or not deps.attempts.takes_new(event.provider):
        # It was taken out of the configuration: what waits for it goes to the others.
        async with idempotent_transaction(deps.database, delivery) as work:
            await deps.attempts.move_waiting(work, event.provider)
        return
    # From INTENT to the answer as a whole, even if RabbitMQ goes away meanwhile.
    await deps.shielded.run(_start_attempt(event, delivery, provider, deps))


async def _start_attempt(event: SlotOffered, delivery: Delivery, provider: Provider, deps: Dependencies) -> None:
    # Counted from before INTENT: whoever is frozen in between must not submit when it wakes.
    deadline = asyncio.get_running_loop().time() + provider.submit_seconds
    async with idempotent_transaction(deps.database, delivery) as work:
        if provider.name not in deps.attempts.order:
            # What did not wish for it goes to those who are configured.
            await deps.attempts.move_waiting(work, provider.name)
        if provider.name in await breaker.parked(work.session):
            return
        slot = await turns.free_slot_of(work.session, provider.name)
        if slot is None:
            if await turns.some_slot_is_free(work.session, provider.name):
                # Somebody holds it who may leave it free, and nobody else would come back for us.
                await work.emit(event, after=0.1)
            return
        render = await turns.next_render(work.session, provider.name)
        if render is None:
            return
        if await work.session.get(CancelledVideo, render.video_id) is not None:
            render.state = "cancelled"
            await work.emit(event)
            return
        attempt = await _intend(work, render, slot, provider, event, deps)
        if attempt is None:
            return
    await _submit(attempt, render, provider, deadline, deps)


async def _intend(
    work: UnitOfWork, render: Render, slot: ProviderSlot, provider: Provider, offer: SlotOffered, deps: Dependencies
) -> Attempt | None:
    """Write INTENT, if the provider may be tried and the money is there."""
    if await breaker.was_parked(work.session, provider.name):
        trial = provider.submit_seconds + 2
        if not await breaker.begin_trial(work.session, provider.name, trial):
            return None
        await work.emit(offer, after=trial + 0.1)
    try:
        return await deps.attempts.intend(work, render, slot, provider)
    except BudgetExceeded as exceeded:
        await standings.give_up(work, render, "budget", str(exceeded))
        await work.emit(offer)
        return None


@router.on(SubmissionOverdue)
async def reconcile_attempt(event: SubmissionOverdue, delivery: Delivery, deps: Dependencies) -> None:
    """A submission should be answered by now: where it is not, find out what became of it, and never ask blindly."""
    deadline = asyncio.get_running_loop().time()
    attempt, render, age = await _attempt(event.attempt_id, deps.database)
    if attempt.state != "INTENT":
        return
    provider = deps.attempts.provider_of(attempt)
    try:
        found = await provider.find(attempt.id, age)
    except ProviderSilent:
        found = NotYet(SILENT_SECONDS * deps.attempts.scale)
    match found:
        case Found():
            async with idempotent_transaction(deps.database, delivery) as work:
                await deps.attempts.submitted(work, attempt, found.task_id)
        case NotYet():
            async with idempotent_transaction(deps.database, delivery) as work:
                if not event.asked:
                    await deps.attempts.unconfirmed(work, attempt, found.until)
                await work.emit(event.model_copy(update={"asked": True}), after=found.look_after)
        case Absent():
            async with idempotent_transaction(deps.database, delivery) as work:
                if not await deps.attempts.post_again(work, attempt):
                    return
                await work.emit(event, after=provider.submit_seconds + 1)
            deadline += provider.submit_seconds
            await deps.shielded.run(_submit(attempt, render, provider, deadline, deps))
        case _:
            async with idempotent_transaction(deps.database, delivery) as work:
                await deps.attempts.unknown(work, attempt, NEVER_ANSWERED, before="INTENT")
            log.error("attempt.unknown", attempt_id=attempt.id, provider=provider.name)


async def _submit(attempt: Attempt, render: Render, provider: Provider, deadline: float, deps: Dependencies) -> None:
    """Order the shot, once, and save the answer. Without an answer the attempt stays at INTENT."""
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        try:
            async with asyncio.timeout_at(deadline):
                shot = await stack.enter_async_context(deps.clips.shot_of(render, attempt))
        except Exception as error:  # noqa: BLE001 - whatever it was, nothing was sent
            await _save(deps, attempt, _without_first_frame(attempt, error, deps.attempts))
            return
        if loop.time() >= deadline:
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
            log.warning("submission.put_off", provider=provider.name, **told)
            await _save(deps, attempt, lambda work: deps.attempts.put_off(work, attempt, delay))
            return
        except Exception as error:  # noqa: BLE001 - whatever it was, the task may have been taken
            log.warning("submission.unanswered", attempt_id=attempt.id, provider=provider.name, error=repr(error))
            await _save(deps, attempt, lambda work: deps.attempts.unanswered(work, attempt))
            return
    await _save(deps, attempt, lambda work: deps.attempts.submitted(work, attempt, task_id), task_id)


def _without_first_frame(
    attempt: Attempt, error: Exception, attempts: Attempts
) -> Callable[[UnitOfWork], Coroutine[Any, Any, None]]:
    """What becomes of an attempt whose first frame cannot be had."""
    if is_outage(error) or isinstance(error, TimeoutError):
        log.warning("first_frame.away", attempt_id=attempt.id, error=repr(error))
        return lambda work: attempts.never_sent(work, attempt, STORAGE_SECONDS * attempts.scale)
    failure = Failed("first_frame", f"Its first frame could not be read: {error}", cost=FREE, again=True)
    return lambda work: attempts.failed(work, attempt, failure, before="INTENT", asked=False)


async def _save(
    deps: Dependencies, attempt: Attempt, change: Callable[[UnitOfWork], Awaitable[None]], task_id: str | None = None
) -> None:
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


@router.on(CheckDue, max_concurrency=8)
async def check_attempt(event: CheckDue, delivery: Delivery, deps: Dependencies) -> None:
    """It is time to look at an attempt: go on waiting, collect its clip, or deal with its failure."""
    attempt, _, age = await _attempt(event.attempt_id, deps.database)
    if attempt.state != "SUBMITTED" or attempt.task_id is None:
        return
    provider = deps.attempts.provider_of(attempt)
    status = await _status(attempt.task_id, provider)
    if isinstance(status, Lost) and age < provider.submit_seconds + LOST_SECONDS * deps.attempts.scale:
        status = None
    match status:
        case None:
            # Nothing was seen, so no clock begins or runs out; for all we know it has not begun.
            await _look_later(event.model_copy(update={"queued": True}), attempt, age, delivery, deps)
        case Running():
            await _go_on_waiting(event, status, attempt, age, delivery, deps)
        case Succeeded():
            async with idempotent_transaction(deps.database, delivery) as work:
                if await deps.attempts.succeeded(work, attempt, status.cost):
                    await work.emit(ClipReady(video_id=event.video_id, attempt_id=event.attempt_id))
        case Failed():
            async with idempotent_transaction(deps.database, delivery) as work:
                await deps.attempts.failed(work, attempt, status, before="SUBMITTED")
        case Lost():
            reason = f"{provider.name} took the task and does not know it any more; it may be paid."
            async with idempotent_transaction(deps.database, delivery) as work:
                await deps.attempts.unknown(work, attempt, reason, before="SUBMITTED")


async def _status(task_id: str, provider: Provider) -> Running | Succeeded | Failed | Lost | None:
    """How a task is doing; None: the provider does not say."""
    try:
        return await provider.check(task_id)
    except ProviderSilent as silence:
        log.warning("provider.silent", task_id=task_id, reason=str(silence), cause=repr(silence.__cause__))
        return None


async def _look_later(event: CheckDue, attempt: Attempt, age: float, delivery: Delivery, deps: Dependencies) -> None:
    """There was no answer: ask again, as long as one can be hoped for."""
    provider = deps.attempts.provider_of(attempt)
    async with idempotent_transaction(deps.database, delivery) as work:
        if age > SILENCE_SECONDS:
            reason = f"{provider.name} has not answered for {SILENCE_SECONDS / 3600:.0f} hours; it may be paid."
            await deps.attempts.unknown(work, attempt, reason, before="SUBMITTED")
        elif not event.hint:
            await work.emit(event, after=max(SILENT_SECONDS * deps.attempts.scale, provider.check_seconds))


async def _go_on_waiting(
    event: CheckDue, status: Running, attempt: Attempt, age: float, delivery: Delivery, deps: Dependencies
) -> None:
    provider = deps.attempts.provider_of(attempt)
    async with deps.database.reading() as session:
        usual = await deps.attempts.usual_seconds(session, provider)
        times = select(Attempt.submitted_at, Attempt.running_since, now()).where(Attempt.id == attempt.id)
        submitted_at, running_since, clock = (await session.execute(times)).one()
    queued = (clock - submitted_at).total_seconds() if submitted_at else 0.0
    elapsed = (clock - running_since).total_seconds() if running_since else 0.0
    if elapsed > provider.attempt_seconds or (status.queued and queued > QUEUE_SECONDS):
        await _end_overdue(event, attempt, age, delivery, deps)
        return
    seconds = status.check_after or pace.next_look(elapsed, usual, provider.check_seconds)
    async with idempotent_transaction(deps.database, delivery) as work:
        if not status.queued and running_since is None:
            # Without a look that saw it in the queue, it was begun when it was ordered.
            begun = now() if event.queued else Attempt.submitted_at
            running = update(Attempt).where(Attempt.id == attempt.id, Attempt.running_since.is_(None))
            await work.session.execute(running.values(running_since=begun))
        if not event.hint:
            again = event.model_copy(update={"queued": status.queued})
            await work.emit(again, after=seconds * random.uniform(1.0, 1.1))  # noqa: S311 - so that looks spread
    guess = 0.0 if status.queued else pace.percent(elapsed, usual)
    progressed = SceneProgressed(
        video_id=event.video_id,
        scene_number=attempt.scene_number,
        provider=provider.name,
        percent=guess if status.percent is None else status.percent,
        eta_seconds=max(usual - elapsed, 0.0) if status.eta is None else status.eta,
    )
    await deps.ephemeral.publish(progressed)


async def _end_overdue(event: CheckDue, attempt: Attempt, age: float, delivery: Delivery, deps: Dependencies) -> None:
    """An attempt takes too long: another one only where this one has surely ended."""
    provider, task_id = deps.attempts.provider_of(attempt), str(attempt.task_id)
    try:
        ended = await provider.cancel(task_id)
    except ProviderSilent as silence:
        log.warning("provider.silent", task_id=task_id, reason=str(silence), cause=repr(silence.__cause__))
        await _look_later(event, attempt, age, delivery, deps)
        return
    if ended is None and not isinstance(await _status(task_id, provider), Running):
        # It may have ended well meanwhile.
        await _look_later(event, attempt, age, delivery, deps)
        return
    async with idempotent_transaction(deps.database, delivery) as work:
        if ended is not None:
            reason = f"{provider.name} did not finish within {provider.attempt_seconds:.0f} s."
            failure = Failed("timed_out", reason, ended.cost, again=True)
            await deps.attempts.failed(work, attempt, failure, before="SUBMITTED")
        else:
            reason = f"{provider.name} did not finish in time and does not say that it has stopped; it may be paid."
            await deps.attempts.unknown(work, attempt, reason, before="SUBMITTED")


@router.on(CallbackReceived)
async def hear_callback(event: CallbackReceived, delivery: Delivery, deps: Dependencies) -> None:
    """A provider says that a task has changed: look at it once; a task we did not know of is known from now on."""
    attempt, _, _ = await _attempt(event.attempt_id, deps.database)
    async with idempotent_transaction(deps.database, delivery) as work:
        if attempt.state in ("INTENT", "UNKNOWN") and event.task_id is not None:
            await deps.attempts.submitted(work, attempt, event.task_id)
        elif attempt.state == "SUBMITTED":
            look = CheckDue(video_id=event.video_id, attempt_id=event.attempt_id, hint=True, queued=True)
            await work.emit(look)


@router.on(ClipReady, max_concurrency=2)
async def collect_clip(event: ClipReady, delivery: Delivery, deps: Dependencies) -> None:
    """A provider has finished a clip: fetch it, check it, store it; ask for the next one if the scene is longer."""
    attempt, render, age = await _attempt(event.attempt_id, deps.database)
    if attempt.state != "SUCCEEDED" or attempt.task_id is None:
        return
    if not standings.needs(render, attempt):
        log.info("clip.not_needed", attempt_id=attempt.id, scene=render.scene_number, state=render.state)
        return
    provider = deps.attempts.provider_of(attempt)
    try:
        collected = await deps.clips.collect(provider, attempt, render)
    except ClipUnusable as unusable:
        log.warning("clip.unusable", reason=str(unusable), detail=unusable.detail, again=unusable.again)
        async with idempotent_transaction(deps.database, delivery) as work:
            await deps.attempts.spoiled(work, attempt, str(unusable), again=unusable.again)
        return
    except ProviderSilent as silence:
        if age > SILENCE_SECONDS:
            reason = (
                f"{provider.name} has delivered no clip for {SILENCE_SECONDS / 3600:.0f} hours after it was rendered."
            )
            raise StepFailed("clip_out_of_reach", reason, str(silence)) from silence
        log.warning("clip.not_fetched", reason=str(silence), cause=repr(silence.__cause__))
        async with idempotent_transaction(deps.database, delivery) as work:
            await work.emit(event, after=SILENT_SECONDS * deps.attempts.scale)
        return
    except ClipOutOfReach as place:
        raise StepFailed("clip_out_of_reach", str(place), place.detail) from place
    async with idempotent_transaction(deps.database, delivery) as work:
        render = await work.session.get_one(Render, (render.video_id, render.scene_number), with_for_update=True)
        if not standings.needs(render, attempt):
            log.info("clip.not_needed", attempt_id=attempt.id, scene=render.scene_number, state=render.state)
            return
        if isinstance(collected, clips.Part):
            render.parts = [*render.parts, collected.model_dump(mode="json")]
            render.parts_stored_at = now()
            wanted = await work.session.get(CancelledVideo, render.video_id) is None
            render.state, render.available_at = "waiting" if wanted else "cancelled", now()
            if not wanted:
                await deps.clips.remove_parts(event.video_id)
            await work.session.flush()
            await work.emit(SlotOffered(video_id=event.video_id, provider=render.provider))
            return
        render.state, render.clip = "rendered", collected.model_dump(mode="json")
        rendered = SceneRendered(
            video_id=event.video_id,
            scene_number=render.scene_number,
            clip=collected,
            duration=collected.frames / FRAME_RATE,
            cost_usd=render.cost_usd,
            provider=provider.name,
        )
        await work.emit(rendered)
    log.info("scene.rendered", scene=render.scene_number, provider=provider.name, bytes=collected.media.size)


@router.on(AnimaticOrdered, max_concurrency=2)
async def draw_animatic(event: AnimaticOrdered, delivery: Delivery, deps: Dependencies) -> None:
    """The built-in renderer was asked for a clip: draw it."""
    await deps.animatics.draw(str(event.task_id), event.order)
    async with idempotent_transaction(deps.database, delivery):
        log.info("animatic.drawn", task_id=str(event.task_id), scene=event.order.scene.scene_number)


@router.on(SceneOverdue)
async def end_waiting(event: SceneOverdue, delivery: Delivery, deps: Dependencies) -> None:
    """A scene has waited long: where nobody takes anything all that time, it is given up; else its turn will come."""
    async with idempotent_transaction(deps.database, delivery) as work:
        key = (str(event.video_id), event.scene_number)
        render = await work.session.get_one(Render, key, with_for_update=True)
        if render.state in ("rendered", "failed", "cancelled"):
            return
        if render.state != "waiting" or await standings.has_failed(work.session, render.video_id):
            await work.emit(event, after=deps.scene_wait_seconds)
            return
        await deps.attempts.route(work, render)
        waited = await deps.attempts.seconds_in_vain(work.session, render)
        if waited < deps.scene_wait_seconds:
            # Whoever should have woken it may be gone.
            await work.emit(SlotOffered(video_id=event.video_id, provider=render.provider))
            await work.emit(event, after=max(deps.scene_wait_seconds - waited, 1.0))
            return
        state = (await breaker.unproven(work.session))[render.provider]
        reason = f"{render.provider} took nothing for {deps.scene_wait_seconds / 60:.0f} minutes: {state.reason}"
        await standings.give_up(work, render, state.kind or "outage", reason)


@router.on(UnknownOverdue)
async def release_unknown(event: UnknownOverdue, delivery: Delivery, deps: Dependencies) -> None:
    """No task goes on for so long: the slot of an attempt that is still unknown is free again; its money is not."""
    attempt, _, _ = await _attempt(event.attempt_id, deps.database)
    async with idempotent_transaction(deps.database, delivery) as work:
        if attempt.state == "UNKNOWN":
            await deps.attempts.release(work, attempt)


@router.on(PayAgainDue)
async def pay_again(event: PayAgainDue, delivery: Delivery, deps: Dependencies) -> None:
    """Nobody has settled an unknown attempt for a while: order its scene once more, where the policy still says so."""
    attempt, _, _ = await _attempt(event.attempt_id, deps.database)
    async with idempotent_transaction(deps.database, delivery) as work:
        if deps.attempts.unknown_policy.pay_again:
            await deps.attempts.pay_again(work, attempt)


@router.on(ChargeReviewed)
async def settle_unknown(event: ChargeReviewed, delivery: Delivery, deps: Dependencies) -> None:
    """A person has found out what became of an unknown attempt: use its clip, book its money, or free it."""
    attempt, _, _ = await _attempt(event.attempt_id, deps.database)
    wrong = await _wrong_with(event.task_id, attempt, deps) if event.paid and event.task_id is not None else None
    async with idempotent_transaction(deps.database, delivery) as work:
        if wrong is not None:
            await deps.attempts.refuse_task(work, attempt, wrong)
        elif event.paid and event.task_id is not None:
            await deps.attempts.submitted(work, attempt, event.task_id)
        else:
            cost = event.cost_usd if event.paid else FREE
            await deps.attempts.settle_unknown(work, attempt, cost, again=event.again)
            await work.emit(SlotOffered(video_id=event.video_id, provider=attempt.provider))
    log.info("charge.reviewed", attempt_id=attempt.id, paid=event.paid, by=event.by, wrong=wrong)


async def _wrong_with(task_id: str, attempt: Attempt, deps: Dependencies) -> str | None:
    """Why a task cannot be that of an attempt; None: it can be."""
    provider = deps.attempts.provider_of(attempt)
    taken = (Attempt.provider == attempt.provider, Attempt.task_id == task_id, Attempt.id != attempt.id)
    async with deps.database.reading() as session:
        other = (await session.execute(select(Attempt.video_id, Attempt.scene_number).where(*taken))).first()
    if other is not None:
        return f"Task {task_id} is that of scene {other.scene_number} of video {other.video_id}; look it up again."
    try:
        status = await provider.check(task_id)
    except ProviderSilent as silence:
        raise TryAgainLater(f"{provider.name} does not say whether it knows task {task_id}") from silence
    if isinstance(status, Lost):
        return f"{provider.name} knows no task {task_id}; look it up again in the account whose key is used here."
    return None


@router.on(VideoFailed)
async def hold_scenes(event: VideoFailed, delivery: Delivery, deps: Dependencies) -> None:
    """The video has failed: its waiting scenes do not start, unless somebody resumes it."""
    if event.stage == "request":
        return  # of a request that was refused; a video of that id is another one's
    async with idempotent_transaction(deps.database, delivery) as work:
        await standings.hear_failure(work, event)


@router.on(VideoResumed)
async def release_scenes(event: VideoResumed, delivery: Delivery, deps: Dependencies) -> None:
    """A failed video goes on: its waiting scenes may start again, unless one of its scenes is failed."""
    async with idempotent_transaction(deps.database, delivery) as work:
        await standings.hear_resume(work, event)


@router.on(VideoCancelled)
async def cancel_scenes(event: VideoCancelled, delivery: Delivery, deps: Dependencies) -> None:
    """Nobody wants the video any more: its waiting scenes never start; what runs is ended where that saves money."""
    async with idempotent_transaction(deps.database, delivery) as work:
        await work.session.merge(CancelledVideo(video_id=str(event.video_id)))
        waiting = (Render.video_id == str(event.video_id), Render.state == "waiting")
        await work.session.execute(update(Render).where(*waiting).values(state="cancelled"))
        running = (Attempt.video_id == str(event.video_id), Attempt.state == "SUBMITTED")
        for attempt_id in (await work.session.execute(select(Attempt.id).where(*running))).scalars():
            await work.emit(CancelDue(video_id=event.video_id, attempt_id=UUID(attempt_id)))


@router.on(VideoDeleted)
async def remove_clips(event: VideoDeleted, delivery: Delivery, deps: Dependencies) -> None:
    """The video was deleted: erase the text of its scenes, remove their clips. What was paid stays in the books."""
    await _remove_media(event.video_id, deps)
    async with idempotent_transaction(deps.database, delivery) as work:
        await work.session.merge(CancelledVideo(video_id=str(event.video_id)))
        of_video = select(Render).where(Render.video_id == str(event.video_id)).with_for_update()
        for render in (await work.session.execute(of_video)).scalars():
            render.request = without_text(request_of(render)).model_dump(mode="json")
            render.failure_reason = None if render.failure_reason is None else ""
            if render.state == "waiting":
                render.state = "cancelled"
        attempts = update(Attempt).where(Attempt.video_id == str(event.video_id))
        await work.session.execute(attempts.values(failure_reason=None))
    log.info("clips.removed")


@router.on(VideoExpired)
async def expire_clips(event: VideoExpired, delivery: Delivery, deps: Dependencies) -> None:
    """The film has been kept long enough: remove its clips. What was asked for, and what was paid, stays."""
    await _remove_media(event.video_id, deps)
    async with idempotent_transaction(deps.database, delivery) as work:
        scenes = update(Render).where(Render.video_id == str(event.video_id))
        await work.session.execute(scenes.values(parts=[], parts_stored_at=None, clip=None))
    log.info("clips.removed")


async def _remove_media(video_id: UUID, deps: Dependencies) -> None:
    drawn = select(Attempt.task_id).where(Attempt.video_id == str(video_id), Attempt.provider == "animatic")
    async with deps.database.reading() as session:
        tasks = [task for task in (await session.execute(drawn)).scalars() if task]
    await deps.clips.remove(video_id)
    await deps.animatics.remove(tasks)


@router.on(CancelDue)
async def cancel_attempt(event: CancelDue, delivery: Delivery, deps: Dependencies) -> None:
    """Nobody wants what this attempt renders: end it if that saves its money; else it goes on and is kept."""
    attempt, _, _ = await _attempt(event.attempt_id, deps.database)
    if attempt.state != "SUBMITTED" or attempt.task_id is None:
        return
    ended = await deps.attempts.provider_of(attempt).cancel_if_free(attempt.task_id)
    async with idempotent_transaction(deps.database, delivery) as work:
        if ended is not None:
            await deps.attempts.cancelled(work, attempt, ended.cost)


async def _attempt(attempt_id: UUID, database: Database) -> tuple[Attempt, Render, float]:
    """An attempt, its scene, and its age in seconds."""
    async with database.reading() as session:
        attempt = await session.get_one(Attempt, str(attempt_id))
        render = await session.get_one(Render, (attempt.video_id, attempt.scene_number))
        clock = (await session.execute(select(now()))).scalar_one()
        return attempt, render, (clock - attempt.intended_at).total_seconds()
