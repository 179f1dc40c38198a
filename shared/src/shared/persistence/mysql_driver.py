"""Connections to MySQL and MariaDB that never wait forever, and which of their failures mean an outage."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

from asyncmy import errors
from asyncmy.connection import Connection
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.persistence.database import DRIVER_ERRORS

CONNECT_SECONDS = 5.0
CLOSE_SECONDS = 0.5

SERVER_LEAVES = {1047, 1053, 1077, 1079, 1080, 1290, 1317, 1792, 1836, 1927}
"""The server's error numbers for: not ready, shutting down, read-only (a former primary after a fail-over), killed.
Another connection may reach a better server."""


@contextlib.contextmanager
def _heeding_cancellation() -> Iterator[None]:
    """Raise a cancellation that arrived meanwhile and was swallowed.

    The driver waits by `asyncio.wait_for`, which drops a cancellation that arrives together with the answer (Python
    3.11; mended in 3.12). A loop that is cancelled then would go on for ever.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    yield
    if task and task.cancelling() > before:
        raise asyncio.CancelledError


class BoundedConnection(Connection):
    """A connection that closes within `CLOSE_SECONDS`, even if the server is silent, and can be cancelled at any time.

    `_fill_buffer` is the driver's own; there is no other place where all its waiting for answers passes.
    """

    async def _fill_buffer(self, need: int) -> None:
        try:
            with _heeding_cancellation():
                await super()._fill_buffer(need)  # type: ignore[misc]  # not in its stubs
        except asyncio.CancelledError:
            # The answer is unread: the next statement would take it for its own.
            self.close()
            raise

    async def ensure_closed(self) -> None:
        """Say goodbye to the server if it listens, and close."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await super().ensure_closed()
        except TimeoutError:
            self.close()


async def connect(**options: Any) -> Connection:  # noqa: ANN401 - the driver's options
    """Open a connection.

    Raises:
        ConnectionError: it failed, for whatever reason, or took too long.
    """
    connection = BoundedConnection(**options)  # type: ignore[no-untyped-call]
    try:
        with _heeding_cancellation():
            async with asyncio.timeout(CONNECT_SECONDS):
                await connection.connect()
    except asyncio.CancelledError:
        connection.close()
        raise
    except Exception as error:
        connection.close()
        # The driver raises many kinds of errors here, some of them only on some event loops.
        raise ConnectionError(f"Cannot connect to the database: {str(error) or type(error).__name__}") from error
    return connection


def drop_broken_connections(engine: AsyncEngine) -> None:
    """Make the pool drop all its connections when one fails, and report the failure as an outage."""

    @event.listens_for(engine.sync_engine, "handle_error")
    def _sort(context: ExceptionContext) -> ConnectionError | None:
        error = context.original_exception
        if not isinstance(error, errors.Error):
            # What sockets and event loops raise; anything else is about the parameters of the statement.
            if isinstance(error, OSError | RuntimeError):
                context.is_disconnect = True
                return ConnectionError(f"The database connection broke: {error}")
            return None
        if not _is_answer(error) or error.args[0] in SERVER_LEAVES:
            context.is_disconnect = True
        return None


def _is_answer(error: errors.Error) -> bool:
    """Whether the server sent this error; else the driver raised it because it did not understand the server."""
    if not isinstance(error, errors.OperationalError | errors.InterfaceError | errors.InternalError):
        return True
    number = error.args[0] if error.args else None
    return isinstance(number, int) and number > 0 and number not in DRIVER_ERRORS
