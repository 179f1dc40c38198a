"""Events that were saved with the work and wait to be sent.

A row is deleted only when the broker has confirmed its message. Rows with a later `available_at` are messages that
come back later: polls, and steps that wait.
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

from shared.database import Database, Moment, is_outage, now

log = structlog.get_logger()

BATCH = 50
LOOK_EVERY_SECONDS = 1.0
SEND_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 5.0


def outbox_table(metadata: MetaData) -> Table:
    """The outbox of a service, beside its own tables."""
    return Table(
        "outbox",
        metadata,
        Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
        Column("message_id", String(64), nullable=False),
        Column("name", String(100), nullable=False),
        Column("video_id", String(36), nullable=False),
        Column("headers", JSON, nullable=False),
        Column("body", Text(1_000_000), nullable=False),
        Column("attempts", Integer, nullable=False, default=0),
        Column("available_at", Moment, nullable=False, index=True),
        Column("created_at", Moment, nullable=False),
    )


@dataclass(frozen=True)
class Letter:
    """An event on its way: what the broker, or the embedded dispatcher, carries."""

    message_id: str
    name: str
    video_id: str
    headers: dict[str, str]
    body: str


def letter(row: Row[Any]) -> Letter:
    """The letter of an outbox row."""
    return Letter(row.message_id, row.name, row.video_id, row.headers, row.body)


class Relay:
    """Sends the outbox of one database: woken by each commit, and looking every second by itself.

    Any number of relays may run on one outbox; each row is sent by one of them. `send` returns when the message is
    safe, and raises when it is not.
    """

    def __init__(self, database: Database, send: Callable[[Letter], Awaitable[None]]) -> None:
        self.database = database
        self.outbox = database.metadata.tables["outbox"]
        self.send = send
        self.passed_at = time.monotonic()

    def silent_seconds(self) -> float:
        """How long ago the relay last went through what was due."""
        return time.monotonic() - self.passed_at

    async def run(self) -> None:
        """Send for ever."""
        self.passed_at = time.monotonic()
        pause = 0.0
        while True:
            self.database.committed.clear()
            try:
                sent, failed = await self.send_due()
                self.passed_at = time.monotonic()
                until_next = 0.0 if failed or sent == BATCH else await self._until_next()
            except Exception as error:
                if not is_outage(error):
                    raise
                log.warning("outbox.unreachable", error=str(error))
                failed = True
            if failed:
                pause = min(max(pause * 2, 0.2), LONGEST_PAUSE_SECONDS)
                await asyncio.sleep(pause)
                continue
            pause = 0.0
            if until_next:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(until_next):
                        await self.database.committed.wait()

    async def send_due(self) -> tuple[int, bool]:
        """Send what is due, at most one batch. Returns how many were sent, and whether any could not be."""
        outbox = self.outbox
        async with self.database.sessions.begin() as session:
            due = select(outbox).where(outbox.c.available_at <= now()).order_by(outbox.c.available_at, outbox.c.id)
            rows = (await session.execute(due.limit(BATCH).with_for_update(skip_locked=True))).all()
            if not rows:
                return 0, False
            by_video: dict[str, list[Row[Any]]] = {}
            for row in rows:
                by_video.setdefault(row.video_id, []).append(row)
            results = await asyncio.gather(*(self._send_in_order(of_one) for of_one in by_video.values()))
            outcomes = [outcome for of_one in results for outcome in of_one]
            sent = [{"sent_id": row.id} for row, error in outcomes if error is None]
            await self._forget(session, sent)
            for row, error in outcomes:
                if error is not None:
                    await self._put_off(session, row, error)
            return len(sent), len(sent) < len(rows)

    async def _send_in_order(self, rows: list[Row[Any]]) -> list[tuple[Row[Any], Exception | None]]:
        """Send the events of one video, one after the other. Returns each with what went wrong with it."""
        outcomes: list[tuple[Row[Any], Exception | None]] = []
        for row in rows:
            try:
                # A blocked connection ignores the client's own time limit.
                async with asyncio.timeout(SEND_SECONDS):
                    await self.send(letter(row))
            except Exception as error:  # noqa: BLE001 - whatever it is, the row stays
                outcomes.append((row, error))
            else:
                outcomes.append((row, None))
        return outcomes

    async def _forget(self, session: AsyncSession, sent: list[dict[str, int]]) -> None:
        if sent:
            # One by one: a list of ids would scan, and deadlock with other relays.
            statement = delete(self.outbox).where(self.outbox.c.id == bindparam("sent_id"))
            await (await session.connection()).execute(statement, sent)

    async def _put_off(self, session: AsyncSession, row: Row[Any], error: Exception) -> None:
        log.warning("outbox.not_sent", event_name=row.name, video_id=row.video_id, error=repr(error))
        later = now(min(0.2 * 2 ** min(row.attempts, 10), LONGEST_PAUSE_SECONDS))
        values = {"attempts": row.attempts + 1, "available_at": later}
        await session.execute(self.outbox.update().where(self.outbox.c.id == row.id).values(values))

    async def _until_next(self) -> float:
        """Seconds until a row becomes due, at most the usual pause."""
        outbox = self.outbox
        async with self.database.reading() as session:
            soon = outbox.c.available_at <= now(LOOK_EVERY_SECONDS)
            first = select(func.min(outbox.c.available_at), now()).where(soon)
            due, clock = (await session.execute(first)).one()
        if due is None:
            return LOOK_EVERY_SECONDS
        return max(float((due - clock).total_seconds()), 0.001)
