"""How much money may be spent: by one video, by one owner in a day, by all in a day.

Rows hold it, over all replicas: a reservation is one conditional UPDATE in the transaction of what it is for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, Column, CursorResult, MetaData, String, Table, select, update
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from shared.money.prices import UNIT
from shared.persistence.database import Moment, identifier, now

# SQLite would add fractions as floats.


ALL = "all"
"""The scope of the budget of all owners together."""
SIMULATED = "simulated "
"""Begins the scope of a budget whose money is not real."""


def budget_table(metadata: MetaData) -> Table:
    """What is used of each budget, beside a service's own tables. `used` counts `UNIT`s."""
    return Table(
        "budgets",
        metadata,
        Column("scope", identifier(300), primary_key=True),
        Column("day", String(10), primary_key=True),
        Column("used", BigInteger, nullable=False),
        Column("opened_at", Moment, nullable=True, index=True),
    )


@dataclass(frozen=True)
class Budget:
    """One budget: `cap` USD for `scope` on `day` (ISO date in UTC; empty: for ever). None: no cap."""

    scope: str
    day: str
    cap: Decimal | None

    @property
    def name(self) -> str:
        """What people call it."""
        scope = self.scope.removeprefix(SIMULATED)
        kind, _, who = scope.partition(":")
        name = {
            "all": "all videos today",
            "owner": f"{who} today",
            "video": "one video",
            "again": "repeated attempts today",
        }[kind]
        return name if scope == self.scope else f"{name} (simulated money)"


@dataclass(frozen=True)
class Caps:
    """The caps in USD; None where there is none."""

    video: Decimal | None
    owner_day: Decimal | None
    day: Decimal | None

    def budgets(self, video_id: object, owner: str, day: str, *, simulated: bool = False) -> tuple[Budget, ...]:
        """The budgets that pay for something of this video on this day, in the order they are locked in.

        The one that most wait for is the last, so that it is held for the shortest time. Simulated money has budgets of
        its own, with the same caps.
        """
        mark = SIMULATED if simulated else ""
        return (
            Budget(f"{mark}video:{video_id}", "", self.video),
            Budget(f"{mark}owner:{owner}", day, self.owner_day),
            Budget(f"{mark}{ALL}", day, self.day),
        )


UNCAPPED = Caps(None, None, None)
"""For money that is spent already: it is counted, whatever the caps are."""


class BudgetExceeded(Exception):
    """The money is not there. All amounts in USD."""

    def __init__(self, budget: Budget, wanted: Decimal, used: Decimal) -> None:
        cap = budget.cap or Decimal(0)
        left = max(cap - used, Decimal(0))
        super().__init__(
            f"Budget exceeded: {_shown(wanted)} required, {_shown(left)} of {_shown(cap)} left for {budget.name}."
        )
        self.budget = budget
        self.wanted = wanted
        self.used = used


def _shown(usd: Decimal) -> str:
    """In whole cents; less than one, as what a language model takes, to the last decimal."""
    return f"${usd:.2f}" if usd >= Decimal("0.01") or not usd else f"${usd.normalize():f}"


async def today(session: AsyncSession) -> str:
    """The date in UTC on the database's clock, as ISO."""
    return (await session.execute(select(now()))).scalar_one().date().isoformat()


async def check(session: AsyncSession, table: Table, budgets: Sequence[Budget], amount: Decimal) -> None:
    """Look whether `amount` USD fit into all these budgets now, without a lock: most refusals need none.

    Raises:
        BudgetExceeded: it does not fit into one of them.
    """
    for budget in budgets:
        if budget.cap is not None and (taken := await used(session, table, budget)) + amount > budget.cap:
            raise BudgetExceeded(budget, amount, taken)


async def reserve(session: AsyncSession, table: Table, budgets: Sequence[Budget], amount: Decimal) -> None:
    """Take `amount` USD from all these budgets, or from none. They stay locked until the transaction ends.

    Raises:
        BudgetExceeded: it does not fit into one of them; nothing was taken.
    """
    async with session.begin_nested():
        for budget in budgets:
            if not await _add(session, table, budget, amount):
                await _open(session, table, budget)
                if not await _add(session, table, budget, amount):
                    raise BudgetExceeded(budget, amount, await used(session, table, budget))


async def adjust(session: AsyncSession, table: Table, budgets: Sequence[Budget], difference: Decimal) -> None:
    """Correct what was taken, by USD more or less: it was spent, whatever the cap is."""
    for budget in budgets:
        uncapped = Budget(budget.scope, budget.day, None)
        if difference and not await _add(session, table, uncapped, difference):
            await _open(session, table, budget)
            await _add(session, table, uncapped, difference)


async def used(session: AsyncSession, table: Table, budget: Budget) -> Decimal:
    """How much of a budget is used, in USD."""
    row = select(table.c.used).where(table.c.scope == budget.scope, table.c.day == budget.day)
    return ((await session.execute(row)).scalar_one_or_none() or 0) * UNIT


async def _add(session: AsyncSession, table: Table, budget: Budget, amount: Decimal) -> bool:
    units = _units(amount)
    change = update(table).where(table.c.scope == budget.scope, table.c.day == budget.day)
    if budget.cap is not None:
        change = change.where(table.c.used + units <= _units(budget.cap))
    result: Any = await session.execute(change.values(used=table.c.used + units))
    assert isinstance(result, CursorResult)  # noqa: S101 - for the type checker
    return result.rowcount == 1


async def _open(session: AsyncSession, table: Table, budget: Budget) -> None:
    """Have a row for this budget, if there is none yet."""
    row = {"scope": budget.scope, "day": budget.day, "used": 0, "opened_at": now()}
    if session.get_bind().dialect.name == "sqlite":
        await session.execute(sqlite.insert(table).values(row).on_conflict_do_nothing())
    else:
        # A plain insert that comes too late keeps a shared lock; two who then want to write would block each other.
        await session.execute(mysql.insert(table).values(row).on_duplicate_key_update(used=table.c.used))


def _units(amount: Decimal) -> int:
    return int((amount / UNIT).to_integral_value())
