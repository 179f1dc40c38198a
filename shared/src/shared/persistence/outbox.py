"""The outbox: messages that are saved with the rows of a transaction, and sent afterwards.

A row is deleted only when the broker has confirmed its message. A row with a later `available_at` is sent at that time.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import structlog
from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    Text,
    bindparam,
    delete,
    func,
    select,
)
from sqlalchemy.ext.asyncio import AsyncSession

from shared.persistence.database import Database, Moment, is_outage, now

log = structlog.get_logger()

BATCH = 50
LOOK_EVERY_SECONDS = 1.0
SEND_SECONDS = 10.0
OVERTAKEN_AFTER_SECONDS = 1.0
"""A batch that takes longer contains a message that hangs; the next batch starts without waiting for it."""
BATCHES_AT_ONCE = 4
WHILE_LOCKED_SECONDS = 0.1
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
LONGEST_REFUSED_SECONDS = 60.0
"""The longest pause between attempts while the broker answers and refuses the message."""


def outbox_table(metadata: MetaData) -> Table:
    """Return the outbox table of a service."""
    return Table(
        "outbox",
        metadata,
        Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
        Column("message_id", String(64), nullable=False),
        Column("name", String(100), nullable=False),
        # The column has the name of its first use, when every message was about a video.
        Column("video_id", String(36), key="ordering_key", nullable=False),
        Column("headers", JSON, nullable=False),
        Column("body", Text(1_000_000), nullable=False),
        Column("attempts", Integer, nullable=False, default=0),
        Column("available_at", Moment, nullable=False, index=True),
        Column("created_at", Moment, nullable=False),
    )


@dataclass(frozen=True)
class OutboxMessage:
    """A message as the broker or the embedded dispatcher gets it."""

    message_id: str
    name: str
    ordering_key: str
    headers: dict[str, str]
    body: str


def outbox_message(row: Row[Any]) -> OutboxMessage:
    """Return the message of an outbox row."""
    return OutboxMessage(row.message_id, row.name, row.ordering_key, row.headers, row.body)


@dataclass(frozen=True)
class Batch:
    """The result of one batch: how many rows were due, were sent, and failed because the broker is unreachable."""

    due: int = 0
    sent: int = 0
    away: int = 0

    @property
    def broker_is_away(self) -> bool:
        """Whether all messages failed because there is no connection."""
        return 0 < self.due == self.away


AWAY = Batch(due=1, away=1)


class Relay:
    """Sends the outbox of one database: woken by each commit, and looking every second by itself.

    Any number of relays may run on one outbox; each row is sent by one of them. `send` returns when the message is
    safe, and raises when it is not. A message that is refused, or that hangs, delays only itself.
    """

    def __init__(self, database: Database, send: Callable[[OutboxMessage], Awaitable[None]]) -> None:
        self.database = database
        self.outbox = database.metadata.tables["outbox"]
        self.send = send
        self.passed_at = time.monotonic()

    def silent_seconds(self) -> float:
        """Return how many seconds ago the last batch was finished."""
        return time.monotonic() - self.passed_at

    async def run(self) -> None:
        """Send until cancelled."""
        self.passed_at = time.monotonic()
        pause = 0.0
        running: set[asyncio.Task[Batch]] = set()
        async with asyncio.TaskGroup() as batches:
            while True:
                self.database.committed.clear()
                batch = batches.create_task(self._send_batch())
                running.add(batch)
                await asyncio.wait({batch}, timeout=OVERTAKEN_AFTER_SECONDS)
                if len(running) == BATCHES_AT_ONCE:
                    await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                running = {one for one in running if not one.done()}
                if batch in running:
                    continue
                if batch.result().broker_is_away:
                    pause = min(max(pause * 2, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
                    await asyncio.sleep(pause)
                    continue
                pause = 0.0
                if batch.result().due < BATCH:
                    await self._wait_for_next()

    async def _send_batch(self) -> Batch:
        try:
            batch = await self.send_due()
        except Exception as error:
            if not is_outage(error):
                raise
            log.warning("outbox.unreachable", error=str(error))
            return AWAY
        self.passed_at = time.monotonic()
        return batch

    async def _wait_for_next(self) -> None:
        """Wait for a commit, or until a row is due. As long as none is, that is all that is looked at."""
        while not self.database.committed.is_set():
            try:
                seconds = await self._until_next()
            except Exception as error:
                if not is_outage(error):
                    raise
                seconds = LOOK_EVERY_SECONDS
            else:
                self.passed_at = time.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_SECONDS if seconds is None else seconds):
                    await self.database.committed.wait()
            if seconds is not None:
                return

    async def send_due(self) -> Batch:
        """Send the rows that are due, at most one batch."""
        outbox = self.outbox
        async with self.database.sessions.begin() as session:
            due = select(outbox).where(outbox.c.available_at <= now()).order_by(outbox.c.available_at, outbox.c.id)
            rows = (await session.execute(due.limit(BATCH).with_for_update(skip_locked=True))).all()
            if not rows:
                return Batch()
            by_key: dict[str, list[Row[Any]]] = {}
            for row in rows:
                by_key.setdefault(row.ordering_key, []).append(row)
            results = await asyncio.gather(*(self._send_in_order(of_one) for of_one in by_key.values()))
            outcomes = [outcome for of_one in results for outcome in of_one]
            sent = [{"sent_id": row.id} for row, error in outcomes if error is None]
            await self._forget(session, sent)
            failed = [(row, error) for row, error in outcomes if error is not None]
            for row, error in failed:
                await self._defer(session, row, error)
        _report(failed)
        return Batch(len(rows), len(sent), sum(isinstance(error, ConnectionError) for _, error in failed))

    async def _send_in_order(self, rows: list[Row[Any]]) -> list[tuple[Row[Any], Exception | None]]:
        """Send the messages of one key in order. Return each with its error, if it failed.

        After a message that hangs, the rest is left to the next batch, so that this one ends in time.
        """
        outcomes: list[tuple[Row[Any], Exception | None]] = []
        for row in rows:
            try:
                # On a blocked connection the time limit of the client does not work.
                async with asyncio.timeout(SEND_SECONDS):
                    await self.send(outbox_message(row))
            except TimeoutError as error:
                return [*outcomes, (row, error)]
            except Exception as error:  # noqa: BLE001 - the row stays after any error
                outcomes.append((row, error))
            else:
                outcomes.append((row, None))
        return outcomes

    async def _forget(self, session: AsyncSession, sent: list[dict[str, int]]) -> None:
        if sent:
            # One by one: with a list of ids MySQL scans, and deadlocks with other relays.
            statement = delete(self.outbox).where(self.outbox.c.id == bindparam("sent_id"))
            await (await session.connection()).execute(statement, sent)

    async def _defer(self, session: AsyncSession, row: Row[Any], error: Exception) -> None:
        is_away = isinstance(error, ConnectionError | TimeoutError)
        longest = LONGEST_PAUSE_SECONDS if is_away else LONGEST_REFUSED_SECONDS
        later = min(FIRST_PAUSE_SECONDS * 2 ** min(row.attempts, 10), longest)
        values = {"attempts": row.attempts + 1, "available_at": now(later)}
        await session.execute(self.outbox.update().where(self.outbox.c.id == row.id).values(values))

    async def _until_next(self) -> float | None:
        """Return the seconds until a row becomes due; None: none does soon."""
        outbox = self.outbox
        soon = outbox.c.available_at <= now(LOOK_EVERY_SECONDS)
        [(due, clock)] = await self.database.autocommit_read(
            select(func.min(outbox.c.available_at), now()).where(soon), {}
        )
        if due is None:
            return None
        seconds = float((due - clock).total_seconds())
        # A row that is due and was not in the batch is locked by another relay.
        return seconds if seconds > 0 else WHILE_LOCKED_SECONDS


def _report(failed: list[tuple[Row[Any], Exception]]) -> None:
    """Log what could not be sent: once per kind of message and error, with the row that has been tried most often."""
    groups: dict[tuple[str, str], list[Row[Any]]] = {}
    for row, error in failed:
        groups.setdefault((row.name, repr(error)), []).append(row)
    for (name, error_text), rows in groups.items():
        oldest = max(rows, key=lambda row: row.attempts)
        log.warning(
            "outbox.not_sent",
            event_name=name,
            error=error_text,
            rows=len(rows),
            ordering_key=oldest.ordering_key,
            attempts=oldest.attempts + 1,
        )
