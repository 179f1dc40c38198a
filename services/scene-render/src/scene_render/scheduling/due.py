"""The one look at the database by which the schedulers of a process learn what is due."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, case, exists, func, literal, select, union_all

from scene_render.models import Attempt, ProviderSlot, ProviderState, Render, VideoStanding
from shared.persistence.database import Database, now

SOON_SECONDS = 1.4
"""How far ahead the look sees."""

START, FULL, CHECK, SWEEP = "start", "full", "check", "sweep"


@dataclass(frozen=True)
class Due:
    """What is due: by provider, or for all. `next_in`: seconds until more is, if that is soon.

    `start`: scenes wait and a slot is free. `full`: scenes wait and no slot is free. `check`: attempts are to be
    looked at. `sweep`: time limits are over.
    """

    start: set[str] = field(default_factory=set)
    full: set[str] = field(default_factory=set)
    check: set[str] = field(default_factory=set)
    sweep: bool = False
    next_in: float | None = None


async def look(database: Database) -> Due:
    """Look what is due: one statement, outside any transaction.

    Raises:
        ConnectionError: the database has not answered in time.
    """
    found: dict[str, set[str]] = {START: set(), FULL: set(), CHECK: set(), SWEEP: set()}
    next_in: float | None = None
    for what, provider, moment, clock in await database.autocommit_read(QUERY, {}):
        if moment is None:
            continue
        seconds = (moment - clock).total_seconds()
        if seconds <= 0:
            found[what].add(provider)
        else:
            next_in = seconds if next_in is None else min(next_in, seconds)
    return Due(found[START], found[FULL], found[CHECK], bool(found[SWEEP]), next_in)


def _query() -> Select[str, str, datetime | None, datetime]:
    """Every part of it reads the beginning of an index, however many rows there are."""
    soon = now(SOON_SECONDS)
    first = func.min(Render.available_at).label("first")
    waiting = select(Render.provider, first).where(Render.state == "waiting").group_by(Render.provider).subquery()
    free = exists().where(ProviderSlot.provider == waiting.c.provider, ProviderSlot.attempt_id.is_(None))
    resting = and_(ProviderState.parked_until.is_not(None), ProviderState.parked_until > waiting.c.first)
    starts = (
        select(
            case((free, literal(START)), else_=literal(FULL)).label("what"),
            waiting.c.provider,
            case((resting, ProviderState.parked_until), else_=waiting.c.first).label("due_at"),
            now().label("clock"),
        )
        .select_from(waiting.outerjoin(ProviderState, ProviderState.provider == waiting.c.provider))
        .where(waiting.c.first <= soon)
    )
    checks = (
        select(literal(CHECK), Attempt.provider, func.min(Attempt.next_check_at), now())
        .where(Attempt.next_check_at <= soon)
        .group_by(Attempt.provider)
    )

    def limit(column: Any, *where: Any) -> Select[Any]:  # noqa: ANN401 - columns
        return select(literal(SWEEP), literal(""), func.min(column), now()).where(column <= soon, *where)

    parts = union_all(
        starts,
        checks,
        limit(Render.give_up_at, Render.state == "waiting"),
        limit(Attempt.release_slot_at),
        limit(Attempt.pay_again_at),
        limit(VideoStanding.release_scenes_at),
    ).subquery()
    return select(parts.c.what, parts.c.provider, parts.c.due_at, parts.c.clock)


QUERY = _query()
