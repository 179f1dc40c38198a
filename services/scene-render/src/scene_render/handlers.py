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
from shared.messaging.event_router import Delivery, Hints, Story
from shared.money.budget import BudgetExceeded
from shared.money.prices import FREE
from shared.persistence.database import Database, is_outage, now
from shared.persistence.unit_of_work import Work, handling, working
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
class Tools:
    """What the handlers work with. `shielded` keeps a submission whole when its handler is cancelled.

    `scene_wait_seconds`: how long a scene waits for a provider that takes nothing.
    """

    database: Database
    providers: Mapping[str, Provider]
    attempts: Attempts
    animatics: AnimaticProvider
    clips: ClipIngest
    hints: Hints
    scene_wait_seconds: float = 3600.0
    shielded: Shielded = field(default_factory=Shielded)


story: Story[Tools] = Story("scene-render")


@story.on(SceneRequested)
async def plan_scene(event: SceneRequested, delivery: Delivery, tools: Tools) -> None:
    """A scene was requested: let it wait for its turn."""
    async with handling(tools.database, delivery) as work:
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
        await tools.attempts.route(work, render)
        work.session.add(render)
        await work.session.flush()
        await work.emit(SlotOffered(video_id=event.video_id, provider=render.provider))
        overdue = SceneOverdue(video_id=event.video_id, scene_number=render.scene_number)
        await work.emit(overdue, after=tools.scene_wait_seconds)


@story.on(SlotOffered, at_once=4)
async def start_attempt(event: SlotOffered, delivery: Delivery, tools: Tools) -> None:
    """A slot may be free: write down what we are about to pay for, for the scene whose turn it is, and submit it."""
    provider = tools.providers.get(event.provider)
    if provider is None or not tools.attempts.takes_new(event.provider):
        # It was taken out of the configuration: what waits for it goes to the others.
        async with handling(tools.database, delivery) as work:
            await tools.attempts.move_waiting(work, event.provider)
        return
    # From INTENT to the answer as a whole, even if RabbitMQ goes away meanwhile.
    await tools.shielded.run(_start_attempt(event, delivery, provider, tools))


async def _start_attempt(event: SlotOffered, delivery: Delivery, provider: Provider, tools: Tools) -> None:
    # Counted from before INTENT: whoever is frozen in between must not submit when it wakes.
    deadline = asyncio.get_running_loop().time() + provider.submit_seconds
    async with handling(tools.database, delivery) as work:
        if provider.name not in tools.attempts.order:
            # What did not wish for it goes to those who are configured.
            await tools.attempts.move_waiting(work, provider.name)
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
        attempt = await _intend(work, render, slot, provider, event, tools)
        if attempt is None:
            return
    await _submit(attempt, render, provider, deadline, tools)


async def _intend(
    work: Work, render: Render, slot: ProviderSlot, provider: Provider, offer: SlotOffered, tools: Tools
) -> Attempt | None:
    """Write INTENT, if the provider may be tried and the money is there."""
    if await breaker.was_parked(work.session, provider.name):
        trial = provider.submit_seconds + 2
        if not await breaker.begin_trial(work.session, provider.name, trial):
            return None
        await work.emit(offer, after=trial + 0.1)
    try:
        return await tools.attempts.intend(work, render, slot, provider)
    except BudgetExceeded as exceeded:
        await standings.give_up(work, render, "budget", str(exceeded))
        await work.emit(offer)
        return None


@story.on(SubmissionOverdue)
async def reconcile_attempt(event: SubmissionOverdue, delivery: Delivery, tools: Tools) -> None:
    """A submission should be answered by now: where it is not, find out what became of it, and never ask blindly."""
    deadline = asyncio.get_running_loop().time()
    attempt, render, age = await _attempt(event.attempt_id, tools.database)
    if attempt.state != "INTENT":
        return
    provider = tools.attempts.provider_of(attempt)
    try:
        found = await provider.find(attempt.id, age)
    except ProviderSilent:
        found = NotYet(SILENT_SECONDS * tools.attempts.scale)
    match found:
        case Found():
            async with handling(tools.database, delivery) as work:
                await tools.attempts.submitted(work, attempt, found.task_id)
        case NotYet():
            async with handling(tools.database, delivery) as work:
                if not event.asked:
                    await tools.attempts.unconfirmed(work, attempt, found.until)
                await work.emit(event.model_copy(update={"asked": True}), after=found.look_after)
        case Absent():
            async with handling(tools.database, delivery) as work:
                if not await tools.attempts.post_again(work, attempt):
                    return
                await work.emit(event, after=provider.submit_seconds + 1)
            deadline += provider.submit_seconds
            await tools.shielded.run(_submit(attempt, render, provider, deadline, tools))
        case _:
            async with handling(tools.database, delivery) as work:
                await tools.attempts.unknown(work, attempt, NEVER_ANSWERED, before="INTENT")
            log.error("attempt.unknown", attempt_id=attempt.id, provider=provider.name)


async def _submit(attempt: Attempt, render: Render, provider: Provider, deadline: float, tools: Tools) -> None:
    """Order the shot, once, and save the answer. Without an answer the attempt stays at INTENT."""
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        try:
            async with asyncio.timeout_at(deadline):
                shot = await stack.enter_async_context(tools.clips.shot_of(render, attempt))
        except Exception as error:  # noqa: BLE001 - whatever it was, nothing was sent
            await _save(tools, attempt, _without_first_frame(attempt, error, tools.attempts))
            return
        if loop.time() >= deadline:
            await _save(tools, attempt, lambda work: tools.attempts.never_sent(work, attempt))
            return
        try:
            async with asyncio.timeout_at(deadline):
                task_id = await provider.submit(attempt.id, shot)
        except SubmissionRefused as refusal:
            failed = partial(tools.attempts.failed, before="INTENT", asked=refusal.asked)
            failure = Failed(refusal.kind, refusal.reason, cost=FREE, again=False)
            await _save(tools, attempt, lambda work: failed(work, attempt, failure))
            return
        except SubmissionDeferred as error:
            delay = error
            told = {"kind": delay.kind, "reason": delay.reason, "detail": delay.detail}
            log.warning("submission.put_off", provider=provider.name, **told)
            await _save(tools, attempt, lambda work: tools.attempts.put_off(work, attempt, delay))
            return
        except Exception as error:  # noqa: BLE001 - whatever it was, the task may have been taken
            log.warning("submission.unanswered", attempt_id=attempt.id, provider=provider.name, error=repr(error))
            await _save(tools, attempt, lambda work: tools.attempts.unanswered(work, attempt))
            return
    await _save(tools, attempt, lambda work: tools.attempts.submitted(work, attempt, task_id), task_id)


def _without_first_frame(
    attempt: Attempt, error: Exception, attempts: Attempts
) -> Callable[[Work], Coroutine[Any, Any, None]]:
    """What becomes of an attempt whose first frame cannot be had."""
    if is_outage(error) or isinstance(error, TimeoutError):
        log.warning("first_frame.away", attempt_id=attempt.id, error=repr(error))
        return lambda work: attempts.never_sent(work, attempt, STORAGE_SECONDS * attempts.scale)
    failure = Failed("first_frame", f"Its first frame could not be read: {error}", cost=FREE, again=True)
    return lambda work: attempts.failed(work, attempt, failure, before="INTENT", asked=False)


async def _save(
    tools: Tools, attempt: Attempt, change: Callable[[Work], Awaitable[None]], task_id: str | None = None
) -> None:
    """Save what a provider has answered: nobody can ask it again, so a database that is away is waited for.

    Only the end of this process ends that; then the log is all that holds the answer.
    """
    told = {"attempt_id": attempt.id, "provider": attempt.provider, "task_id": task_id}
    try:
        for pause in itertools.chain(SAVE_SECONDS, itertools.repeat(SAVE_SECONDS[-1])):
            try:
                async with working(tools.database) as work:
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


@story.on(CheckDue, at_once=8)
async def check_attempt(event: CheckDue, delivery: Delivery, tools: Tools) -> None:
    """It is time to look at an attempt: go on waiting, collect its clip, or deal with its failure."""
    attempt, _, age = await _attempt(event.attempt_id, tools.database)
    if attempt.state != "SUBMITTED" or attempt.task_id is None:
        return
    provider = tools.attempts.provider_of(attempt)
    status = await _status(attempt.task_id, provider)
    if isinstance(status, Lost) and age < provider.submit_seconds + LOST_SECONDS * tools.attempts.scale:
        status = None
    match status:
        case None:
            # Nothing was seen, so no clock begins or runs out; for all we know it has not begun.
            await _look_later(event.model_copy(update={"queued": True}), attempt, age, delivery, tools)
        case Running():
            await _go_on_waiting(event, status, attempt, age, delivery, tools)
        case Succeeded():
            async with handling(tools.database, delivery) as work:
                if await tools.attempts.succeeded(work, attempt, status.cost):
                    await work.emit(ClipReady(video_id=event.video_id, attempt_id=event.attempt_id))
        case Failed():
            async with handling(tools.database, delivery) as work:
                await tools.attempts.failed(work, attempt, status, before="SUBMITTED")
        case Lost():
            reason = f"{provider.name} took the task and does not know it any more; it may be paid."
            async with handling(tools.database, delivery) as work:
                await tools.attempts.unknown(work, attempt, reason, before="SUBMITTED")


async def _status(task_id: str, provider: Provider) -> Running | Succeeded | Failed | Lost | None:
    """How a task is doing; None: the provider does not say."""
    try:
        return await provider.check(task_id)
    except ProviderSilent as silence:
        log.warning("provider.silent", task_id=task_id, reason=str(silence), cause=repr(silence.__cause__))
        return None


async def _look_later(event: CheckDue, attempt: Attempt, age: float, delivery: Delivery, tools: Tools) -> None:
    """There was no answer: ask again, as long as one can be hoped for."""
    provider = tools.attempts.provider_of(attempt)
    async with handling(tools.database, delivery) as work:
        if age > SILENCE_SECONDS:
            reason = f"{provider.name} has not answered for {SILENCE_SECONDS / 3600:.0f} hours; it may be paid."
            await tools.attempts.unknown(work, attempt, reason, before="SUBMITTED")
        elif not event.hint:
            await work.emit(event, after=max(SILENT_SECONDS * tools.attempts.scale, provider.check_seconds))


async def _go_on_waiting(
    event: CheckDue, status: Running, attempt: Attempt, age: float, delivery: Delivery, tools: Tools
) -> None:
    provider = tools.attempts.provider_of(attempt)
    async with tools.database.reading() as session:
        usual = await tools.attempts.usual_seconds(session, provider)
        times = select(Attempt.submitted_at, Attempt.running_since, now()).where(Attempt.id == attempt.id)
        submitted_at, running_since, clock = (await session.execute(times)).one()
    queued = (clock - submitted_at).total_seconds() if submitted_at else 0.0
    elapsed = (clock - running_since).total_seconds() if running_since else 0.0
    if elapsed > provider.attempt_seconds or (status.queued and queued > QUEUE_SECONDS):
        await _end_overdue(event, attempt, age, delivery, tools)
        return
    seconds = status.check_after or pace.next_look(elapsed, usual, provider.check_seconds)
    async with handling(tools.database, delivery) as work:
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
    await tools.hints.hint(progressed)


async def _end_overdue(event: CheckDue, attempt: Attempt, age: float, delivery: Delivery, tools: Tools) -> None:
    """An attempt takes too long: another one only where this one has surely ended."""
    provider, task_id = tools.attempts.provider_of(attempt), str(attempt.task_id)
    try:
        ended = await provider.cancel(task_id)
    except ProviderSilent as silence:
        log.warning("provider.silent", task_id=task_id, reason=str(silence), cause=repr(silence.__cause__))
        await _look_later(event, attempt, age, delivery, tools)
        return
    if ended is None and not isinstance(await _status(task_id, provider), Running):
        # It may have ended well meanwhile.
        await _look_later(event, attempt, age, delivery, tools)
        return
    async with handling(tools.database, delivery) as work:
        if ended is not None:
            reason = f"{provider.name} did not finish within {provider.attempt_seconds:.0f} s."
            failure = Failed("timed_out", reason, ended.cost, again=True)
            await tools.attempts.failed(work, attempt, failure, before="SUBMITTED")
        else:
            reason = f"{provider.name} did not finish in time and does not say that it has stopped; it may be paid."
            await tools.attempts.unknown(work, attempt, reason, before="SUBMITTED")


@story.on(CallbackReceived)
async def hear_callback(event: CallbackReceived, delivery: Delivery, tools: Tools) -> None:
    """A provider says that a task has changed: look at it once; a task we did not know of is known from now on."""
    attempt, _, _ = await _attempt(event.attempt_id, tools.database)
    async with handling(tools.database, delivery) as work:
        if attempt.state in ("INTENT", "UNKNOWN") and event.task_id is not None:
            await tools.attempts.submitted(work, attempt, event.task_id)
        elif attempt.state == "SUBMITTED":
            look = CheckDue(video_id=event.video_id, attempt_id=event.attempt_id, hint=True, queued=True)
            await work.emit(look)


@story.on(ClipReady, at_once=2)
async def collect_clip(event: ClipReady, delivery: Delivery, tools: Tools) -> None:
    """A provider has finished a clip: fetch it, check it, store it; ask for the next one if the scene is longer."""
    attempt, render, age = await _attempt(event.attempt_id, tools.database)
    if attempt.state != "SUCCEEDED" or attempt.task_id is None:
        return
    if not standings.needs(render, attempt):
        log.info("clip.not_needed", attempt_id=attempt.id, scene=render.scene_number, state=render.state)
        return
    provider = tools.attempts.provider_of(attempt)
    try:
        collected = await tools.clips.collect(provider, attempt, render)
    except ClipUnusable as unusable:
        log.warning("clip.unusable", reason=str(unusable), detail=unusable.detail, again=unusable.again)
        async with handling(tools.database, delivery) as work:
            await tools.attempts.spoiled(work, attempt, str(unusable), again=unusable.again)
        return
    except ProviderSilent as silence:
        if age > SILENCE_SECONDS:
            reason = (
                f"{provider.name} has delivered no clip for {SILENCE_SECONDS / 3600:.0f} hours after it was rendered."
            )
            raise StepFailed("clip_out_of_reach", reason, str(silence)) from silence
        log.warning("clip.not_fetched", reason=str(silence), cause=repr(silence.__cause__))
        async with handling(tools.database, delivery) as work:
            await work.emit(event, after=SILENT_SECONDS * tools.attempts.scale)
        return
    except ClipOutOfReach as place:
        raise StepFailed("clip_out_of_reach", str(place), place.detail) from place
    async with handling(tools.database, delivery) as work:
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
                await tools.clips.remove_parts(event.video_id)
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


@story.on(AnimaticOrdered, at_once=2)
async def draw_animatic(event: AnimaticOrdered, delivery: Delivery, tools: Tools) -> None:
    """The built-in renderer was asked for a clip: draw it."""
    await tools.animatics.draw(str(event.task_id), event.order)
    async with handling(tools.database, delivery):
        log.info("animatic.drawn", task_id=str(event.task_id), scene=event.order.scene.scene_number)


@story.on(SceneOverdue)
async def end_waiting(event: SceneOverdue, delivery: Delivery, tools: Tools) -> None:
    """A scene has waited long: where nobody takes anything all that time, it is given up; else its turn will come."""
    async with handling(tools.database, delivery) as work:
        key = (str(event.video_id), event.scene_number)
        render = await work.session.get_one(Render, key, with_for_update=True)
        if render.state in ("rendered", "failed", "cancelled"):
            return
        if render.state != "waiting" or await standings.has_failed(work.session, render.video_id):
            await work.emit(event, after=tools.scene_wait_seconds)
            return
        await tools.attempts.route(work, render)
        waited = await tools.attempts.seconds_in_vain(work.session, render)
        if waited < tools.scene_wait_seconds:
            # Whoever should have woken it may be gone.
            await work.emit(SlotOffered(video_id=event.video_id, provider=render.provider))
            await work.emit(event, after=max(tools.scene_wait_seconds - waited, 1.0))
            return
        state = (await breaker.unproven(work.session))[render.provider]
        reason = f"{render.provider} took nothing for {tools.scene_wait_seconds / 60:.0f} minutes: {state.reason}"
        await standings.give_up(work, render, state.kind or "outage", reason)


@story.on(UnknownOverdue)
async def release_unknown(event: UnknownOverdue, delivery: Delivery, tools: Tools) -> None:
    """No task goes on for so long: the slot of an attempt that is still unknown is free again; its money is not."""
    attempt, _, _ = await _attempt(event.attempt_id, tools.database)
    async with handling(tools.database, delivery) as work:
        if attempt.state == "UNKNOWN":
            await tools.attempts.release(work, attempt)


@story.on(PayAgainDue)
async def pay_again(event: PayAgainDue, delivery: Delivery, tools: Tools) -> None:
    """Nobody has settled an unknown attempt for a while: order its scene once more, where the policy still says so."""
    attempt, _, _ = await _attempt(event.attempt_id, tools.database)
    async with handling(tools.database, delivery) as work:
        if tools.attempts.unknown_policy.pay_again:
            await tools.attempts.pay_again(work, attempt)


@story.on(ChargeReviewed)
async def settle_unknown(event: ChargeReviewed, delivery: Delivery, tools: Tools) -> None:
    """A person has found out what became of an unknown attempt: use its clip, book its money, or free it."""
    attempt, _, _ = await _attempt(event.attempt_id, tools.database)
    wrong = await _wrong_with(event.task_id, attempt, tools) if event.paid and event.task_id is not None else None
    async with handling(tools.database, delivery) as work:
        if wrong is not None:
            await tools.attempts.refuse_task(work, attempt, wrong)
        elif event.paid and event.task_id is not None:
            await tools.attempts.submitted(work, attempt, event.task_id)
        else:
            cost = event.cost_usd if event.paid else FREE
            await tools.attempts.settle_unknown(work, attempt, cost, again=event.again)
            await work.emit(SlotOffered(video_id=event.video_id, provider=attempt.provider))
    log.info("charge.reviewed", attempt_id=attempt.id, paid=event.paid, by=event.by, wrong=wrong)


async def _wrong_with(task_id: str, attempt: Attempt, tools: Tools) -> str | None:
    """Why a task cannot be that of an attempt; None: it can be."""
    provider = tools.attempts.provider_of(attempt)
    taken = (Attempt.provider == attempt.provider, Attempt.task_id == task_id, Attempt.id != attempt.id)
    async with tools.database.reading() as session:
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


@story.on(VideoFailed)
async def hold_scenes(event: VideoFailed, delivery: Delivery, tools: Tools) -> None:
    """The video has failed: its waiting scenes do not start, unless somebody resumes it."""
    if event.stage == "request":
        return  # of a request that was refused; a video of that id is another one's
    async with handling(tools.database, delivery) as work:
        await standings.hear_failure(work, event)


@story.on(VideoResumed)
async def release_scenes(event: VideoResumed, delivery: Delivery, tools: Tools) -> None:
    """A failed video goes on: its waiting scenes may start again, unless one of its scenes is failed."""
    async with handling(tools.database, delivery) as work:
        await standings.hear_resume(work, event)


@story.on(VideoCancelled)
async def cancel_scenes(event: VideoCancelled, delivery: Delivery, tools: Tools) -> None:
    """Nobody wants the video any more: its waiting scenes never start; what runs is ended where that saves money."""
    async with handling(tools.database, delivery) as work:
        await work.session.merge(CancelledVideo(video_id=str(event.video_id)))
        waiting = (Render.video_id == str(event.video_id), Render.state == "waiting")
        await work.session.execute(update(Render).where(*waiting).values(state="cancelled"))
        running = (Attempt.video_id == str(event.video_id), Attempt.state == "SUBMITTED")
        for attempt_id in (await work.session.execute(select(Attempt.id).where(*running))).scalars():
            await work.emit(CancelDue(video_id=event.video_id, attempt_id=UUID(attempt_id)))


@story.on(VideoDeleted)
async def remove_clips(event: VideoDeleted, delivery: Delivery, tools: Tools) -> None:
    """The video was deleted: erase the text of its scenes, remove their clips. What was paid stays in the books."""
    await _remove_media(event.video_id, tools)
    async with handling(tools.database, delivery) as work:
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


@story.on(VideoExpired)
async def expire_clips(event: VideoExpired, delivery: Delivery, tools: Tools) -> None:
    """The film has been kept long enough: remove its clips. What was asked for, and what was paid, stays."""
    await _remove_media(event.video_id, tools)
    async with handling(tools.database, delivery) as work:
        scenes = update(Render).where(Render.video_id == str(event.video_id))
        await work.session.execute(scenes.values(parts=[], parts_stored_at=None, clip=None))
    log.info("clips.removed")


async def _remove_media(video_id: UUID, tools: Tools) -> None:
    drawn = select(Attempt.task_id).where(Attempt.video_id == str(video_id), Attempt.provider == "animatic")
    async with tools.database.reading() as session:
        tasks = [task for task in (await session.execute(drawn)).scalars() if task]
    await tools.clips.remove(video_id)
    await tools.animatics.remove(tasks)


@story.on(CancelDue)
async def cancel_attempt(event: CancelDue, delivery: Delivery, tools: Tools) -> None:
    """Nobody wants what this attempt renders: end it if that saves its money; else it goes on and is kept."""
    attempt, _, _ = await _attempt(event.attempt_id, tools.database)
    if attempt.state != "SUBMITTED" or attempt.task_id is None:
        return
    ended = await tools.attempts.provider_of(attempt).cancel_if_free(attempt.task_id)
    async with handling(tools.database, delivery) as work:
        if ended is not None:
            await tools.attempts.cancelled(work, attempt, ended.cost)


async def _attempt(attempt_id: UUID, database: Database) -> tuple[Attempt, Render, float]:
    """An attempt, its scene, and its age in seconds."""
    async with database.reading() as session:
        attempt = await session.get_one(Attempt, str(attempt_id))
        render = await session.get_one(Render, (attempt.video_id, attempt.scene_number))
        clock = (await session.execute(select(now()))).scalar_one()
        return attempt, render, (clock - attempt.intended_at).total_seconds()
