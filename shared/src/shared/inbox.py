"""Which messages were handled: a message that comes again changes nothing."""

from sqlalchemy import Column, MetaData, String, Table, delete

from shared.database import Database, Moment, identifier, now

KEPT_DAYS = 14
"""Longer than any dead letter waits to be redriven."""


def inbox_table(metadata: MetaData) -> Table:
    """The inbox of a service, beside its own tables."""
    return Table(
        "inbox",
        metadata,
        Column("consumer", String(100), primary_key=True),
        Column("message_id", identifier(64), primary_key=True),
        Column("handled_at", Moment, nullable=False, index=True),
    )


async def forget_old(database: Database) -> None:
    """Drop the marks nobody will ask for again."""
    inbox = database.metadata.tables["inbox"]
    async with database.sessions.begin() as session:
        await session.execute(delete(inbox).where(inbox.c.handled_at < now(-KEPT_DAYS * 86_400)))
