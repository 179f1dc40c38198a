"""Retention of the scene-render service's rows and objects."""

from sqlalchemy import select, update

from scene_render.clips.clip_ingest import ClipIngest
from scene_render.models import AnimaticTask, Attempt, Render
from scene_render.providers.animatic import AnimaticProvider
from shared.persistence.database import Database, now
from shared.process.retention import Policy, Rows

REASON_DAYS = 90
PART_DAYS = 14
"""As long as dead letters are kept: until then a resumed scene continues after its finished parts."""
ORIGINAL_DAYS = 1


def policies(clips: ClipIngest, animatic: AnimaticProvider) -> tuple[Policy, ...]:
    """Return the retention policies of this service."""

    async def remove_parts(database: Database, seconds: float, batch: int) -> int:
        is_old = (Render.parts_stored_at < now(-seconds), Render.state.not_in(("waiting", "running")))
        old = select(Render).where(*is_old).order_by(Render.parts_stored_at).limit(batch)
        async with database.reading() as session:
            renders = (await session.execute(old)).scalars().all()
        for render in renders:
            await clips.remove_parts_of_scene(render.video_id, render.scene_number)
            async with database.sessions.begin() as session:
                key = (render.video_id, render.scene_number)
                row = await session.get_one(Render, key, with_for_update=True)
                if row.state == render.state:
                    row.parts, row.parts_stored_at = [], None
                    of_scene = (Attempt.video_id == row.video_id, Attempt.scene_number == row.scene_number)
                    await session.execute(update(Attempt).where(*of_scene).values(part=None))
        return len(renders)

    async def remove_originals(database: Database, seconds: float, batch: int) -> int:
        collected = select(AnimaticTask.id).join(Attempt, Attempt.id == AnimaticTask.id)
        old = collected.where(Attempt.ended_at < now(-seconds)).limit(batch)
        async with database.reading() as session:
            tasks = (await session.execute(old)).scalars().all()
        await animatic.forget(tasks)
        return len(tasks)

    settled = Attempt.state != "UNKNOWN"
    return (
        Policy("attempts", REASON_DAYS, Rows(Attempt.ended_at, [settled], {Attempt.failure_reason: None})),
        Policy("scene parts", PART_DAYS, remove_parts, batch=100),
        Policy("animatic originals", ORIGINAL_DAYS, remove_originals, batch=100),
    )
