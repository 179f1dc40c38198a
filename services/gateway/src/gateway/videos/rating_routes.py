"""The REST API of ratings and statistics."""

from datetime import UTC, date, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query

from gateway.access.dependencies import Reader, Writer
from gateway.http.date_range import days_before
from gateway.http.json_body import json_only
from gateway.videos.ratings import Ratings
from gateway.videos.schemas import RatingRequest, VideoResource, video_resource
from gateway.videos.statistics import FilmFigures, Statistics
from gateway.videos.statistics_schemas import CostPercentiles, FilmStatistics, StatisticsResource, TimePercentiles
from shared.persistence.unit_of_work import transaction

DAYS = 30


def routes(ratings: Ratings, statistics: Statistics, public_url: str) -> APIRouter:
    """Return the routes of ratings and statistics."""
    router = APIRouter()

    @router.put(
        "/api/v1/videos/{video_id}/rating", dependencies=[Depends(json_only)], tags=["videos"], responses={409: {}}
    )
    async def rate_video(video_id: UUID, body: RatingRequest, caller: Writer) -> VideoResource:
        """Rate a film. A second rating replaces the first."""
        async with transaction(ratings.queries.database) as work:
            row = await ratings.rate(work, video_id, body.rating, body.comment or None, owner=caller.visible_owner)
            return video_resource(row, public_url)

    @router.delete("/api/v1/videos/{video_id}/rating", status_code=204, tags=["videos"])
    async def unrate_video(video_id: UUID, caller: Writer) -> None:
        """Remove a rating."""
        await ratings.take_back(video_id, owner=caller.visible_owner)

    @router.get("/api/v1/statistics", tags=["figures"])
    async def get_statistics(
        caller: Reader,
        first: Annotated[date | None, Query(alias="from", description=f"Default: {DAYS} days before")] = None,
        last: Annotated[date | None, Query(alias="to", description="Default: today (UTC)")] = None,
    ) -> StatisticsResource:
        """Read how many videos succeed, how long they take, what they cost and how they are rated."""
        until = last or datetime.now(UTC).date()
        figures = await statistics.figures(first or days_before(until, DAYS), until, owner=caller.visible_owner)
        return StatisticsResource(
            requested=figures.requested,
            completed=figures.completed,
            failed=figures.failed,
            cancelled=figures.cancelled,
            success_rate=figures.success_rate,
            average_seconds=figures.average_seconds,
            average_cost_usd=figures.average_cost,
            average_rating=figures.average_rating,
            ratings=figures.ratings,
            films=_films(figures.films),
            by_quality=[_films(one) for one in figures.by_quality],
            by_provider=[_films(one) for one in figures.by_provider],
        )

    return router


def _films(figures: FilmFigures) -> FilmStatistics:
    cost, seconds = figures.cost, figures.seconds
    return FilmStatistics(
        name=figures.name,
        films=figures.films,
        cost_usd=CostPercentiles(p50=cost.p50, p95=cost.p95) if cost else None,
        seconds=TimePercentiles(p50=seconds.p50, p95=seconds.p95) if seconds else None,
    )
