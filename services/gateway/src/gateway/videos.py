"""The gateway's application layer: ask for a video, look at it, cancel it, and fold what happens into its row."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from pydantic import JsonValue
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.models import Video, VideoEvent
from gateway.steps import LiveEvent, VideoProgressed, VideoUpdated
from gateway.view import SceneState, VideoView, fold
from shared.contracts.events import (
    Event,
    SceneProgressed,
    SceneRendered,
    SceneStarted,
    StoryboardCreated,
    VideoCancelled,
    VideoComposed,
    VideoComposing,
    VideoFailed,
    VideoRequested,
    VideoResumed,
)
from shared.contracts.media import MediaReference
from shared.contracts.story import DEFAULT_NICHE, DEFAULT_OWNER, Scene
from shared.database import Database, now
from shared.errors import RequestConflicts
from shared.unit_of_work import Work, working

LIVE_NAMES: dict[type[Event], str] = {
    VideoRequested: "video_generation_started",
    StoryboardCreated: "video_storyboard_created",
    SceneStarted: "video_scene_processing",
    SceneProgressed: "video_scene_processing",
    SceneRendered: "video_scene_completed",
    VideoComposing: "video_combining_scenes",
    VideoComposed: "video_completed",
    VideoFailed: "video_failed",
    VideoResumed: "video_generation_started",
    VideoCancelled: "video_cancelled",
}
"""What watchers hear for each event; the other events change the row in silence."""


class VideoNotFound(Exception):
    """There is no such video."""

    def __init__(self, video_id: UUID) -> None:
        super().__init__(f"There is no video {video_id}.")
        self.video_id = video_id


class VideoAlreadyEnded(Exception):
    """The video has ended and cannot be cancelled any more."""

    def __init__(self, video_id: UUID, status: str) -> None:
        super().__init__(f"Video {video_id} has already ended: it is {status}.")
        self.video_id = video_id
        self.status = status


@dataclass(frozen=True)
class Page:
    """A part of a list, newest first, and how long the whole list is."""

    videos: Sequence[Video]
    total: int


class Videos:
    """All videos, and what can be asked of them. `public_url` stands before the links that are told."""

    def __init__(self, database: Database, public_url: str = "") -> None:
        self.database = database
        self.public_url = public_url.rstrip("/")

    # --- what people ask for

    async def request(self, wish: VideoRequested) -> Video:
        """Accept a request: its row and the event are saved together. The same request again changes nothing.

        Raises:
            RequestConflicts: the id was used for another request.
        """
        try:
            async with working(self.database) as work:
                if await self.record_request(work, wish):
                    await work.emit(wish)
        except IntegrityError:
            # The same id was used twice at once; the other one was faster.
            async with working(self.database) as work:
                await self.record_request(work, wish)
        return await self.get(wish.video_id)

    async def get(self, video_id: UUID) -> Video:
        """One video. Raises `VideoNotFound`."""
        async with self.database.reading() as session:
            row = await _row(session, video_id)
        if row is None:
            raise VideoNotFound(video_id)
        return row

    async def exists(self, video_id: UUID) -> bool:
        """Whether there is such a video."""
        async with self.database.reading() as session:
            return await _row(session, video_id) is not None

    async def was_requested(self, video_id: UUID) -> bool:
        """Whether a request for this video was accepted; a row alone may only tell of one that was refused."""
        async with self.database.reading() as session:
            row = await _row(session, video_id)
        return row is not None and row.request_hash is not None

    async def page(self, limit: int, offset: int, status: str | None = None) -> Page:
        """Videos, newest first."""
        which = [Video.status == status] if status else []
        async with self.database.reading() as session:
            newest = select(Video).where(*which).order_by(Video.id.desc()).limit(limit).offset(offset)
            rows = (await session.execute(newest)).scalars().all()
            total = (await session.execute(select(func.count()).select_from(Video).where(*which))).scalar_one()
        return Page(rows, total)

    async def cancel(self, video_id: UUID, by: str, reason: str) -> Video:
        """Cancel a video. Cancelling it again changes nothing.

        Raises:
            VideoNotFound: there is none.
            VideoAlreadyEnded: it is completed, or failed.
        """
        event = VideoCancelled(video_id=video_id, by=by, reason=reason)
        async with working(self.database) as work:
            row = await _row(work.session, video_id, lock=True)
            if row is None:
                raise VideoNotFound(video_id)
            if row.status == "cancelled":
                return row
            if row.status in ("completed", "failed", "expired"):
                raise VideoAlreadyEnded(video_id, row.status)
            await self._apply(work, row, event)
            await work.emit(event)
            return row

    async def events_after(self, video_id: UUID, seq: int) -> list[LiveEvent]:
        """What happened to a video after its event number `seq`."""
        later = select(VideoEvent).where(VideoEvent.video_id == str(video_id), VideoEvent.seq > seq)
        return await self._events(later.order_by(VideoEvent.seq))

    async def newest_event(self, video_id: UUID) -> list[LiveEvent]:
        """The last thing that happened to a video, if anything did."""
        newest = select(VideoEvent).where(VideoEvent.video_id == str(video_id)).order_by(VideoEvent.seq.desc())
        return await self._events(newest.limit(1))

    async def _events(self, query: object) -> list[LiveEvent]:
        async with self.database.reading() as session:
            rows = (await session.execute(query)).scalars()  # type: ignore[call-overload]  # a select of VideoEvent
            return [LiveEvent(seq=row.seq, after=row.seq - 1, type=row.type, data=row.data) for row in rows]

    # --- what happens

    async def record_request(self, work: Work, event: VideoRequested) -> bool:
        """Save what was asked for. Returns whether this was news. Raises `RequestConflicts`."""
        row = await _row(work.session, event.video_id, lock=True)
        if row is not None and row.request_hash is not None:
            if row.request_hash != _hash(event):
                raise RequestConflicts(event.video_id)
            return False
        if row is None:
            row = _unknown(event.video_id)
            work.session.add(row)
        row.request_hash = _hash(event)
        row.prompt = event.prompt
        row.niche = event.niche
        row.scene_count = event.scene_count
        row.duration = event.duration
        row.aspect_ratio = event.aspect_ratio
        row.post_id = event.post_id
        row.owner = event.owner
        row.meta = {**event.metadata, **row.meta}
        await self._tell(work, row, event)
        return True

    async def record(self, work: Work, event: Event) -> None:
        """Fold an event into its video's row, and tell those who watch."""
        row = await _row(work.session, event.video_id, lock=True)
        if row is None:
            if not event.stored:
                return
            # Its request is still on the way.
            row = _unknown(event.video_id)
            work.session.add(row)
        await self._apply(work, row, event)

    async def _apply(self, work: Work, row: Video, event: Event) -> None:
        before = view_of(row)
        after = fold(before, event)
        if after != before:
            _save(row, after, self.public_url)
            await self._tell(work, row, event)

    async def _tell(self, work: Work, row: Video, event: Event) -> None:
        name = LIVE_NAMES.get(type(event))
        if name is None:
            return
        if not event.stored:
            live = LiveEvent(seq=None, after=row.last_seq, type=name, data=_told(row, event, self.public_url))
            await work.emit(VideoProgressed(video_id=event.video_id, live=live))
            return
        row.last_seq += 1
        live = LiveEvent(seq=row.last_seq, after=row.last_seq - 1, type=name, data=_told(row, event, self.public_url))
        work.session.add(
            VideoEvent(video_id=row.video_id, seq=row.last_seq, type=name, data=live.data, created_at=now())
        )
        await work.session.flush()
        await work.emit(VideoUpdated(video_id=event.video_id, live=live))


async def _row(session: AsyncSession, video_id: UUID, *, lock: bool = False) -> Video | None:
    query = select(Video).where(Video.video_id == str(video_id))
    if lock:
        query = query.with_for_update()
    return (await session.execute(query)).scalar_one_or_none()


def _unknown(video_id: UUID) -> Video:
    """A video of which we heard before its request came, or whose request could not be read."""
    return Video(
        video_id=str(video_id),
        niche=DEFAULT_NICHE,
        prompt="",
        story_script="",
        scenes=[],
        status="pending",
        meta={},
        owner=DEFAULT_OWNER,
        aspect_ratio="16:9",
        scene_count=3,
        progress=0.0,
        current_step="storyboard",
        scene_states={},
        cost_usd=0,
        last_seq=0,
    )


def _hash(event: VideoRequested) -> str:
    return hashlib.sha256(json.dumps(event.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def view_of(row: Video) -> VideoView:
    """A row as the rules see it."""
    return VideoView(
        status=row.status,
        current_step=row.current_step,
        progress=row.progress,
        title=row.title,
        story_script=row.story_script,
        scenes=tuple(Scene.model_validate(scene) for scene in row.scenes),
        scene_count=row.scene_count,
        scene_states={int(n): SceneState.model_validate(state) for n, state in row.scene_states.items()},
        cost_usd=row.cost_usd,
        film=MediaReference.model_validate(row.film) if row.film else None,
        thumbnail=MediaReference.model_validate(row.thumbnail) if row.thumbnail else None,
        error_stage=row.error_stage,
        error_kind=row.error_kind,
        error_message=row.error_message,
    )


def _save(row: Video, view: VideoView, public_url: str) -> None:
    row.status = view.status
    row.current_step = view.current_step
    row.progress = view.progress
    row.title = view.title
    row.story_script = view.story_script
    row.scenes = [scene.model_dump(mode="json") for scene in view.scenes]
    row.scene_count = view.scene_count
    row.scene_states = {str(n): state.model_dump(mode="json") for n, state in view.scene_states.items()}
    row.cost_usd = view.cost_usd
    row.error_stage = view.error_stage
    row.error_kind = view.error_kind
    row.error_message = view.error_message
    if view.film is not None and view.thumbnail is not None:
        row.film = view.film.model_dump(mode="json")
        row.thumbnail = view.thumbnail.model_dump(mode="json")
        row.video_url = film_link(row.video_id, public_url)
        row.thumbnail_url = thumbnail_link(row.video_id, public_url)
        row.completed_at = now()
    if view.resolution is not None:
        width, height = view.resolution
        row.meta = {**row.meta, "format": "mp4", "resolution": f"{width}x{height}"}


def film_link(video_id: str, public_url: str = "") -> str:
    """Where a film can always be asked for; it leads on to a link that ends soon."""
    return f"{public_url}/api/v1/videos/{video_id}/content"


def thumbnail_link(video_id: str, public_url: str = "") -> str:
    """Where a thumbnail can always be asked for."""
    return f"{public_url}/api/v1/videos/{video_id}/thumbnail"


def clip_link(video_id: str, scene_number: int, public_url: str = "") -> str:
    """Where the clip of a scene can always be asked for."""
    return f"{public_url}/api/v1/videos/{video_id}/scenes/{scene_number}/content"


def _told(row: Video, event: Event, public_url: str) -> dict[str, JsonValue]:
    """What watchers are told: how the video stands, and what this event adds. Links in it never end."""
    view = view_of(row)
    told: dict[str, JsonValue] = {
        "videoId": row.video_id,
        "seq": row.last_seq if event.stored else None,
        "status": row.status,
        "progress": row.progress,
        "currentStep": row.current_step,
        "currentScene": view.current_scene,
        "totalScenes": row.scene_count,
    }
    if isinstance(event, SceneStarted | SceneProgressed | SceneRendered):
        told["sceneNumber"] = event.scene_number
        scene = next((scene for scene in view.scenes if scene.scene_number == event.scene_number), None)
        told["sceneDescription"] = scene.description if scene else None
        told["sceneProgress"] = view.scene_state(event.scene_number).percent
    if isinstance(event, SceneRendered):
        told["sceneVideoUrl"] = clip_link(row.video_id, event.scene_number, public_url)
    if isinstance(event, StoryboardCreated):
        told["title"] = row.title
        told["scenes"] = list(row.scenes)
    if isinstance(event, VideoComposed):
        told["videoUrl"] = row.video_url
        told["thumbnailUrl"] = row.thumbnail_url
    if isinstance(event, VideoFailed):
        told["error"] = event.reason
        told["stage"] = event.stage
    return told
