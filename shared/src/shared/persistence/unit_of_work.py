"""One message, one transaction: the inbox mark, the rows and the outgoing events are saved together or not at all."""

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
    """What one transaction saves: rows through `session`, events through `emit`.

    `before_commit` is called when all else is done, to change rows that everybody waits for; what it raises undoes the
    transaction. `afterwards` is called once it is saved; a crash may be faster.
    """

    def __init__(self, database: Database, session: AsyncSession) -> None:
        self.database = database
        self.session = session
        self.before_commit: list[Callable[[], Awaitable[None]]] = []
        self.afterwards: list[Callable[[], None]] = []
        self.has_emitted = False

    async def emit(self, event: Message, *, after: float = 0.0, message_id: str | None = None) -> None:
        """Save a message to be sent once this transaction is committed, `after` seconds later.

        A derived `message_id` makes a message that may be sent twice count once.
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
    """A transaction of our own accord, that no message asked for."""
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
    """The transaction that ends a message.

    Raises:
        AlreadyHandled: another delivery of the same message was faster; nothing was changed.
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
    """Whether this message was handled before, so that its slow work need not be done again."""
    inbox = database.metadata.tables["inbox"]
    mark = select(inbox.c.message_id).where(
        inbox.c.consumer == bindparam("consumer"), inbox.c.message_id == bindparam("message_id")
    )
    found = await database.autocommit_read(mark, {"consumer": delivery.consumer, "message_id": delivery.message_id})
    return bool(found)
