"""What people can have done to videos: request, cancel, delete."""

from uuid import UUID

from sqlalchemy import delete

from gateway.http.idempotency import attempt
from gateway.models import IdempotencyRecord, Video, VideoEvent, WebhookDelivery
from gateway.videos.errors import VideoAlreadyEnded, VideoNotEnded
from gateway.videos.mapping import soft_delete
from gateway.videos.projector import VideoProjector
from gateway.videos.queries import VideoQueries, find
from gateway.videos.status import VideoStatus
from gateway.videos.stream_pieces import remove_pieces
from shared.contracts.events import VideoCancelled, VideoDeleted, VideoRequested
from shared.messaging.errors import RequestConflicts
from shared.persistence.unit_of_work import UnitOfWork, transaction


class VideoCommands:
    """Changes videos on request; each change and its event are saved together."""

    def __init__(self, queries: VideoQueries, projector: VideoProjector) -> None:
        self.database = queries.database
        self.queries = queries
        self.projector = projector

    async def request(self, request: VideoRequested) -> Video:
        """Accept a request for a video. The same request again changes nothing.

        Raises:
            RequestConflicts: the id was used for another request.
            BudgetExceeded: there is no money for it.
        """
        return await attempt(self.database, lambda work: self.accept(work, request))

    async def accept(self, work: UnitOfWork, request: VideoRequested) -> Video:
        """Do what `request` does, in the caller's transaction."""
        if await self.projector.record_request(work, request, within_caps=True):
            await work.emit(request)
        row = await find(work.session, request.video_id)
        if row is None or row.deleted_at is not None:
            raise RequestConflicts(request.video_id)
        return await self.queries.as_saved(work, row)

    async def cancel(self, video_id: UUID, by: str, reason: str, *, owner: str | None) -> bool:
        """Cancel a video. Returns whether this changed anything: it may have been cancelled before.

        Raises:
            VideoNotFound: there is no such video.
            VideoAlreadyEnded: it is completed, failed or expired.
        """
        async with transaction(self.database) as work:
            row = await self.queries.locked(work, video_id, owner=owner)
            status = VideoStatus.of(row.status)
            if status is VideoStatus.CANCELLED:
                return False
            if status.is_terminal:
                raise VideoAlreadyEnded(video_id, row.status)
            event = VideoCancelled(video_id=video_id, by=by, reason=reason)
            await self.projector.apply(work, row, event)
            await work.emit(event)
            return True

    async def delete(self, video_id: UUID, by: str, *, owner: str | None) -> None:
        """Delete a video that has ended: its texts now, its files soon. Its charges stay.

        Raises:
            VideoNotFound: there is no such video.
            VideoNotEnded: it has to be cancelled first.
        """
        async with transaction(self.database) as work:
            row = await self.queries.locked(work, video_id, owner=owner)
            status = VideoStatus.of(row.status)
            if not status.is_terminal:
                raise VideoNotEnded(video_id, row.status)
            if status is VideoStatus.FAILED:
                # A deleted video must not be resumed: it would cost money and nobody could see it.
                await work.emit(VideoCancelled(video_id=video_id, by=by, reason="Deleted."))
            soft_delete(row)
            await remove_pieces(work.session, row.video_id)
            await work.session.execute(delete(VideoEvent).where(VideoEvent.video_id == row.video_id))
            posted = (WebhookDelivery.video_id == row.video_id) & (WebhookDelivery.state != "pending")
            await work.session.execute(delete(WebhookDelivery).where(posted))
            await work.session.execute(delete(IdempotencyRecord).where(IdempotencyRecord.video_id == row.video_id))
            await work.emit(VideoDeleted(video_id=video_id, by=by))
