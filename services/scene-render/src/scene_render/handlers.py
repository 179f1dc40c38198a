"""The message handlers of the scene-render service. `scheduling.scheduler` starts waiting scenes."""

from uuid import UUID

import structlog
from sqlalchemy import select, update

from scene_render.attempts import collection, review
from scene_render.attempts.polling import check_now, load
from scene_render.dependencies import Dependencies
from scene_render.internal_messages import AnimaticOrdered, CallbackReceived, CancelDue, ClipReady, OwnClipDue
from scene_render.models import FIRST_REFERENCE, Attempt, CancelledVideo, Render
from scene_render.scenes import frame_review, video_standing
from scene_render.scenes.cast import brought
from scene_render.scenes.order import without_text
from scene_render.scenes.scene_state import SceneTransitions, planned, planned_reference
from shared.contracts.events import (
    CastRequested,
    ChargeReviewed,
    FrameRejected,
    FramesApproved,
    SceneRequested,
    VideoCancelled,
    VideoDeleted,
    VideoExpired,
    VideoFailed,
    VideoResumed,
)
from shared.messaging.event_router import Delivery, EventRouter
from shared.persistence.unit_of_work import UnitOfWork, idempotent_transaction

log = structlog.get_logger()

router: EventRouter[Dependencies] = EventRouter("scene-render")


@router.on(CastRequested)
async def plan_cast(event: CastRequested, delivery: Delivery, deps: Dependencies) -> None:
    """Queue the reference pictures of a video's cast, and keep those that the request brought."""
    async with idempotent_transaction(deps.database, delivery) as work:
        video_id = str(event.video_id)
        cancelled = await work.session.get(CancelledVideo, video_id) is not None
        for place, member in enumerate(event.cast):
            known = await work.session.get(Render, (video_id, FIRST_REFERENCE + place))
            if not member.is_pictured or known is not None:
                continue
            render = planned_reference(event, place)
            if render.state == "waiting":
                await deps.attempts.selection.route(work, render)
                if cancelled:
                    SceneTransitions(render).cancel()
            work.session.add(render)
            if member.image is not None:
                await work.emit(brought(render, member.image))
        await video_standing.release_later(work, video_id)


@router.on(SceneRequested)
async def plan_scene(event: SceneRequested, delivery: Delivery, deps: Dependencies) -> None:
    """Queue a requested scene. One that brings its own clip is not rendered."""
    async with idempotent_transaction(deps.database, delivery) as work:
        if await work.session.get(Render, (str(event.video_id), event.scene.scene_number)) is not None:
            return
        cancelled = await work.session.get(CancelledVideo, str(event.video_id)) is not None
        render = planned(event, cancelled=cancelled)
        await deps.attempts.selection.route(work, render)
        work.session.add(render)
        if event.own_clip is not None and not cancelled:
            await work.session.flush()
            SceneTransitions(render).start("clip")
            await work.emit(OwnClipDue(video_id=event.video_id, scene_number=event.scene.scene_number))


@router.on(OwnClipDue, max_concurrency=2)
async def take_own_clip(event: OwnClipDue, delivery: Delivery, deps: Dependencies) -> None:
    """Check and store the clip that a scene brings."""
    await collection.take_own_clip(event, delivery, deps)


@router.on(FrameRejected)
async def replace_frame(event: FrameRejected, delivery: Delivery, deps: Dependencies) -> None:
    """Make another first frame of a scene under review, or use the picture that a person brought."""
    async with idempotent_transaction(deps.database, delivery) as work:
        await frame_review.reject(work, event)


@router.on(FramesApproved)
async def approve_frames(event: FramesApproved, delivery: Delivery, deps: Dependencies) -> None:
    """Queue the clips of a video whose first frames a person approved."""
    async with idempotent_transaction(deps.database, delivery) as work:
        await frame_review.approve(work, event)


@router.on(ClipReady, max_concurrency=2)
async def collect_clip(event: ClipReady, delivery: Delivery, deps: Dependencies) -> None:
    """Fetch, check and store a finished clip or picture. If the scene needs more, queue its next step."""
    await collection.collect(event, delivery, deps)


@router.on(AnimaticOrdered, max_concurrency=2)
async def draw_animatic(event: AnimaticOrdered, delivery: Delivery, deps: Dependencies) -> None:
    """Draw an animatic with the built-in renderer."""
    await deps.animatics.draw(str(event.task_id), event.order)
    async with idempotent_transaction(deps.database, delivery) as work:
        await check_now(work, str(event.task_id))  # a task has its attempt's id
        log.info("animatic.drawn", task_id=str(event.task_id), scene=event.order.scene.scene_number)


@router.on(CallbackReceived)
async def handle_callback(event: CallbackReceived, delivery: Delivery, deps: Dependencies) -> None:
    """Check a task now, because its provider reports a change. Save the task id if it is new."""
    attempt, _, _ = await load(event.attempt_id, deps)
    async with idempotent_transaction(deps.database, delivery) as work:
        if attempt.state in ("INTENT", "UNKNOWN") and event.task_id is not None:
            await deps.attempts.submitted(work, attempt, event.task_id)
        else:
            await check_now(work, attempt.id, maybe_queued=True)  # the start of rendering is unknown


@router.on(ChargeReviewed)
async def settle_unknown(event: ChargeReviewed, delivery: Delivery, deps: Dependencies) -> None:
    """Settle an unknown attempt as a person decided: use its clip, book its cost, or release its reservation."""
    await review.settle(event, delivery, deps)


@router.on(VideoFailed)
async def pause_scenes(event: VideoFailed, delivery: Delivery, deps: Dependencies) -> None:
    """Pause the waiting scenes of a failed video until it is resumed."""
    if event.stage == "request":
        return  # a refused request; the video of this id belongs to another one
    async with idempotent_transaction(deps.database, delivery) as work:
        await video_standing.apply_failure(work, event)


@router.on(VideoResumed)
async def release_scenes(event: VideoResumed, delivery: Delivery, deps: Dependencies) -> None:
    """Release the paused scenes of a resumed video, unless one of its scenes has failed."""
    async with idempotent_transaction(deps.database, delivery) as work:
        await video_standing.apply_resume(work, event)


@router.on(VideoCancelled)
async def cancel_scenes(event: VideoCancelled, delivery: Delivery, deps: Dependencies) -> None:
    """Cancel the waiting scenes of a cancelled video, and its running attempts where that saves money."""
    async with idempotent_transaction(deps.database, delivery) as work:
        await work.session.merge(CancelledVideo(video_id=str(event.video_id)))
        await _cancel_waiting(work, event.video_id)
        running = (Attempt.video_id == str(event.video_id), Attempt.state == "SUBMITTED")
        for attempt_id in (await work.session.execute(select(Attempt.id).where(*running))).scalars():
            await work.emit(CancelDue(video_id=event.video_id, attempt_id=UUID(attempt_id)))


@router.on(CancelDue)
async def cancel_attempt(event: CancelDue, delivery: Delivery, deps: Dependencies) -> None:
    """Cancel an attempt at its provider if that is free; otherwise let it finish and keep the clip."""
    attempt, _, _ = await load(event.attempt_id, deps)
    if attempt.state != "SUBMITTED" or attempt.task_id is None:
        return
    ended = await deps.attempts.provider_of(attempt).cancel_if_free(attempt.task_id)
    async with idempotent_transaction(deps.database, delivery) as work:
        if ended is not None:
            await deps.attempts.cancelled(work, attempt, ended.cost)


@router.on(VideoDeleted)
async def remove_clips(event: VideoDeleted, delivery: Delivery, deps: Dependencies) -> None:
    """Erase the text of a deleted video's scenes and remove their clips. Costs stay."""
    await _remove_media(event.video_id, deps)
    async with idempotent_transaction(deps.database, delivery) as work:
        await work.session.merge(CancelledVideo(video_id=str(event.video_id)))
        await _cancel_waiting(work, event.video_id)
        of_video = select(Render).where(Render.video_id == str(event.video_id)).with_for_update()
        for render in (await work.session.execute(of_video)).scalars():
            render.request = without_text(render.request)
            render.picture = None
            render.failure_reason = None if render.failure_reason is None else ""
        attempts = update(Attempt).where(Attempt.video_id == str(event.video_id))
        await work.session.execute(attempts.values(failure_reason=None))
    log.info("clips.removed")


@router.on(VideoExpired)
async def expire_clips(event: VideoExpired, delivery: Delivery, deps: Dependencies) -> None:
    """Remove the clips of an expired film. Requests and costs stay."""
    await _remove_media(event.video_id, deps)
    async with idempotent_transaction(deps.database, delivery) as work:
        scenes = update(Render).where(Render.video_id == str(event.video_id))
        await work.session.execute(scenes.values(parts=[], parts_stored_at=None, clip=None, picture=None))
    log.info("clips.removed")


async def _cancel_waiting(work: UnitOfWork, video_id: UUID) -> None:
    idle = Render.state.in_(("planned", "waiting", "review"))
    waiting = select(Render).where(Render.video_id == str(video_id), idle)
    for render in (await work.session.execute(waiting.with_for_update())).scalars():
        SceneTransitions(render).cancel()


async def _remove_media(video_id: UUID, deps: Dependencies) -> None:
    drawn = select(Attempt.task_id).where(Attempt.video_id == str(video_id), Attempt.provider == "animatic")
    async with deps.database.reading() as session:
        tasks = [task for task in (await session.execute(drawn)).scalars() if task]
    await deps.clips.remove(video_id)
    await deps.animatics.remove(tasks)
