"""Which messages were handled: a message that comes again changes nothing."""

from sqlalchemy import Column, MetaData, String, Table

from shared.persistence.database import Moment, identifier


def inbox_table(metadata: MetaData) -> Table:
    """The inbox of a service, beside its own tables."""
    return Table(
        "inbox",
        metadata,
        Column("consumer", String(100), primary_key=True),
        Column("message_id", identifier(64), primary_key=True),
        Column("handled_at", Moment, nullable=False, index=True),
    )
