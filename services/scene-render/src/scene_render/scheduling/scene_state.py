"""Whether a scene and its video go on: a video fails with its first scene, and resumes when no scene is failed.

Each function is a part of its caller's transaction. The row of a video is locked after those of its scenes, and whoever
holds it waits for no scene.
"""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from scene_render.internal_messages import SlotOffered
from scene_render.models import Attempt, CancelledVideo, Render, VideoStanding
from shared.contracts.epochs import Standing
from shared.contracts.events import SceneFailed, VideoFailed, VideoResumed
from shared.contracts.story import Belonging
from shared.persistence.unit_of_work import UnitOfWork


def needs(render: Render, attempt: Attempt) -> bool:
    """Return whether the scene runs and the attempt was ordered for the part that the scene needs next."""
    return render.state == "running" and attempt.part == len(render.parts)


async def has_stopped(session: AsyncSession, render: Render) -> bool:
    """Return whether the scene runs, but no attempt is left that could deliver the part that it needs next."""
    if render.state != "running":
        return False
    alive = select(Attempt.id).where(
        Attempt.video_id == render.video_id,
        Attempt.scene_number == render.scene_number,
        Attempt.part == len(render.parts),
        Attempt.state.in_(("INTENT", "SUBMITTED", "SUCCEEDED")),
    )
    return (await session.execute(alive.limit(1))).first() is None


async def give_up(work: UnitOfWork, render: Render, kind: str, reason: str) -> None:
    """Say that a scene will not be rendered, which fails its video: nothing more is paid for it."""
    render.state, render.failure_kind, render.failure_reason = "failed", kind, reason
    await work.session.flush()
    row = await _locked(work.session, render.video_id)
    row.failed = True
    await work.emit(_failure_of(render, row.epoch))


async def resume_when_whole(work: UnitOfWork, video_id: str) -> None:
    """Resume a video if none of its scenes is failed any more; its scenes wait for their turn again."""
    await work.session.flush()
    row = await _locked(work.session, video_id)
    if await _failed_scenes(work.session, video_id) or await work.session.get(CancelledVideo, video_id) is not None:
        return
    row.epoch, row.failed = row.epoch + 1, False
    await work.emit(VideoResumed(video_id=UUID(video_id), epoch=row.epoch))
    await _offer_slots(work, video_id)


async def hear_failure(work: UnitOfWork, event: VideoFailed) -> None:
    """The video has failed elsewhere: its waiting scenes do not start, unless it was resumed since."""
    await _hear(work.session, event)


async def hear_resume(work: UnitOfWork, event: VideoResumed) -> None:
    """Somebody has resumed the video: its scenes wait for their turn again, unless one of them is failed.

    Then the video cannot go on, which is told in its new epoch too.
    """
    if not await _hear(work.session, event):
        return
    video_id = str(event.video_id)
    for render in await _failed_scenes(work.session, video_id):
        (await _locked(work.session, video_id)).failed = True
        await work.emit(_failure_of(render, event.epoch))
    await _offer_slots(work, video_id)


async def has_failed(session: AsyncSession, video_id: str) -> bool:
    """Whether nothing more of a video is started."""
    failed = select(VideoStanding.failed).where(VideoStanding.video_id == video_id)
    return bool(await session.scalar(failed))


async def epoch_of(session: AsyncSession, video_id: UUID) -> int:
    """The latest epoch of a video that was heard of."""
    return await session.scalar(select(VideoStanding.epoch).where(VideoStanding.video_id == str(video_id))) or 0


async def whose(session: AsyncSession, video_id: UUID) -> Belonging:
    """Whom a video belongs to, as the requests for its scenes said."""
    request = select(Render.request).where(Render.video_id == str(video_id)).limit(1)
    return Belonging.read(await session.scalar(request))


async def _hear(session: AsyncSession, event: VideoFailed | VideoResumed) -> bool:
    row = await _locked(session, str(event.video_id))
    before = Standing(row.epoch, row.failed)
    row.epoch, row.failed = after = before.after(event)
    return after != before


async def _locked(session: AsyncSession, video_id: str) -> VideoStanding:
    """The row of a video, which is made where there is none."""
    row = {"video_id": video_id, "epoch": 0, "failed": False}
    if session.get_bind().dialect.name == "sqlite":
        await session.execute(sqlite.insert(VideoStanding).values(row).on_conflict_do_nothing())
    else:
        # A plain insert that comes too late keeps a shared lock; two who then want to write would block each other.
        await session.execute(mysql.insert(VideoStanding).values(row).on_duplicate_key_update(video_id=video_id))
    return await session.get_one(VideoStanding, video_id, with_for_update=True, populate_existing=True)


async def _failed_scenes(session: AsyncSession, video_id: str) -> list[Render]:
    failed = select(Render).where(Render.video_id == video_id, Render.state == "failed").order_by(Render.scene_number)
    return list((await session.execute(failed)).scalars())


async def _offer_slots(work: UnitOfWork, video_id: str) -> None:
    waiting = select(Render.provider).where(Render.video_id == video_id, Render.state == "waiting").distinct()
    for provider in (await work.session.execute(waiting)).scalars():
        await work.emit(SlotOffered(video_id=UUID(video_id), provider=provider))


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
