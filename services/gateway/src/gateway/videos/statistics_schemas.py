"""Statistics as the REST API shows them."""

from decimal import Decimal

from pydantic import Field

from gateway.http.resource import Resource


class CostPercentiles(Resource):
    """The median and the 95th percentile of amounts, in USD."""

    p50: Decimal
    p95: Decimal


class TimePercentiles(Resource):
    """The median and the 95th percentile of durations, in seconds."""

    p50: float
    p95: float


class FilmStatistics(Resource):
    """What films cost and how long they took; null: no data. Only real money counts."""

    name: str = Field(description="A tier or a provider; `all`: all films")
    films: int
    cost_usd: CostPercentiles | None
    seconds: TimePercentiles | None


class StatisticsResource(Resource):
    """Figures of the videos requested in a period; null: no data. Free previews do not count."""

    requested: int
    completed: int
    failed: int
    cancelled: int
    success_rate: float | None = Field(description="Of those that were completed or failed, 0-1")
    average_seconds: float | None = Field(description="From the request, or the approval, to the film")
    average_cost_usd: Decimal | None = Field(description="Of a film")
    average_rating: float | None = Field(description="1-5")
    ratings: int
    films: FilmStatistics
    by_quality: list[FilmStatistics]
    by_provider: list[FilmStatistics]
