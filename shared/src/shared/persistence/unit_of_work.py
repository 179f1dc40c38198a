"""One message, one transaction: the inbox mark, the rows and the outgoing events are saved atomically."""

import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

from sqlalchemy import bindparam, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from shared import telemetry
from shared.contracts.messages import Message
from shared.persistence.database import Database, now
from shared.persistence.inbox import AlreadyHandled, InboxKey


class UnitOfWork:
    """One transaction: rows go through `session`, messages through `emit`.

    `before_commit` runs last, for rows that many transactions lock; if it raises, everything is rolled back.
    `afterwards` runs after the commit, unless the process crashes first.
    """

    def __init__(self, database: Database, session: AsyncSession) -> None:
        self.database = database
        self.session = session
        self.before_commit: list[Callable[[], Awaitable[None]]] = []
        self.afterwards: list[Callable[[], None]] = []
        self.has_emitted = False

    async def emit(self, event: Message, *, after: float = 0.0, message_id: str | None = None) -> None:
        """Save a message that is sent `after` seconds after this transaction is committed.

        With a derived `message_id`, consumers drop a message that is emitted twice.
        """
        row = {
            "message_id": message_id or str(uuid.uuid4()),
            "name": event.name,
            "ordering_key": event.ordering_key,
            "headers": telemetry.trace_headers(),
            "body": event.model_dump_json(),
            "available_at": now(after),
            "created_at": now(),
        }
        await self.session.execute(insert(self.database.metadata.tables["outbox"]).values(row))
        self.has_emitted = True


@contextlib.asynccontextmanager
async def transaction(database: Database) -> AsyncIterator[UnitOfWork]:
    """Open a transaction that does not belong to a message."""
    async with database.sessions.begin() as session:
        work = UnitOfWork(database, session)
        yield work
        await session.flush()
        for act in work.before_commit:
            await act()
    database.changed.set()
    if work.has_emitted:
        database.committed.set()
    for tell in work.afterwards:
        tell()


@contextlib.asynccontextmanager
async def idempotent_transaction(database: Database, delivery: InboxKey) -> AsyncIterator[UnitOfWork]:
    """Open the transaction that completes a message.

    Raises:
        AlreadyHandled: another delivery of the message has committed; nothing is changed.
    """
    async with transaction(database) as work:
        inbox = database.metadata.tables["inbox"]
        mark = {"consumer": delivery.consumer, "message_id": delivery.message_id, "handled_at": now()}
        try:
            await work.session.execute(insert(inbox).values(mark))
        except IntegrityError as error:
            raise AlreadyHandled from error
        yield work


async def has_handled(database: Database, delivery: InboxKey) -> bool:
    """Return whether this message was handled before, and its slow work can be skipped."""
    inbox = database.metadata.tables["inbox"]
    mark = select(inbox.c.message_id).where(
        inbox.c.consumer == bindparam("consumer"), inbox.c.message_id == bindparam("message_id")
    )
    found = await database.autocommit_read(mark, {"consumer": delivery.consumer, "message_id": delivery.message_id})
    return bool(found)
