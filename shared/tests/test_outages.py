"""Every way in which a database can become unreachable is an outage, and work continues afterwards."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any
from uuid import UUID

import pytest
import uvloop
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared.contracts.events import VideoComposing
from shared.persistence.database import Database, is_outage
from shared.persistence.outbox import OutboxMessage, Relay
from shared.persistence.unit_of_work import transaction
from shared_testing.servers import eventually
from shared_testing.silencing_proxy import SilencingProxy
from shared_testing.sql_server import SqlServer

EVENT = VideoComposing(video_id=UUID("2f1c9b9e-8f57-4a3f-9f9d-0d2b1b7f0b11"))

Visit = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


async def close_at_once(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def answer_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


async def answer_nonsense(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


def refuse(number: int, words: str) -> Visit:
    """Return the error packet of a MySQL server that refuses a connection before its greeting."""

    async def visit(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = b"\xff" + number.to_bytes(2, "little") + words.encode()
        writer.write(len(body).to_bytes(3, "little") + b"\x00" + body)
        await writer.drain()
        writer.close()

    return visit


WAYS = {
    "closes at once": close_at_once,
    "answers nothing": answer_nothing,
    "is no database": answer_nonsense,
    "is at its limit": refuse(1040, "Too many connections"),
    "refuses the host": refuse(1130, "Host is not allowed to connect"),
    "blocks the host": refuse(1129, "Host is blocked"),
}


@contextlib.asynccontextmanager
async def listening(visit: Visit) -> AsyncIterator[int]:
    server = await asyncio.start_server(visit, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def _error_of(visit: Visit | None, how: Callable[[Database], Coroutine[Any, Any, Any]], metadata: Any) -> None:
    async with contextlib.AsyncExitStack() as stack:
        port = 1 if visit is None else await stack.enter_async_context(listening(visit))
        database = Database(f"mysql+asyncmy://root@127.0.0.1:{port}/none", metadata)
        stack.push_async_callback(database.close)
        with pytest.raises(Exception) as caught:  # noqa: PT011 - what it is, is the question
            await how(database)
        assert is_outage(caught.value), repr(caught.value)


async def work(database: Database) -> None:
    async with transaction(database) as one:
        await one.emit(EVENT)


async def read(database: Database) -> None:
    async with database.reading() as session:
        await session.execute(text("SELECT 1"))


async def autocommit_read(database: Database) -> None:
    await database.autocommit_read(text("SELECT 1"), {})


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("visit", [None, *WAYS.values()], ids=["is not there", *WAYS])
def test_every_way_a_connection_can_fail_is_an_outage(
    visit: Visit | None, loop: Any, sqlite_metadata: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.persistence.mysql_driver.CONNECT_SECONDS", 0.3)

    async def all_doors() -> None:
        for how in (work, read, autocommit_read, Database.ping):
            await _error_of(visit, how, sqlite_metadata)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(all_doors())


@pytest.mark.connected
@pytest.mark.parametrize(
    ("statement", "outage"),
    [
        ("SELECT * FROM nowhere", False),
        ("SELEC 1", False),
        ("INSERT INTO effects (id) VALUES (1), (1)", False),
        ("SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 1290", True),
        ("SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 1053", True),
        ("SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 1205", True),
        ("KILL CONNECTION_ID()", True),
    ],
)
async def test_an_invalid_statement_is_not_an_outage_and_a_lost_server_is(
    mariadb: Database, statement: str, outage: bool
) -> None:
    with pytest.raises(DBAPIError) as caught:
        async with mariadb.engine.connect() as connection:
            await connection.execute(text(statement))
    assert is_outage(caught.value) == outage
    await mariadb.ping()


@pytest.mark.connected
async def test_a_loop_of_queries_ends_whenever_it_is_cancelled(mariadb: Database) -> None:
    """`asyncio.wait_for` of Python 3.11 swallows a cancellation that arrives with an answer."""

    async def ask_for_ever() -> None:
        while True:
            await read(mariadb)

    for turns in range(60):
        asking = asyncio.create_task(ask_for_ever())
        for _ in range(100 + turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait({asking}, timeout=10)
        assert asking.cancelled(), f"after {turns} turns of the event loop"
    await mariadb.ping()


@pytest.fixture
async def failover(mariadb: Database, sql_server: SqlServer) -> AsyncIterator[tuple[SilencingProxy, Database]]:
    """A proxy to the database, and the database through this proxy."""
    way = SilencingProxy(sql_server.host, sql_server.port)
    async with way.running() as port:
        url = mariadb.engine.url.set(port=port, host="127.0.0.1").render_as_string(hide_password=False)
        database = Database(url, mariadb.metadata)
        yield way, database
        await database.close()


@pytest.mark.connected
async def test_after_a_failover_with_silent_old_connections_work_continues(
    failover: tuple[SilencingProxy, Database],
) -> None:
    way, database = failover
    sent: list[OutboxMessage] = []

    async def send(outbox_message: OutboxMessage) -> None:
        sent.append(outbox_message)

    relay = Relay(database, send)
    relaying = asyncio.create_task(relay.run())
    # Several connections are open, as on a busy server, and all of them are old.
    await asyncio.gather(*(work(database) for _ in range(3)), *(autocommit_read(database) for _ in range(3)))
    await eventually(lambda: len(sent) == 3, 10)
    way.silence()

    async def try_again() -> bool:
        try:
            await work(database)
        except (ConnectionError, DBAPIError):
            return False
        return True

    # The limit is 15 s; twice as much on a slow machine.
    async with asyncio.timeout(30):
        await asyncio.gather(autocommit_read(database), eventually(try_again, 30))
        await eventually(lambda: len(sent) >= 4, 30)
    assert relay.silent_seconds() < 5
    relaying.cancel()
    await asyncio.gather(relaying, return_exceptions=True)


async def test_a_relay_outlives_an_outage_at_any_of_its_queries(
    sqlite: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[OutboxMessage] = []
    outages = [ConnectionError("away"), ConnectionError("away")]

    async def send(outbox_message: OutboxMessage) -> None:
        sent.append(outbox_message)

    relay = Relay(sqlite, send)
    until_next = relay._until_next

    async def away_at_first() -> float:
        if outages:
            raise outages.pop()
        return await until_next()

    monkeypatch.setattr(relay, "_until_next", away_at_first)
    relaying = asyncio.create_task(relay.run())
    await eventually(lambda: not outages, 10)
    await work(sqlite)
    await eventually(lambda: sent, 10)
    relaying.cancel()
    await asyncio.gather(relaying, return_exceptions=True)
