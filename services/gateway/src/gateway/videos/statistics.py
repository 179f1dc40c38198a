"""Statistics: how many videos succeed, how long they take, what they cost and how they are rated."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import Double, case, func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ColumnElement

from gateway.models import Video
from shared.money.prices import UNIT
from shared.persistence.database import Database

N = TypeVar("N", Decimal, float)


class seconds_between(ColumnElement[float]):  # noqa: N801 - it reads as the SQL function it is
    """The SQL expression for the seconds between two moments."""

    inherit_cache = False
    type = Double()

    def __init__(self, begin: ColumnElement[Any], end: ColumnElement[Any]) -> None:
        self.begin = begin
        self.end = end


@compiles(seconds_between, "sqlite")
def _between_sqlite(element: seconds_between, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - theirs
    begin, end = (compiler.process(moment, **options) for moment in (element.begin, element.end))
    return f"((julianday({end}) - julianday({begin})) * 86400.0)"


@compiles(seconds_between, "mysql")
@compiles(seconds_between, "mariadb")
def _between_mysql(element: seconds_between, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - theirs
    begin, end = (compiler.process(moment, **options) for moment in (element.begin, element.end))
    return f"(TIMESTAMPDIFF(MICROSECOND, {begin}, {end}) / 1e6)"


MOST_FILMS = 10_000
"""Percentiles are those of the newest films, at most so many."""


@dataclass(frozen=True)
class Percentiles(Generic[N]):
    """The median and the 95th percentile: that many percent of the films are at or below."""

    p50: N
    p95: N


@dataclass(frozen=True)
class FilmFigures:
    """The spread of cost, in USD, and time, in seconds, of `films` films; None: no data. `name`: what they share."""

    name: str
    films: int
    cost: Percentiles[Decimal] | None
    seconds: Percentiles[float] | None


@dataclass(frozen=True)
class Figures:
    """Figures of the videos requested in a period; None: no data. Free previews do not count.

    `success_rate` is of those that were completed or failed, 0-1; `average_seconds` to a film, from its request or
    its last approval; `average_cost` of a film, in USD; `average_rating` 1-5, of `ratings` ratings. `films` are the
    percentiles of all films, then by tier and by provider.
    """

    requested: int
    completed: int
    failed: int
    cancelled: int
    success_rate: float | None
    average_seconds: float | None
    average_cost: Decimal | None
    average_rating: float | None
    ratings: int
    films: FilmFigures
    by_quality: Sequence[FilmFigures]
    by_provider: Sequence[FilmFigures]


class Statistics:
    """Computes figures of all videos, including deleted ones."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def figures(self, first: date, last: date, *, owner: str | None) -> Figures:
        """Return figures of the videos requested from the first day to the last (UTC), of one owner if given."""
        begin = datetime.combine(first, datetime.min.time())
        which = [Video.created_at >= begin, Video.animatic_of.is_(None)]
        if last < date.max:
            which.append(Video.created_at < datetime.combine(last + timedelta(days=1), datetime.min.time()))
        which += [Video.owner == owner] if owner is not None else []
        is_film = Video.status == "completed"
        seconds = seconds_between(func.coalesce(Video.approved_at, Video.created_at), Video.completed_at.expression)
        sums = select(
            func.count(),
            _count(is_film),
            _count(Video.status == "failed"),
            _count(Video.status == "cancelled"),
            func.avg(case((is_film, seconds))),
            func.avg(case((is_film & Video.simulated.is_(False), Video.cost_usd))),
            func.avg(Video.rating),
            func.count(Video.rating),
        ).where(*which)
        each = select(Video.quality, Video.renderer, Video.simulated, Video.cost_usd, seconds)
        newest = each.where(*which, is_film).order_by(Video.id.desc()).limit(MOST_FILMS)
        async with self.database.reading() as session:
            films = [_Film(*row) for row in (await session.execute(newest)).all()]
            requested, completed, failed, cancelled, took, cost, rating, ratings = (await session.execute(sums)).one()
        ended = completed + failed
        return Figures(
            requested=requested,
            completed=completed,
            failed=failed,
            cancelled=cancelled,
            success_rate=round(completed / ended, 4) if ended else None,
            average_seconds=round(max(float(took), 0.0), 1) if took is not None else None,
            average_cost=Decimal(str(cost)).quantize(UNIT) if cost is not None else None,
            average_rating=round(float(rating), 2) if rating is not None else None,
            ratings=ratings,
            films=_film_figures("all", films),
            by_quality=_grouped(films, lambda film: film.quality),
            by_provider=_grouped(films, lambda film: film.provider),
        )


class _Film(NamedTuple):
    quality: str
    provider: str
    simulated: bool
    cost: Decimal
    seconds: float | None


def _grouped(films: Sequence[_Film], name_of: Callable[[_Film], str]) -> Sequence[FilmFigures]:
    names = sorted({name_of(film) for film in films})
    return [_film_figures(name, [film for film in films if name_of(film) == name]) for name in names]


def _film_figures(name: str, films: Sequence[_Film]) -> FilmFigures:
    costs = [Decimal(str(film.cost)).quantize(UNIT) for film in films if not film.simulated]
    seconds = [round(max(float(film.seconds), 0.0), 1) for film in films if film.seconds is not None]
    return FilmFigures(name, len(films), percentiles(costs), percentiles(seconds))


def percentiles(values: Sequence[N]) -> Percentiles[N] | None:
    """Return the percentiles of values by their nearest rank; None: there are no values."""
    ranked = sorted(values)
    if not ranked:
        return None
    return Percentiles(*(ranked[math.ceil(share * len(ranked)) - 1] for share in (0.5, 0.95)))


def _count(which: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count(case((which, 1)))
