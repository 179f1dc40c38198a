"""Collects the clip or picture of a successful attempt, and finishes its scene or queues its next step."""

import uuid

import structlog
from sqlalchemy import select

from scene_render.attempts.polling import SILENCE_SECONDS, SILENT_SECONDS, load
from scene_render.clips import clip_ingest
from scene_render.dependencies import Dependencies
from scene_render.internal_messages import ClipReady, OwnClipDue
from scene_render.models import Attempt, CancelledVideo, Render, Spend
from scene_render.providers.base import ClipOutOfReach, ClipUnusable, ProviderSilent
from scene_render.scenes.cast import StoredPicture, name_of
from scene_render.scenes.scene_state import SceneTransitions, needs
from scene_render.scenes.video_standing import give_up, release_later
from shared.contracts.events import PictureRendered, SceneRendered
from shared.contracts.media import FRAME_RATE, Clip
from shared.contracts.provenance import UPLOADED
from shared.messaging.errors import StepFailed
from shared.messaging.event_router import Delivery
from shared.money.prices import FREE
from shared.persistence.database import now
from shared.persistence.unit_of_work import UnitOfWork, idempotent_transaction

log = structlog.get_logger()


async def collect(event: ClipReady, delivery: Delivery, deps: Dependencies) -> None:
    """Fetch, check and store the clip or picture. If the scene needs more, queue its next step.

    Raises:
        StepFailed: it cannot be fetched from its host.
    """
    attempt, render, age = await load(event.attempt_id, deps)
    if attempt.state != "SUCCEEDED" or attempt.task_id is None:
        return
    if not needs(render, attempt):
        log.info("clip.not_needed", attempt_id=attempt.id, scene=render.scene_number, state=render.state)
        return
    provider = deps.attempts.provider_of(attempt)
    collected: Clip | clip_ingest.Part | StoredPicture
    try:
        if attempt.product == "clip":
            parameter_sets = await stored_parameter_sets(render, deps)
            collected = await deps.clips.collect(provider, attempt, render, parameter_sets)
        else:
            collected = await deps.pictures.collect(provider, attempt)
    except ClipUnusable as unusable:
        log.warning("clip.unusable", reason=str(unusable), detail=unusable.detail, again=unusable.again)
        async with idempotent_transaction(deps.database, delivery) as work:
            await deps.attempts.rejected(work, attempt, str(unusable), again=unusable.again)
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
        await _save(work, attempt, collected, deps)


async def stored_parameter_sets(render: Render, deps: Dependencies) -> dict[int, str]:
    """Return the digests of the parameter sets of the video's other clips, by number."""
    others = select(Render.clip).where(
        Render.video_id == render.video_id, Render.scene_number != render.scene_number, Render.state == "rendered"
    )
    async with deps.database.reading() as session:
        clips = [Clip.model_validate(clip) for clip in await session.scalars(others) if clip]
    points = [clip.cut_points for clip in clips if clip.cut_points]
    return {one.parameter_set_id: one.parameter_sets for one in points}


async def _save(
    work: UnitOfWork, attempt: Attempt, collected: Clip | clip_ingest.Part | StoredPicture, deps: Dependencies
) -> None:
    key = (attempt.video_id, attempt.scene_number)
    render = await work.session.get_one(Render, key, with_for_update=True)
    if not needs(render, attempt):
        log.info("clip.not_needed", attempt_id=attempt.id, scene=render.scene_number, state=render.state)
        return
    if isinstance(collected, StoredPicture):
        await _save_picture(work, attempt, render, collected)
        return
    if isinstance(collected, clip_ingest.Part):
        render.parts = [*render.parts, collected.model_dump(mode="json")]
        render.parts_stored_at = now()
        if await work.session.get(CancelledVideo, render.video_id) is None:
            SceneTransitions(render).wait()
        else:
            SceneTransitions(render).cancel()
            await deps.clips.remove_parts(uuid.UUID(render.video_id))
        return
    SceneTransitions(render).finish(collected.model_dump(mode="json"))
    rendered = SceneRendered(
        video_id=uuid.UUID(render.video_id),
        scene_number=render.scene_number,
        clip=collected,
        duration=collected.frames / FRAME_RATE,
        cost_usd=render.cost_usd,
        provider=attempt.provider,
        model=attempt.model,
    )
    await work.emit(rendered)
    log.info("scene.rendered", scene=render.scene_number, provider=attempt.provider, bytes=collected.media.size)


async def _save_picture(work: UnitOfWork, attempt: Attempt, render: Render, picture: StoredPicture) -> None:
    """Save a reference picture and release the scenes that wait for it, or a first frame and queue its scene."""
    stored = picture.model_dump(mode="json")
    if attempt.product == "reference":
        SceneTransitions(render).finish_picture(stored)
        await release_later(work, render.video_id)
    else:
        render.picture = stored
        if await work.session.get(CancelledVideo, render.video_id) is not None:
            SceneTransitions(render).cancel()
        else:
            SceneTransitions(render).wait()
    spend = await work.session.get(Spend, attempt.id)
    rendered = PictureRendered(
        video_id=uuid.UUID(render.video_id),
        purpose="reference" if render.is_reference else "first_frame",
        cast_name=name_of(render) if render.is_reference else None,
        scene_number=attempt.shown_scene,
        picture=picture.media,
        cost_usd=spend.booked_usd if spend else FREE,
        provider=attempt.provider,
        model=attempt.model,
    )
    await work.emit(rendered)
    log.info("picture.rendered", scene=render.scene_number, product=attempt.product, provider=attempt.provider)


async def take_own_clip(event: OwnClipDue, delivery: Delivery, deps: Dependencies) -> None:
    """Check and store the clip that a scene brings, in place of rendering it."""
    key = (str(event.video_id), event.scene_number)
    async with deps.database.reading() as session:
        render = await session.get_one(Render, key)
    if render.state != "running":
        return
    failure: ClipUnusable | None = None
    clip: Clip | None = None
    try:
        clip = await deps.clips.take_own(render, await stored_parameter_sets(render, deps))
    except ClipUnusable as unusable:
        log.warning("own_clip.unusable", reason=str(unusable), detail=unusable.detail)
        failure = unusable
    async with idempotent_transaction(deps.database, delivery) as work:
        render = await work.session.get_one(Render, key, with_for_update=True)
        if render.state != "running":
            return
        if await work.session.get(CancelledVideo, render.video_id) is not None:
            SceneTransitions(render).cancel()
        elif clip is None:
            await give_up(work, render, "clip_unusable", f"The clip that the request brought cannot be used: {failure}")
        else:
            SceneTransitions(render).finish(clip.model_dump(mode="json"))
            rendered = SceneRendered(
                video_id=event.video_id,
                scene_number=render.scene_number,
                clip=clip,
                duration=clip.frames / FRAME_RATE,
                cost_usd=FREE,
                provider=UPLOADED,
            )
            await work.emit(rendered)
            await release_later(work, render.video_id)
