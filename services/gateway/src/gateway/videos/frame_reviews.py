"""Reviews of first frames: approve them before any clip is paid, or have one made again."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from gateway.http.errors import ApiError
from gateway.models import Video
from gateway.uploads.media_ids import NamedMedia
from gateway.uploads.service import Uploads
from gateway.videos.errors import SceneNotFound
from gateway.videos.mapping import projection_of
from gateway.videos.projector import VideoProjector
from shared.contracts.events import FrameRejected, FramesApproved
from shared.contracts.story import Prompt
from shared.persistence.unit_of_work import UnitOfWork

FrameDescription = Annotated[Prompt, Field(max_length=900)]


class NotAwaitingFrames(ApiError):
    """The first frames of the video do not await a review."""

    http_status, problem_type, title = 409, "not-awaiting-frames", "First frames not awaiting review"

    def __init__(self, video_id: UUID, status: str, step: str) -> None:
        super().__init__(f"The first frames of video {video_id} do not await a review: it is {status} (step: {step}).")
        self.video_id = video_id


class FrameReviews:
    """Reviews the first frames of videos, while they are awaited."""

    def __init__(self, projector: VideoProjector, uploads: Uploads) -> None:
        self.queries = projector.queries
        self.projector = projector
        self.uploads = uploads

    async def approve(self, work: UnitOfWork, video_id: UUID, by: str, *, owner: str | None) -> Video:
        """Approve all first frames: the clips are ordered now.

        Raises:
            VideoNotFound: there is no such video.
            NotAwaitingFrames: its first frames await no review.
        """
        row = await self._awaiting(work, video_id, owner)
        event = FramesApproved(video_id=video_id, by=by)
        await self.projector.record(work, event)
        await work.emit(event)
        return await self.queries.as_saved(work, row)

    async def reject(
        self,
        work: UnitOfWork,
        video_id: UUID,
        scene_number: int,
        by: str,
        *,
        description: str | None,
        image: UUID | None,
        owner: str | None,
    ) -> Video:
        """Have the first frame of one scene made again from a new description, or replaced by an upload of `by`.

        Raises:
            VideoNotFound: there is no such video.
            NotAwaitingFrames: its first frames await no review.
            SceneNotFound: it has no such scene.
            InvalidRequest: there is no such picture.
        """
        row = await self._awaiting(work, video_id, owner)
        if not 1 <= scene_number <= row.scene_count:
            raise SceneNotFound(video_id, scene_number)
        named = [NamedMedia(("body", "image"), image, "picture")] if image is not None else []
        media = await self.uploads.media(work.session, named, by)
        picture = media[image] if image is not None else None
        frame = projection_of(row).scene_state(scene_number).first_frame
        if picture is None and frame is not None:
            # Another one is expected to cost as much again.
            row.estimated_cost_usd += frame.cost_usd
        event = FrameRejected(
            video_id=video_id, scene_number=scene_number, description=description, image=picture, by=by
        )
        await self.projector.record(work, event)
        await work.emit(event)
        return await self.queries.as_saved(work, row)

    async def _awaiting(self, work: UnitOfWork, video_id: UUID, owner: str | None) -> Video:
        row = await self.queries.locked(work, video_id, owner=owner)
        if row.current_step != "frames":
            raise NotAwaitingFrames(video_id, row.status, row.current_step)
        return row
