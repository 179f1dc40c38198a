"""Projects events into the rows of videos: row, event log, costs and ETA change in one transaction."""

import hashlib
import json
from uuid import UUID

from gateway.models import Video
from gateway.storyboards.mapping import storyboard_of
from gateway.videos.costs import VideoCosts
from gateway.videos.eta_mapping import progress_of, save_noted
from gateway.videos.event_log import EventLog
from gateway.videos.mapping import forget_refusal, projection_of, save, unknown
from gateway.videos.projection import VideoProjection, apply, is_announced
from gateway.videos.queries import VideoQueries, find
from gateway.videos.status import VideoStatus
from gateway.videos.stream_pieces import remove_pieces, save_piece
from shared.contracts.events import (
    Event,
    FramesApproved,
    PictureRendered,
    SceneCharged,
    SceneFailed,
    SceneRendered,
    StoryboardApproved,
    StoryboardCreated,
    StoryCharged,
    StreamExtended,
    VideoComposed,
    VideoDeleted,
    VideoExpired,
    VideoFailed,
    VideoPreviewed,
    VideoRequested,
    VideoResumed,
)
from shared.contracts.story import Storyboard
from shared.messaging.errors import RequestConflicts
from shared.persistence.database import now
from shared.persistence.unit_of_work import UnitOfWork

SYSTEM = "multishot"
"""The author of events that no person asked for."""


STORED_FOR_IT = (
    StoryboardCreated,
    PictureRendered,
    SceneRendered,
    SceneFailed,
    StreamExtended,
    VideoComposed,
    VideoPreviewed,
    VideoFailed,
)
"""Events with which a service stores texts or media of a video."""


class VideoProjector:
    """Applies events to rows of `videos`; announcers may set further columns in the same transaction."""

    def __init__(self, queries: VideoQueries, event_log: EventLog, costs: VideoCosts) -> None:
        self.queries = queries
        self.event_log = event_log
        self.costs = costs

    async def is_over(self, work: UnitOfWork, video_id: UUID) -> bool:
        """Return whether a video was requested and will have no film: it failed, was cancelled, expired or deleted."""
        row = await find(work.session, video_id, lock=True)
        return row is not None and (VideoStatus.of(row.status).is_without_film or row.deleted_at is not None)

    async def record_request(self, work: UnitOfWork, event: VideoRequested, *, within_caps: bool = False) -> bool:
        """Save a request. Returns whether it is new.

        Raises:
            RequestConflicts: the id was used for another request.
            BudgetExceeded: there is no money for it, and `within_caps` is set.
        """
        row = await find(work.session, event.video_id, lock=True)
        if row is not None and (row.request_hash is not None or row.deleted_at is not None):
            if row.request_hash != _hash(event):
                raise RequestConflicts(event.video_id)
            return False
        if row is None:
            row = unknown(event.video_id)
        elif row.error_stage == "request":
            forget_refusal(row)
        row.request_hash = _hash(event)
        row.quality = event.quality
        row.prompt = event.prompt
        row.niche = event.niche
        row.scene_count = len(event.storyboard.scenes) if event.storyboard else event.scene_count
        row.duration = event.storyboard.total_duration if event.storyboard else event.duration
        row.providers = list(event.providers)
        row.aspect_ratio = event.aspect_ratio
        row.post_id = event.post_id
        row.owner = event.owner
        row.meta = {**event.metadata, **(row.meta or {})}
        await self.costs.reserve(work, row, event, within_caps=within_caps)
        work.session.add(row)  # not before: most refusals write nothing
        if row.last_seq:
            await self.event_log.announce_earlier(work, row)
        progress = progress_of(row, projection_of(row))
        save_noted(row, await self.queries.etas.begin(work, progress, given=event.storyboard is not None))
        await self._log(work, row, event)
        return True

    async def record(self, work: UnitOfWork, event: Event) -> None:
        """Apply an event to its video's row, and log it."""
        if isinstance(event, StoryCharged) and event.alone:
            await self.costs.charges.record_alone(work, event)
            return
        row = await find(work.session, event.video_id, lock=True)
        if isinstance(event, VideoFailed) and event.stage == "request":
            if row is None and event.kind != RequestConflicts.KIND:
                row = unknown(event.video_id)
                row.owner, row.post_id = event.owner or row.owner, event.post_id
                work.session.add(row)
                await self.apply(work, row, event)
            return  # a row that exists belongs to another request
        if row is None:
            # A resumed video that is not known here is none: a dead letter may be about a storyboard alone.
            if not event.stored or isinstance(event, VideoResumed):
                return
            # Its request is still on the way.
            row = unknown(event.video_id)
            work.session.add(row)
        if isinstance(event, SceneCharged | StoryCharged):
            await self.costs.record_charge(work, row, event)
        if row.deleted_at is not None:
            await self._record_of_deleted(work, row, event)
            return
        await self.apply(work, row, event)

    async def _record_of_deleted(self, work: UnitOfWork, row: Video, event: Event) -> None:
        """Count the late charges of a deleted video, and have deleted what was stored for it meanwhile."""
        await self.costs.correct(work, row)
        if isinstance(event, STORED_FOR_IT):
            await work.emit(VideoDeleted(video_id=event.video_id, by=SYSTEM))

    async def apply(self, work: UnitOfWork, row: Video, event: Event) -> None:
        """Apply an event to a locked row, and log it if it changed anything."""
        before = projection_of(row)
        after = apply(before, event)
        await self._save_stream(work, after, event)
        if after != before:
            save(row, after, self.event_log.public_url)
            await self._save_storyboard(work, row, before, after, event)
            was, now_is = progress_of(row, before), progress_of(row, after)
            save_noted(row, await self.queries.etas.note(work, was, now_is, event))
            if is_announced(before, after, event):
                await self._log(work, row, event)
        await self.costs.correct(work, row)

    async def _save_stream(self, work: UnitOfWork, after: VideoProjection, event: Event) -> None:
        if isinstance(event, StreamExtended) and event.piece_number in after.stream_pieces:
            await save_piece(work.session, event)
        if isinstance(event, VideoExpired):
            await remove_pieces(work.session, str(event.video_id))

    async def _save_storyboard(
        self, work: UnitOfWork, row: Video, before: VideoProjection, after: VideoProjection, event: Event
    ) -> None:
        if isinstance(event, StoryboardCreated) and before.revision <= event.revision:
            row.storyboard = event.model_dump(mode="json")
            row.niche = event.niche
            row.duration = round(event.total_duration)
            await self.costs.estimate(work.session, row, storyboard_of(event))
        if isinstance(event, FramesApproved):
            row.approved_at = now()
        if before.current_step == "review" and after.current_step == "scenes":
            row.approved_at = now()
            if isinstance(event, StoryboardApproved) and event.storyboard is not None and row.storyboard:
                await self._show_edited(work, row, event.storyboard)

    async def _show_edited(self, work: UnitOfWork, row: Video, edited: Storyboard) -> None:
        """Show what was approved until `storyboard.created` comes with it."""
        shots = [scene.shot for scene in edited.scenes]
        details = [scene.details.model_dump(mode="json") for scene in edited.scenes]
        shown = {**edited.model_dump(mode="json"), "shots": shots, "details": details}
        row.storyboard = {**(row.storyboard or {}), **shown}
        row.niche = edited.niche
        row.duration = edited.total_duration
        await self.costs.estimate(work.session, row, edited)

    async def _log(self, work: UnitOfWork, row: Video, event: Event) -> None:
        row.eta = self.queries.eta_of(row)
        await self.event_log.append(work, row, event)


def _hash(event: VideoRequested) -> str:
    return hashlib.sha256(json.dumps(event.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()
