"""The query that tells the schedulers of a process what is due."""

import functools
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Select, case, exists, func, literal, select, union_all

from scene_render.models import Attempt, ProviderSlot, ProviderState, Render, VideoStanding
from shared.persistence.database import Database, now

SOON_SECONDS = 1.4
"""How far ahead the query looks."""

START, CHECK, TIME_LIMIT = "start", "check", "time limit"


@dataclass(frozen=True)
class Due:
    """What is due. `next_in`: seconds until more is due, if within `SOON_SECONDS`.

    `start`: providers with a waiting scene and a free slot. `check`: providers with attempts to check. `time_limits`:
    whether a time limit has passed.
    """

    start: set[str] = field(default_factory=set)
    check: set[str] = field(default_factory=set)
    time_limits: bool = False
    next_in: float | None = None


async def look(database: Database, providers: Iterable[str]) -> Due:
    """Return what is due, by one statement outside any transaction. Includes attempts at unconfigured providers.

    Raises:
        ConnectionError: the database did not answer in time.
    """
    found: dict[str, set[str]] = {START: set(), CHECK: set(), TIME_LIMIT: set()}
    next_in: float | None = None
    for what, provider, moment, clock in await database.autocommit_read(_query(tuple(sorted(providers))), {}):
        if moment is None:
            continue
        seconds = (moment - clock).total_seconds()
        if seconds <= 0:
            found[what].add(provider)
        else:
            next_in = seconds if next_in is None else min(next_in, seconds)
    return Due(found[START], found[CHECK], bool(found[TIME_LIMIT]), next_in)


@functools.cache
def _query(providers: tuple[str, ...]) -> Select[str, str, datetime | None, datetime]:
    """Return the statement. Each part reads only the beginning of an index, independent of the number of rows.

    It lists the providers because, with a GROUP BY, MariaDB would read all waiting rows.
    """
    soon = now(SOON_SECONDS)
    checks = (
        select(literal(CHECK).label("what"), Attempt.provider, func.min(Attempt.next_check_at).label("due_at"))
        .add_columns(now().label("clock"))
        .where(Attempt.next_check_at <= soon)
        .group_by(Attempt.provider)
    )

    def starts(provider: str) -> Select[Any]:
        waiting = (Render.state == "waiting", Render.provider == provider, Render.available_at <= soon)
        first = select(func.min(Render.available_at)).where(*waiting).scalar_subquery()
        open_until = select(ProviderState.open_until).where(ProviderState.provider == provider).scalar_subquery()
        slot = exists().where(ProviderSlot.provider == provider, ProviderSlot.attempt_id.is_(None))
        at = case((first.is_(None), None), (open_until > first, open_until), else_=first)
        return select(literal(START), literal(provider), at, now()).where(slot)

    def limit(column: Any, *where: Any) -> Select[Any]:  # noqa: ANN401 - columns
        return select(literal(TIME_LIMIT), literal(""), func.min(column), now()).where(column <= soon, *where)

    parts = union_all(
        checks,
        *map(starts, providers),
        limit(Render.give_up_at, Render.state == "waiting"),
        limit(Attempt.release_slot_at),
        limit(Attempt.pay_again_at),
        limit(VideoStanding.release_scenes_at),
    ).subquery()
    return select(parts.c.what, parts.c.provider, parts.c.due_at, parts.c.clock)
