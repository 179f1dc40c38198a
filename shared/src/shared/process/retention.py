"""How long data is kept: each service has a table of policies, and one background task applies them.

Amounts of money are never removed: ledgers keep their rows and amounts, and lose only their texts.
"""

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Column, ColumnElement, MetaData, Table, bindparam, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from shared import telemetry
from shared.persistence.database import Database, is_outage, now
from shared.process.supervisor import Background
from shared.storage.work_folder import YOUNGEST_SECONDS, sweep_work_folders

log = structlog.get_logger()

Field = Column[Any] | InstrumentedAttribute[Any]
DAY_SECONDS = 86_400.0
HOUR_SECONDS = 3600.0
BATCH = 500
INBOX_DAYS = 14
"""Longer than any dead letter waits for its redrive."""
OUTBOX_DAYS = 30
"""A message that could not be sent for this long is given up."""
BUDGET_DAYS = 90
"""Only today's budgets limit spending. A video that is resumed later than this starts with a new budget."""
SWEEP_SECONDS = 600.0
"""The pause between two sweeps of the files that killed processes have left."""


@dataclass(frozen=True)
class Policy:
    """Remove data of one kind once it is `days` old.

    `remove` takes the age in seconds and the maximum number to remove at once, and returns how many it removed.
    `every`: the pause between two passes, in seconds.
    """

    what: str
    days: float
    remove: Callable[[Database, float, int], Awaitable[int]]
    batch: int = BATCH
    every: float = HOUR_SECONDS


@dataclass(frozen=True)
class Rows:
    """Delete the rows that match `which` and have an old `at`; with `blank`, only overwrite these columns.

    Rows are found by the index of `at` and changed by primary key, so that other transactions need not wait.
    """

    at: Field
    which: Sequence[ColumnElement[bool]] = ()
    blank: Mapping[Any, Any] = field(default_factory=dict)

    async def __call__(self, database: Database, seconds: float, batch: int) -> int:
        """Change one batch. Rows that another transaction has locked are left for the next pass."""
        at = _column(self.at)
        table = at.table
        assert isinstance(table, Table)  # noqa: S101 - for the type checker
        keys = {f"key_{number}": column for number, column in enumerate(table.primary_key)}
        old = select(*(column.label(name) for name, column in keys.items())).where(at < now(-seconds), *self.which)
        one = [column == bindparam(name) for name, column in keys.items()]
        blank = {_column(column): value for column, value in self.blank.items()}
        if blank:
            old = old.where(or_(*(column.is_distinct_from(value) for column, value in blank.items())))
        change = table.update().values(blank).where(*one) if blank else table.delete().where(*one)
        async with database.sessions.begin() as session:
            query = old.order_by(at).limit(batch).with_for_update(skip_locked=True)
            found = [dict(row) for row in (await session.execute(query)).mappings()]
            if found:
                # One by one: a list of keys causes a table scan, and deadlocks with other transactions.
                await (await session.connection()).execute(change, found)
        return len(found)


def of_every_service(metadata: MetaData) -> tuple[Policy, ...]:
    """Return the policies for the tables that services have in common."""
    tables = metadata.tables
    found = []
    if "inbox" in tables:
        found.append(Policy("inbox", INBOX_DAYS, Rows(tables["inbox"].c.handled_at)))
    if "outbox" in tables:
        # A row without a send attempt may still be waiting for its due time.
        outbox = tables["outbox"].c
        found.append(Policy("outbox", OUTBOX_DAYS, Rows(outbox.created_at, [outbox.attempts > 0])))
    if "budgets" in tables:
        found.append(Policy("budgets", BUDGET_DAYS, Rows(tables["budgets"].c.opened_at)))
    return tuple(found)


def leftovers(work_folders: Path | None, sweep_storage: Callable[[], Awaitable[int]]) -> Policy:
    """Return the policy for what killed processes left in `work_folders` and partly written in the storage."""

    async def remove(_database: Database, _seconds: float, _batch: int) -> int:
        return await sweep_work_folders(work_folders) + await sweep_storage()

    days = YOUNGEST_SECONDS / DAY_SECONDS
    return Policy("work folders", days, remove, batch=sys.maxsize, every=SWEEP_SECONDS)


class Retention:
    """Apply the policies of one service. A failed policy is logged, counted and retried; the others continue."""

    def __init__(self, service: str, database: Database, policies: Sequence[Policy]) -> None:
        self.service = service
        self.database = database
        self.policies = (*policies, *of_every_service(database.metadata))

    @property
    def background(self) -> Background:
        """The task that applies all policies at the start, and then each one at its interval."""
        return Background("retention", self._run)

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        due = dict.fromkeys(range(len(self.policies)), clock())
        while due:
            for number, policy in enumerate(self.policies):
                if due[number] <= clock():
                    await self.carry_out(policy)
                    due[number] = clock() + policy.every
            await asyncio.sleep(max(min(due.values()) - clock(), 0.0))
        await asyncio.Event().wait()

    async def pass_once(self) -> dict[str, int]:
        """Apply all policies now. Return how much each one removed."""
        return {policy.what: await self.carry_out(policy) for policy in self.policies}

    async def carry_out(self, policy: Policy) -> int:
        """Remove everything that is too old, batch by batch. Return how much that was."""
        removed = 0
        with self._counted(policy):
            while True:
                batch = await policy.remove(self.database, policy.days * DAY_SECONDS, policy.batch)
                removed += batch
                telemetry.RETENTION_REMOVED.labels(self.service, policy.what).inc(batch)
                if batch < policy.batch:
                    break
        if removed:
            log.info("retention.removed", what=policy.what, count=removed)
        return removed

    @contextlib.contextmanager
    def _counted(self, policy: Policy) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the other policies continue
            telemetry.RETENTION_ERRORS.labels(self.service, policy.what).inc()
            log_failure = log.warning if is_outage(error) else log.error
            log_failure("retention.failed", what=policy.what, error=repr(error))


def _column(of: Field) -> Column[Any]:
    column = of if isinstance(of, Column) else of.property.columns[0]
    assert isinstance(column, Column)  # noqa: S101 - for the type checker
    return column
