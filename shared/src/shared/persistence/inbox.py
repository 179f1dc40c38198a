"""The table of handled messages: a message that is delivered again changes nothing."""

from typing import Protocol

from sqlalchemy import Column, MetaData, String, Table

from shared.persistence.database import Moment, identifier


class AlreadyHandled(Exception):
    """The message was handled before; nothing is left to do for it."""


class InboxKey(Protocol):
    """What identifies a message that was handled: the consumer and the message id."""

    @property
    def consumer(self) -> str:
        """The queue that the message came by."""
        ...

    @property
    def message_id(self) -> str:
        """The id of the message."""
        ...


def inbox_table(metadata: MetaData) -> Table:
    """The inbox of a service, beside its own tables."""
    return Table(
        "inbox",
        metadata,
        Column("consumer", String(100), primary_key=True),
        Column("message_id", identifier(64), primary_key=True),
        Column("handled_at", Moment, nullable=False, index=True),
    )
