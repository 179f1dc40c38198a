"""The event handlers of the composer: they collect the clips of a video and join them into its film."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from composer.film import FilmWrong, compose
from composer.graph import ClipFile
from composer.internal_messages import ClipsCollected
from composer.models import Film, FilmClip
from composer.thumbnail import take_thumbnail
from shared.contracts.epochs import Standing
from shared.contracts.events import (
    SceneFailed,
    SceneRendered,
    StoryboardCreated,
    VideoCancelled,
    VideoComposed,
    VideoComposing,
    VideoDeleted,
    VideoExpired,
    VideoFailed,
    VideoProgressed,
    VideoResumed,
    VideoStoring,
)
from shared.contracts.media import FRAME_SIZE, Clip, film_key, thumbnail_key
from shared.contracts.story import Belonging
from shared.contracts.timeline import timeline
from shared.media.ffmpeg import Ffmpeg, FfmpegFailed, FfmpegTimedOut
from shared.messaging.errors import StepFailed
from shared.messaging.event_router import Delivery, EphemeralPublisher, EventRouter
from shared.persistence.database import Database, now
from shared.persistence.unit_of_work import UnitOfWork, idempotent_transaction
from shared.storage.base import Storage
from shared.storage.work_folder import work_folder

log = structlog.get_logger()

ATTEMPTS = 3
"""After this many failures of ffmpeg the video fails."""


@dataclass(frozen=True)
class Dependencies:
    """The dependencies of the handlers."""

    database: Database
    storage: Storage
    ffmpeg: Ffmpeg
    work_folder: Path | None
    ephemeral: EphemeralPublisher


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
        await compose_when_complete(work, film)


@router.on(SceneRendered)
async def collect_scene(event: SceneRendered, delivery: Delivery, deps: Dependencies) -> None:
    """Save a clip; the last one starts the composition."""
    async with idempotent_transaction(deps.database, delivery) as work:
        film = await locked_film(work, event.video_id)
        clip = FilmClip(
            video_id=film.video_id, scene_number=event.scene_number, clip=event.clip.model_dump(mode="json")
        )
        await work.session.merge(clip)
        await work.session.flush()
        await compose_when_complete(work, film)


@router.on(ClipsCollected, max_concurrency=1)
async def compose_film(event: ClipsCollected, delivery: Delivery, deps: Dependencies) -> None:
    """Join the clips into the film, make its thumbnail, and store both."""
    film, clips = await _collected(event.video_id, deps.database)
    if film.state != "composing":
        return
    board = StoryboardCreated.model_validate(film.storyboard)
    size = FRAME_SIZE[board.aspect_ratio]
    slots = timeline(board.scenes)

    with work_folder(deps.work_folder, "film") as folder:
        files = []
        for slot in slots:
            clip = clips[slot.scene.scene_number]
            path = folder / f"scene-{slot.scene.scene_number}.mp4"
            await deps.storage.get(clip.media, path)
            files.append(ClipFile(path, clip.frames, clip.has_audio))
        target, picture = folder / "film.mp4", folder / "thumbnail.jpg"
        try:
            async with _publishing_progress(event.video_id, deps.ephemeral) as on_percent:
                facts = await compose(slots, files, target, size, deps.ffmpeg, on_percent)
            await take_thumbnail(target, picture, slots, deps.ffmpeg)
        except (FfmpegFailed, FfmpegTimedOut, FilmWrong) as error:
            if delivery.attempt < ATTEMPTS:
                raise
            raise StepFailed("composing", f"The film could not be joined: {error}.") from error
        await deps.ephemeral.publish(VideoStoring(video_id=event.video_id))
        stored = await deps.storage.put(film_key(event.video_id), target, "video/mp4")
        thumbnail = await deps.storage.put(thumbnail_key(event.video_id), picture, "image/jpeg")

    composed = VideoComposed(
        video_id=event.video_id,
        film=stored,
        thumbnail=thumbnail,
        duration=facts.duration,
        width=facts.width,
        height=facts.height,
        **dict(Belonging.read(film.storyboard)),
    )
    async with idempotent_transaction(deps.database, delivery) as work:
        film = await locked_film(work, event.video_id)
        if film.state == "composing":
            film.state = "composed"
            film.film = composed.model_dump(mode="json")
            await work.emit(composed)
    if film.state == "cancelled":
        await _remove(event.video_id, deps)
        return
    log.info("video.composed", seconds=facts.duration, bytes=stored.size)


@router.on(SceneFailed)
async def fail_film(event: SceneFailed, delivery: Delivery, deps: Dependencies) -> None:
    """Fail the video, unless the clip of the failed scene has arrived."""
    async with idempotent_transaction(deps.database, delivery) as work:
        film = await locked_film(work, event.video_id)
        if await work.session.get(FilmClip, (film.video_id, event.scene_number)) is not None:
            return
        if _apply(film, event):
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
        _apply(await locked_film(work, event.video_id), event)


@router.on(VideoCancelled)
async def cancel_film(event: VideoCancelled, delivery: Delivery, deps: Dependencies) -> None:
    """Stop composing a cancelled video."""
    async with idempotent_transaction(deps.database, delivery) as work:
        film = await locked_film(work, event.video_id)
        if film.state != "composed":
            film.state = "cancelled"


@router.on(VideoDeleted)
async def remove_film(event: VideoDeleted, delivery: Delivery, deps: Dependencies) -> None:
    """Erase the storyboard of a deleted video and remove its film and thumbnail."""
    await _remove(event.video_id, deps)
    async with idempotent_transaction(deps.database, delivery) as work:
        film = await locked_film(work, event.video_id)
        film.state, film.film, film.storyboard = "cancelled", None, None


@router.on(VideoExpired)
async def expire_film(event: VideoExpired, delivery: Delivery, deps: Dependencies) -> None:
    """Remove an expired film and its thumbnail. The storyboard stays."""
    await _remove(event.video_id, deps)
    async with idempotent_transaction(deps.database, delivery) as work:
        (await locked_film(work, event.video_id)).film = None


@router.on(VideoResumed)
async def resume_film(event: VideoResumed, delivery: Delivery, deps: Dependencies) -> None:
    """Continue a failed video: wait for its clips, or compose it."""
    async with idempotent_transaction(deps.database, delivery) as work:
        film = await locked_film(work, event.video_id)
        if _apply(film, event):
            await compose_when_complete(work, film)


def _apply(film: Film, event: SceneFailed | VideoFailed | VideoResumed) -> bool:
    """Apply a failure or a resumption unless it is out of date; return whether it changed the film."""
    before = Standing(film.epoch, film.state == "failed")
    after = before.after(event)
    if film.state in ("composed", "cancelled") or after == before:
        return False
    film.epoch = after.epoch
    if after.failed:
        film.state = "failed"
    elif before.failed:
        film.state = "gathering"
    return True


async def epoch_of(session: AsyncSession, video_id: UUID) -> int:
    """Return the latest known epoch of a video."""
    return await session.scalar(select(Film.epoch).where(Film.video_id == str(video_id))) or 0


async def owner_of(session: AsyncSession, video_id: UUID) -> Belonging:
    """Return the owner of a video, from its storyboard."""
    film = await session.get(Film, str(video_id))
    return Belonging.read(film.storyboard) if film else Belonging()


async def locked_film(work: UnitOfWork, video_id: UUID) -> Film:
    """Lock the film's row, so that the transaction that saves the last clip sees all the others."""
    film = await work.session.get(Film, str(video_id), with_for_update=True)
    if film is None:
        film = Film(video_id=str(video_id), state="gathering", begun_at=now())
        work.session.add(film)
        await work.session.flush()
    return film


async def compose_when_complete(work: UnitOfWork, film: Film) -> None:
    """Start composing a film once all its clips have arrived."""
    if film.state != "gathering" or film.storyboard is None:
        return
    video_id = UUID(film.video_id)
    present = select(FilmClip.scene_number).where(FilmClip.video_id == film.video_id)
    numbers = set((await work.session.execute(present)).scalars())
    if numbers >= {scene["sceneNumber"] for scene in film.storyboard["scenes"]}:
        film.state = "composing"
        await work.emit(VideoComposing(video_id=video_id))
        await work.emit(ClipsCollected(video_id=video_id))


async def _collected(video_id: UUID, database: Database) -> tuple[Film, Mapping[int, Clip]]:
    async with database.reading() as session:
        film = await session.get_one(Film, str(video_id))
        rows = await session.execute(select(FilmClip).where(FilmClip.video_id == str(video_id)))
        return film, {row.scene_number: Clip.model_validate(row.clip) for row in rows.scalars()}


@contextlib.asynccontextmanager
async def _publishing_progress(video_id: UUID, ephemeral: EphemeralPublisher) -> AsyncIterator[Callable[[float], None]]:
    """Yield a function that publishes the progress of the film."""
    tasks: set[asyncio.Task[None]] = set()

    def publish(percent: float) -> None:
        task = asyncio.create_task(ephemeral.publish(VideoProgressed(video_id=video_id, percent=percent)))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    yield publish
    await asyncio.gather(*tasks)


async def _remove(video_id: UUID, deps: Dependencies) -> None:
    for key in (film_key(video_id), thumbnail_key(video_id)):
        await deps.storage.delete(key)
