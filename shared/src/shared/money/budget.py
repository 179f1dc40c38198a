"""How much money may be spent: per video, per owner and day, and per day.

Budgets are rows, shared by all replicas: a reservation is one conditional UPDATE in the transaction that spends it.
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
"""Prefix of the scope of a budget of simulated money."""


def budget_table(metadata: MetaData) -> Table:
    """Return the table of used budgets, which is added to a service's own tables. `used` counts `UNIT`s."""
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
    """One budget: `cap` USD for `scope` on `day` (ISO date in UTC; empty: no day). None: no cap."""

    scope: str
    day: str
    cap: Decimal | None

    @property
    def name(self) -> str:
        """The name in error messages."""
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
    """The caps in USD; None: no cap."""

    video: Decimal | None
    owner_day: Decimal | None
    day: Decimal | None

    def budgets(self, video_id: object, owner: str, day: str, *, simulated: bool = False) -> tuple[Budget, ...]:
        """Return the budgets that pay for this video on this day, in locking order.

        The most contended budget is last, so that it is locked for the shortest time. Simulated money has budgets of
        its own, with the same caps.
        """
        mark = SIMULATED if simulated else ""
        return (
            Budget(f"{mark}video:{video_id}", "", self.video),
            Budget(f"{mark}owner:{owner}", day, self.owner_day),
            Budget(f"{mark}{ALL}", day, self.day),
        )


UNCAPPED = Caps(None, None, None)
"""For money that is already spent: it is counted regardless of caps."""


class BudgetExceeded(Exception):
    """A budget is too small. All amounts are in USD."""

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
    """Format USD in whole cents, and less than one cent (such as a language model's cost) with all decimals."""
    return f"${usd:.2f}" if usd >= Decimal("0.01") or not usd else f"${usd.normalize():f}"


async def today(session: AsyncSession) -> str:
    """Return the UTC date on the database's clock, as ISO."""
    return (await session.execute(select(now()))).scalar_one().date().isoformat()


async def check(session: AsyncSession, table: Table, budgets: Sequence[Budget], amount: Decimal) -> None:
    """Check without a lock whether `amount` USD fit into all these budgets now: most refusals need no lock.

    Raises:
        BudgetExceeded: it does not fit into one of them.
    """
    for budget in budgets:
        if budget.cap is not None and (taken := await used(session, table, budget)) + amount > budget.cap:
            raise BudgetExceeded(budget, amount, taken)


async def reserve(session: AsyncSession, table: Table, budgets: Sequence[Budget], amount: Decimal) -> None:
    """Reserve `amount` USD in all these budgets, or in none. They stay locked until the transaction ends.

    Raises:
        BudgetExceeded: it does not fit into one of them; nothing was reserved.
    """
    async with session.begin_nested():
        for budget in budgets:
            if not await _add(session, table, budget, amount):
                await _open(session, table, budget)
                if not await _add(session, table, budget, amount):
                    raise BudgetExceeded(budget, amount, await used(session, table, budget))


async def adjust(session: AsyncSession, table: Table, budgets: Sequence[Budget], difference: Decimal) -> None:
    """Add a positive or negative difference in USD, regardless of caps: the money is already spent."""
    for budget in budgets:
        uncapped = Budget(budget.scope, budget.day, None)
        if difference and not await _add(session, table, uncapped, difference):
            await _open(session, table, budget)
            await _add(session, table, uncapped, difference)


async def used(session: AsyncSession, table: Table, budget: Budget) -> Decimal:
    """Return how much of a budget is used, in USD."""
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
    """Insert the row of this budget if it does not exist yet."""
    row = {"scope": budget.scope, "day": budget.day, "used": 0, "opened_at": now()}
    if session.get_bind().dialect.name == "sqlite":
        await session.execute(sqlite.insert(table).values(row).on_conflict_do_nothing())
    else:
        # A plain insert of an existing key keeps a shared lock; two transactions that then write would deadlock.
        await session.execute(mysql.insert(table).values(row).on_duplicate_key_update(used=table.c.used))


def _units(amount: Decimal) -> int:
    return int((amount / UNIT).to_integral_value())
