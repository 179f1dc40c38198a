"""Reviews: approve a video's storyboard before money is spent, edited or not, or have it drawn for free first."""

import hashlib
from uuid import UUID, uuid5

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.http.errors import ApiError
from gateway.models import Video
from gateway.storyboards.errors import StoryboardFaulty
from gateway.storyboards.mapping import storyboard_of
from gateway.storyboards.schemas import StoryboardBody, VideoRequest, providers_of
from gateway.uploads.media_ids import media_of, with_uploads_only
from gateway.uploads.service import Uploads
from gateway.videos.mapping import quality_of
from gateway.videos.projector import VideoProjector
from shared.contracts.events import StoryboardApproved, StoryboardCreated, VideoRequested
from shared.contracts.story import Storyboard
from shared.contracts.story_rules import SceneSeconds, faults_of
from shared.persistence.unit_of_work import UnitOfWork


class NotAwaitingReview(ApiError):
    """The video does not await a review."""

    http_status, problem_type, title = 409, "not-awaiting-review", "Not awaiting review"

    def __init__(self, video_id: UUID, status: str, step: str) -> None:
        about = f"{status} (step: {step})" if status in ("pending", "processing") else status
        super().__init__(f"Video {video_id} does not await a review: it is {about}.")
        self.video_id = video_id


class NoStoryboardYet(ApiError):
    """The video has no storyboard."""

    http_status, problem_type, title = 409, "no-storyboard-yet", "No storyboard yet"

    def __init__(self, video_id: UUID) -> None:
        super().__init__(f"Video {video_id} has no storyboard yet.")
        self.video_id = video_id


class Reviews:
    """Reviews videos that have a storyboard. `seconds`: the range of scene lengths."""

    def __init__(self, projector: VideoProjector, uploads: Uploads, seconds: SceneSeconds) -> None:
        self.uploads = uploads
        self.queries = projector.queries
        self.projector = projector
        self.costs = projector.costs
        self.seconds = seconds

    def check(self, edited: Storyboard | None) -> None:
        """Raise `StoryboardFaulty` if an edited storyboard cannot be filmed."""
        faults = faults_of(edited, self.seconds) if edited else []
        if faults:
            raise StoryboardFaulty(faults)

    async def request(self, session: AsyncSession, body: VideoRequest, owner: str) -> VideoRequested:
        """Return the event of a request, with the uploads that it names.

        Raises:
            InvalidRequest: it names other uploads than its owner's.
            StoryboardFaulty: its storyboard cannot be filmed.
        """
        event = body.event(owner, await self.uploads.media(session, body.named_media(), owner))
        self.check(event.storyboard)
        return event

    async def storyboard(self, video_id: UUID, *, owner: str | None) -> StoryboardBody:
        """Return a video's storyboard for editing. Raises `NoStoryboardYet`."""
        row = await self.queries.get(video_id, owner=owner)
        storyboard = _storyboard_of(row)
        usd = self.costs.billing.estimates.of_storyboard(storyboard, quality_of(row), row.providers or ())
        return StoryboardBody.of(storyboard, usd)

    async def _edited(
        self, session: AsyncSession, row: Video, edit: StoryboardBody | None, by: str
    ) -> Storyboard | None:
        """Return an edited storyboard with its media: what the video had before, and uploads of the editor."""
        if edit is None:
            return None
        known = media_of(_storyboard_of(row)) if row.storyboard is not None else {}
        edited = edit.storyboard(await self.uploads.media(session, edit.named_media(), by, known))
        self.check(edited)
        return edited

    async def approve(
        self, work: UnitOfWork, video_id: UUID, edit: StoryboardBody | None, by: str, *, owner: str | None
    ) -> Video:
        """Approve a video that awaits its review, with an edited storyboard if there is one.

        Raises:
            VideoNotFound: there is no such video.
            NotAwaitingReview: it was approved before, has ended, or needs no review.
            StoryboardFaulty: the edited storyboard cannot be filmed.
            InvalidRequest: it names other uploads than those of `by`.
            BudgetExceeded: there is no money for it today; it still awaits its review.
        """
        row = await self.queries.locked(work, video_id, owner=owner)
        edited = await self._edited(work.session, row, edit, by)
        if row.current_step != "review":
            raise NotAwaitingReview(video_id, row.status, row.current_step)
        event = StoryboardApproved(video_id=video_id, storyboard=edited, by=by)
        await self.costs.reserve_again(work, row, edited or _storyboard_of(row))
        await self.projector.record(work, event)
        await work.emit(event)
        return await self.queries.as_saved(work, row)

    async def animatic(
        self, work: UnitOfWork, video_id: UUID, edit: StoryboardBody | None, by: str, *, owner: str | None
    ) -> Video:
        """Request the free film of a video's storyboard, or of an edited one: a second video, one per storyboard.

        Raises:
            VideoNotFound: there is no such video.
            NoStoryboardYet: there is no storyboard to draw.
            StoryboardFaulty: the edited storyboard cannot be filmed.
            InvalidRequest: it names other uploads than those of `by`.
        """
        row = await self.queries.locked(work, video_id, owner=owner)
        storyboard = with_uploads_only(await self._edited(work.session, row, edit, by) or _storyboard_of(row))
        request = VideoRequested(
            video_id=await self._animatic_id(work, video_id, storyboard),
            prompt=row.prompt or storyboard.title,
            niche=row.niche,
            scene_count=len(storyboard.scenes),
            duration=storyboard.total_duration,
            aspect_ratio=row.aspect_ratio,
            owner=row.owner,
            metadata={"animaticOf": str(video_id)},
            storyboard=storyboard,
            quality="draft",
            providers=providers_of("draft"),
        )
        row.animatic_id = str(request.video_id)
        if await self.projector.record_request(work, request):
            await work.emit(request)
        film = await self.queries.locked(work, request.video_id, owner=None)
        film.animatic_of = str(video_id)
        return await self.queries.as_saved(work, film)

    async def _animatic_id(self, work: UnitOfWork, video_id: UUID, storyboard: Storyboard) -> UUID:
        """Derive the id, so that asking again makes no second film unless the first one failed."""
        content = hashlib.sha256(storyboard.model_dump_json().encode()).hexdigest()
        number = 0
        while True:
            animatic_id = uuid5(video_id, f"animatic {content} {number}")
            if not await self.projector.is_over(work, animatic_id):
                return animatic_id
            number += 1


def _storyboard_of(row: Video) -> Storyboard:
    if row.storyboard is None:
        raise NoStoryboardYet(UUID(row.video_id))
    return storyboard_of(StoryboardCreated.model_validate(row.storyboard))
