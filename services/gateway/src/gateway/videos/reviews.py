"""Reviews: approve a video's storyboard before money is spent, edited or not, or have it drawn for free first."""

import hashlib
from uuid import UUID, uuid5

from gateway.http.errors import ApiError
from gateway.models import Video
from gateway.storyboards.errors import StoryboardFaulty
from gateway.storyboards.mapping import storyboard_of
from gateway.videos.projector import VideoProjector
from shared.contracts.events import StoryboardApproved, StoryboardCreated, VideoRequested
from shared.contracts.provider_selection import FREE_PROVIDER
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

    def __init__(self, projector: VideoProjector, seconds: SceneSeconds) -> None:
        self.queries = projector.queries
        self.projector = projector
        self.costs = projector.costs
        self.seconds = seconds

    def check(self, edited: Storyboard | None) -> None:
        """Raise `StoryboardFaulty` if an edited storyboard cannot be filmed."""
        faults = faults_of(edited, self.seconds) if edited else []
        if faults:
            raise StoryboardFaulty(faults)

    async def storyboard(self, video_id: UUID, *, owner: str | None) -> Storyboard:
        """Return a video's storyboard for editing. Raises `NoStoryboardYet`."""
        return _storyboard_of(await self.queries.get(video_id, owner=owner))

    async def approve(
        self, work: UnitOfWork, video_id: UUID, edited: Storyboard | None, by: str, *, owner: str | None
    ) -> Video:
        """Approve a video that awaits its review, with an edited storyboard if there is one.

        Raises:
            VideoNotFound: there is no such video.
            NotAwaitingReview: it was approved before, has ended, or needs no review.
            StoryboardFaulty: the edited storyboard cannot be filmed.
            BudgetExceeded: there is no money for it today; it still awaits its review.
        """
        self.check(edited)
        event = StoryboardApproved(video_id=video_id, storyboard=edited, by=by)
        row = await self.queries.locked(work, video_id, owner=owner)
        if row.current_step != "review":
            raise NotAwaitingReview(video_id, row.status, row.current_step)
        await self.costs.reserve_again(work, row, edited or _storyboard_of(row))
        await self.projector.record(work, event)
        await work.emit(event)
        return await self.queries.as_saved(work, row)

    async def animatic(
        self, work: UnitOfWork, video_id: UUID, edited: Storyboard | None, *, owner: str | None
    ) -> Video:
        """Request the free film of a video's storyboard, or of an edited one: a second video, one per storyboard.

        Raises:
            VideoNotFound: there is no such video.
            NoStoryboardYet: there is no storyboard to draw.
            StoryboardFaulty: the edited storyboard cannot be filmed.
        """
        self.check(edited)
        row = await self.queries.locked(work, video_id, owner=owner)
        storyboard = edited or _storyboard_of(row)
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
            providers=(FREE_PROVIDER,),
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
