"""The review of first frames: no clip of a video is ordered before a person has approved them.

Each function is a part of its caller's transaction.
"""

import uuid
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from scene_render.models import FIRST_REFERENCE, Render
from scene_render.scenes.cast import brought, with_references
from scene_render.scenes.order import request_of
from scene_render.scenes.scene_state import SceneTransitions
from scene_render.scenes.video_standing import release_later
from shared.contracts.events import FrameRejected, FramesApproved, FramesRendered
from shared.persistence.unit_of_work import UnitOfWork


def must_wait(render: Render) -> bool:
    """Return whether the clip of a scene must not be ordered yet."""
    return not render.is_reference and not render.approved and request_of(render).review


async def await_review(work: UnitOfWork, render: Render) -> None:
    """Let a scene wait for the review. `frames.rendered` follows once all scenes of its video wait."""
    SceneTransitions(render).review()
    given = request_of(render).first_frame
    if given is not None and render.picture is None:
        await work.emit(brought(render, given))
    await release_later(work, render.video_id)


async def publish_if_complete(work: UnitOfWork, scenes: Sequence[Render]) -> None:
    """Publish `frames.rendered` if every scene of a video waits for the review. The caller has locked all of them.

    If none of them has a first frame there is nothing to look at: their clips are ordered.
    """
    scenes = [scene for scene in scenes if not scene.is_reference]
    waiting = [scene for scene in scenes if scene.state == "review"]
    done = sum(scene.state in ("review", "rendered") for scene in scenes)
    if not waiting or done < request_of(waiting[0]).scene_count:
        return
    if any(scene.picture is not None or request_of(scene).first_frame is not None for scene in waiting):
        await work.emit(FramesRendered(video_id=uuid.UUID(waiting[0].video_id)))
        return
    for scene in waiting:
        scene.approved = True
        SceneTransitions(scene).wait()


async def approve(work: UnitOfWork, event: FramesApproved) -> None:
    """Queue the scenes of a video for their clips."""
    for scene in await _locked_scenes(work.session, event.video_id):
        scene.approved = True
        if scene.state == "review":
            SceneTransitions(scene).wait()


async def reject(work: UnitOfWork, event: FrameRejected) -> None:
    """Use another picture as the first frame of a scene under review, or order one from another description."""
    for scene in await _locked_scenes(work.session, event.video_id):
        if scene.scene_number != event.scene_number or scene.state != "review":
            continue
        request = request_of(scene)
        if event.description:
            # Nobody gets a reference picture for a scene that brought its own first frame.
            cast = await with_references(work.session, scene)
            request = request.model_copy(update={"shot_prompt": event.description, "cast": cast})
        request = request.model_copy(update={"first_frame": event.image})
        scene.request, scene.picture = request.model_dump(mode="json"), None
        if event.image is None:
            scene.product = "first_frame"
            SceneTransitions(scene).wait()
        else:
            await work.emit(brought(scene, event.image))
            await release_later(work, scene.video_id)


async def _locked_scenes(session: AsyncSession, video_id: uuid.UUID) -> Sequence[Render]:
    of_video = (Render.video_id == str(video_id), Render.scene_number < FIRST_REFERENCE)
    query = select(Render).where(*of_video).order_by(Render.scene_number).with_for_update()
    return (await session.execute(query)).scalars().all()
