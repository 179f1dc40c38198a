"""The event handlers of the composer: they collect the clips of a video and join them into its film.

A film consists of frames that are copied from its clips, and of parts: transitions and other frames that are encoded,
the sound, the thumbnail. Each part is made as soon as its clips are there, so that little is left after the last clip.
"""

import os
from dataclasses import dataclass

from sqlalchemy import delete

from composer.internal_messages import ClipsCollected, PartDue, PreviewsDue, StreamPieceDue
from composer.models import FilmClip, FilmPart
from composer.workflow.composition import Composition
from composer.workflow.film_state import apply, locked_film, order_parts, remember_parameter_sets
from composer.workflow.previews import Previews
from composer.workflow.streams import Streams
from shared.contracts.events import (
    SceneFailed,
    SceneRendered,
    StoryboardCreated,
    VideoCancelled,
    VideoDeleted,
    VideoExpired,
    VideoFailed,
    VideoResumed,
)
from shared.messaging.event_router import Delivery, EventRouter
from shared.persistence.database import Database
from shared.persistence.unit_of_work import idempotent_transaction

PARTS_AT_ONCE = os.cpu_count() or 1
"""Encoding more at once than there are cores would only take more memory."""


@dataclass(frozen=True)
class Dependencies:
    """The dependencies of the handlers."""

    database: Database
    composition: Composition
    streams: Streams
    previews: Previews


router: EventRouter[Dependencies] = EventRouter("composer")


@router.on(StoryboardCreated)
async def expect_scenes(event: StoryboardCreated, delivery: Delivery, deps: Dependencies) -> None:
    """Save the storyboard, which lists the clips of the film."""
    async with idempotent_transaction(deps.database, delivery) as work:
        film = await locked_film(work, event.video_id)
        if film.state == "cancelled":
            return
        if film.storyboard is None or film.storyboard.get("revision", 0) <= event.revision:
            film.storyboard = event.model_dump(mode="json")
        await order_parts(work, film, deps.composition.holds)


@router.on(SceneRendered)
async def collect_scene(event: SceneRendered, delivery: Delivery, deps: Dependencies) -> None:
    """Save a clip, and order the parts of the film that can be made with it."""
    async with idempotent_transaction(deps.database, delivery) as work:
        film = await locked_film(work, event.video_id)
        clip = FilmClip(
            video_id=film.video_id,
            scene_number=event.scene_number,
            clip=event.clip.model_dump(mode="json"),
            provider=event.provider,
            model=event.model,
        )
        await work.session.merge(clip)
        remember_parameter_sets(film, event.clip)
        await order_parts(work, film, deps.composition.holds)


@router.on(PartDue, max_concurrency=PARTS_AT_ONCE)
async def make_part(event: PartDue, delivery: Delivery, deps: Dependencies) -> None:
    """Make a part of a film; the last one starts the composition."""
    await deps.composition.make_part(event.video_id, event.part, delivery)


@router.on(ClipsCollected, max_concurrency=2)
async def compose_film(event: ClipsCollected, delivery: Delivery, deps: Dependencies) -> None:
    """Join clips and parts into the film, and store it."""
    await deps.composition.compose(event.video_id, delivery)


@router.on(StreamPieceDue, max_concurrency=2)
async def extend_stream(event: StreamPieceDue, delivery: Delivery, deps: Dependencies) -> None:
    """Make the next piece of the stream by which a film is watched before it is complete."""
    await deps.streams.make_piece(event.video_id, event.part, delivery)


@router.on(PreviewsDue, max_concurrency=1)
async def make_previews(event: PreviewsDue, delivery: Delivery, deps: Dependencies) -> None:
    """Make the pictures of a finished film."""
    await deps.previews.make(event.video_id, delivery)


@router.on(SceneFailed)
async def fail_film(event: SceneFailed, delivery: Delivery, deps: Dependencies) -> None:
    """Fail the video, unless the clip of the failed scene has arrived."""
    async with idempotent_transaction(deps.database, delivery) as work:
        film = await locked_film(work, event.video_id)
        if await work.session.get(FilmClip, (film.video_id, event.scene_number)) is not None:
            return
        if apply(film, event):
            reason = f"Scene {event.scene_number} could not be rendered: {event.reason}"
            failure = {"kind": event.kind, "reason": reason, "epoch": event.epoch}
            belonging = {"owner": event.owner, "post_id": event.post_id}
            await work.emit(VideoFailed(video_id=event.video_id, stage="scene-render", **failure, **belonging))


@router.on(VideoFailed)
async def stop_film(event: VideoFailed, delivery: Delivery, deps: Dependencies) -> None:
    """Stop composing a video that failed in another service."""
    if event.stage == "request":
        return  # a refused request; the video of this id belongs to another one
    async with idempotent_transaction(deps.database, delivery) as work:
        apply(await locked_film(work, event.video_id), event)


@router.on(VideoCancelled)
async def cancel_film(event: VideoCancelled, delivery: Delivery, deps: Dependencies) -> None:
    """Stop composing a cancelled video, and remove what was made for its film. Its stream can still be watched."""
    async with idempotent_transaction(deps.database, delivery) as work:
        film = await locked_film(work, event.video_id)
        if film.state != "composed":
            film.state = "cancelled"
    if film.state == "cancelled":
        await deps.composition.remove(event.video_id)


@router.on(VideoDeleted)
async def remove_film(event: VideoDeleted, delivery: Delivery, deps: Dependencies) -> None:
    """Erase the storyboard of a deleted video and remove its film, stream and thumbnail."""
    await deps.composition.remove(event.video_id)
    await deps.streams.remove(event.video_id)
    await deps.previews.remove(event.video_id)
    async with idempotent_transaction(deps.database, delivery) as work:
        film = await locked_film(work, event.video_id)
        film.state, film.film, film.storyboard = "cancelled", None, None
        await work.session.execute(delete(FilmPart).where(FilmPart.video_id == film.video_id))


@router.on(VideoExpired)
async def expire_film(event: VideoExpired, delivery: Delivery, deps: Dependencies) -> None:
    """Remove an expired film, its stream and its thumbnail. The storyboard stays."""
    await deps.composition.remove(event.video_id)
    await deps.streams.remove(event.video_id)
    await deps.previews.remove(event.video_id)
    async with idempotent_transaction(deps.database, delivery) as work:
        (await locked_film(work, event.video_id)).film = None


@router.on(VideoResumed)
async def resume_film(event: VideoResumed, delivery: Delivery, deps: Dependencies) -> None:
    """Continue a failed video: wait for its clips, or compose it."""
    async with idempotent_transaction(deps.database, delivery) as work:
        film = await locked_film(work, event.video_id)
        if apply(film, event):
            await order_parts(work, film, deps.composition.holds, again=True)
