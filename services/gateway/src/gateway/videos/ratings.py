"""Ratings of films."""

from uuid import UUID

from gateway.http.errors import ApiError
from gateway.models import Video
from gateway.videos.queries import VideoQueries
from shared.persistence.unit_of_work import UnitOfWork, transaction


class NothingToRate(ApiError):
    """There is no film to rate."""

    http_status, problem_type, title = 409, "nothing-to-rate", "Nothing to rate"

    def __init__(self, video_id: UUID, status: str) -> None:
        super().__init__(f"Video {video_id} is {status}; only completed ones can be rated.")
        self.video_id = video_id
        self.status = status


class Ratings:
    """Saves one rating per video: 1 to 5, and a comment."""

    def __init__(self, queries: VideoQueries) -> None:
        self.queries = queries

    async def rate(
        self, work: UnitOfWork, video_id: UUID, rating: int, comment: str | None, *, owner: str | None
    ) -> Video:
        """Rate a film, replacing an earlier rating.

        Raises:
            VideoNotFound: there is no such video.
            NothingToRate: it is not completed.
        """
        row = await self.queries.locked(work, video_id, owner=owner)
        if row.status != "completed":
            raise NothingToRate(video_id, row.status)
        row.rating, row.rating_comment = rating, comment
        return await self.queries.as_saved(work, row)

    async def take_back(self, video_id: UUID, *, owner: str | None) -> None:
        """Remove a rating. Raises `VideoNotFound`."""
        async with transaction(self.queries.database) as work:
            row = await self.queries.locked(work, video_id, owner=owner)
            row.rating = row.rating_comment = None
