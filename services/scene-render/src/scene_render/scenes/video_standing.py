"""Tracks whether a video has failed: with its first failed scene, until none of its scenes is failed.

Each function is a part of its caller's transaction. To avoid deadlocks, a video's row is locked after those of its
scenes, and its holder locks no scene. So a resumed video only records that its scenes are to be released; the scheduler
releases them in another transaction.
"""

from collections.abc import Sequence
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from scene_render.models import FIRST_REFERENCE, CancelledVideo, Render, VideoStanding
from scene_render.scenes.scene_state import SceneTransitions
from shared.contracts.epochs import Standing
from shared.contracts.events import SceneFailed, VideoFailed, VideoResumed
from shared.contracts.story import Belonging
from shared.persistence.database import now
from shared.persistence.unit_of_work import UnitOfWork

log = structlog.get_logger()


async def give_up(work: UnitOfWork, render: Render, kind: str, reason: str) -> None:
    """Fail a scene and its video, so that nothing more is ordered for it.

    Without a reference picture the video continues: the look is described instead.
    """
    SceneTransitions(render).fail(kind, reason)
    await work.session.flush()
    if render.is_reference:
        log.warning("reference.failed", video_id=render.video_id, member=render.scene_number, kind=kind, reason=reason)
        await release_later(work, render.video_id)
        return
    row = await _locked(work.session, render.video_id)
    row.failed = True
    await work.emit(_failure_of(render, row.epoch))


async def release_later(work: UnitOfWork, video_id: str) -> None:
    """Let the scheduler release the scenes that wait for reference pictures: one of these has ended.

    The scheduler does it in another transaction, because scenes are locked before reference pictures.
    """
    await work.session.flush()
    (await _locked(work.session, video_id)).release_scenes_at = now()


async def resume_when_whole(work: UnitOfWork, video_id: str) -> None:
    """Resume a video and release its paused scenes, if none of its scenes is failed any more."""
    await work.session.flush()
    row = await _locked(work.session, video_id)
    if await _failed_scenes(work.session, video_id) or await work.session.get(CancelledVideo, video_id) is not None:
        return
    row.epoch, row.failed, row.release_scenes_at = row.epoch + 1, False, now()
    await work.emit(VideoResumed(video_id=UUID(video_id), epoch=row.epoch))


async def apply_failure(work: UnitOfWork, event: VideoFailed) -> None:
    """Record a failure in another service, unless the video was resumed since. Waiting scenes do not start."""
    await _apply(work.session, event)


async def apply_resume(work: UnitOfWork, event: VideoResumed) -> None:
    """Record a resumption and release the paused scenes, unless a scene is failed.

    In that case the failure is published again, with the new epoch.
    """
    if not await _apply(work.session, event):
        return
    video_id = str(event.video_id)
    row = await _locked(work.session, video_id)
    failed = await _failed_scenes(work.session, video_id)
    for render in failed:
        await work.emit(_failure_of(render, event.epoch))
    row.failed = bool(failed)
    row.release_scenes_at = None if failed else now()


async def pause_if_failed(session: AsyncSession, render: Render) -> bool:
    """Pause a waiting scene with a locked row if its video has failed. Returns whether it has."""
    if not await has_failed(session, render.video_id):
        return False
    failed = select(VideoStanding.failed).where(VideoStanding.video_id == render.video_id)
    # Read again with a lock: a concurrent resumption is either visible here, or releases this scene.
    if not await session.scalar(failed.with_for_update()):
        return False
    SceneTransitions(render).pause()
    return True


async def release_scenes(work: UnitOfWork, video_id: str, give_up_after: float) -> Sequence[Render]:
    """Queue the paused scenes of a resumed video again, and those that wait for reference pictures.

    Returns all its rows, which stay locked.
    """
    seen = await work.session.scalar(select(VideoStanding.release_scenes_at).where(VideoStanding.video_id == video_id))
    of_video = select(Render).where(Render.video_id == video_id).order_by(Render.scene_number).with_for_update()
    has_failed_now = await has_failed(work.session, video_id)
    renders = (await work.session.execute(of_video)).scalars().all()
    for render in renders:
        if render.state == "planned":
            SceneTransitions(render).wait()
        elif render.state == "waiting" and render.available_at is None and not has_failed_now:
            SceneTransitions(render).unpause(give_up_after)
    await work.session.flush()
    row = await _locked(work.session, video_id)
    if row.release_scenes_at == seen:  # else it was resumed again, and more scenes may be paused
        row.release_scenes_at = None
    return renders


async def has_failed(session: AsyncSession, video_id: str) -> bool:
    """Return whether a video has failed, so that none of its scenes starts."""
    failed = select(VideoStanding.failed).where(VideoStanding.video_id == video_id)
    return bool(await session.scalar(failed))


async def epoch_of(session: AsyncSession, video_id: UUID) -> int:
    """Return the latest known epoch of a video."""
    return await session.scalar(select(VideoStanding.epoch).where(VideoStanding.video_id == str(video_id))) or 0


async def owner_of(session: AsyncSession, video_id: UUID) -> Belonging:
    """Return the owner of a video, from its scene requests."""
    request = select(Render.request).where(Render.video_id == str(video_id)).limit(1)
    return Belonging.read(await session.scalar(request))


async def _apply(session: AsyncSession, event: VideoFailed | VideoResumed) -> bool:
    row = await _locked(session, str(event.video_id))
    before = Standing(row.epoch, row.failed)
    row.epoch, row.failed = after = before.after(event)
    return after != before


async def _locked(session: AsyncSession, video_id: str) -> VideoStanding:
    """Lock the row of a video, and create it if it does not exist."""
    row = {"video_id": video_id, "epoch": 0, "failed": False}
    if session.get_bind().dialect.name == "sqlite":
        await session.execute(sqlite.insert(VideoStanding).values(row).on_conflict_do_nothing())
    else:
        # A plain insert of an existing key keeps a shared lock, so two concurrent writers would deadlock.
        await session.execute(mysql.insert(VideoStanding).values(row).on_duplicate_key_update(video_id=video_id))
    return await session.get_one(VideoStanding, video_id, with_for_update=True, populate_existing=True)


async def _failed_scenes(session: AsyncSession, video_id: str) -> list[Render]:
    scenes = (Render.video_id == video_id, Render.scene_number < FIRST_REFERENCE)
    failed = select(Render).where(*scenes, Render.state == "failed").order_by(Render.scene_number)
    return list((await session.execute(failed)).scalars())


def _failure_of(render: Render, epoch: int) -> SceneFailed:
    return SceneFailed(
        video_id=UUID(render.video_id),
        scene_number=render.scene_number,
        kind=str(render.failure_kind),
        reason=str(render.failure_reason),
        cost_usd=render.cost_usd,
        epoch=epoch,
        **dict(Belonging.read(render.request)),
    )
