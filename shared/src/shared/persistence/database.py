"""Access to the database of a service: MySQL or MariaDB, or SQLite in the embedded mode."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVarTuple

from sqlalchemy import DateTime, MetaData, Row, Select, String, event, text
from sqlalchemy.dialects import mysql
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ColumnElement
from sqlalchemy.sql.visitors import InternalTraversal
from sqlalchemy.util import greenlet_spawn

Moment = DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
"""A column type: UTC, to the microsecond. MySQL rounds its own DATETIME to seconds, and we order by it."""

Columns = TypeVarTuple("Columns")


def identifier(length: int) -> String:
    """Return the type of a column with names, which are compared by code point.

    With MySQL's default collation Anna, anna and ánna are equal, and would share a budget.
    """
    exact = mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin")
    return String(length).with_variant(exact, "mysql", "mariadb")


LOCK_WAIT_SECONDS = 5
READ_SECONDS = 8
"""A connection counts as broken after this silence, which is longer than a lock wait."""
AUTOCOMMIT_READ_SECONDS = 10
GLANCE_READ_SECONDS = 4
CONNECTIONS = 32
"""The default of the most connections that a process opens."""
# Hide bind parameters in error messages.
QUIET: dict[str, Any] = {"hide_parameters": True}
SQLITE: dict[str, Any] = QUIET | {"connect_args": {"timeout": 30}}
INIT_COMMAND = f"SET SESSION innodb_lock_wait_timeout={LOCK_WAIT_SECONDS}, time_zone='+00:00'"


class now(ColumnElement[datetime]):  # noqa: N801 - it reads as the SQL function it is
    """The database's clock in UTC, `offset` seconds from now. All times are compared on this one clock."""

    # Without this, each statement with a time is compiled again.
    inherit_cache = True
    _traverse_internals = [("offset", InternalTraversal.dp_plain_obj)]
    type = Moment

    def __init__(self, offset: float = 0.0) -> None:
        self.offset = float(offset)


@compiles(now, "sqlite")
def _now_sqlite(element: now, _compiler: SQLCompiler, **_: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', '{element.offset:+.3f} seconds')"


@compiles(now, "mysql")
@compiles(now, "mariadb")
def _now_mysql(element: now, _compiler: SQLCompiler, **_: Any) -> str:  # noqa: ANN401 - SQLAlchemy's signature
    return f"(UTC_TIMESTAMP(6) + INTERVAL {round(element.offset * 1_000_000)} MICROSECOND)"


class Database:
    """The engine and the sessions of one service's schema, on at most `connections` connections.

    `committed` is set after every commit that may have left something in the outbox; `changed` after every commit of a
    unit of work, for what else looks at the rows.
    """

    def __init__(self, url: str, metadata: MetaData, connections: int = CONNECTIONS) -> None:
        self.metadata = metadata
        self.url = url
        autocommit_engine = max(1, connections // 4)
        self.engine = _engine(url, connections - autocommit_engine)
        self.autocommit_engine = _autocommit_engine(url, autocommit_engine)
        self.sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        self.committed = asyncio.Event()
        self.changed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """Open a session that only reads."""
        async with self.sessions() as session:
            yield session

    async def autocommit_read(self, query: Select[*Columns], values: Mapping[str, object]) -> Sequence[Row[*Columns]]:
        """Return the rows of a query, in one round trip and without a transaction.

        Raises:
            ConnectionError: the server has not answered in time.
        """
        try:
            async with asyncio.timeout(AUTOCOMMIT_READ_SECONDS):
                return await self._autocommit_read_twice(query, values)
        except TimeoutError as error:
            raise ConnectionError(f"The database has not answered within {AUTOCOMMIT_READ_SECONDS} s.") from error

    async def _autocommit_read_twice(
        self, query: Select[*Columns], values: Mapping[str, object]
    ) -> Sequence[Row[*Columns]]:
        try:
            return await greenlet_spawn(self._autocommit_read, query, values)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            # These connections are not checked before use. The pool has now dropped all of them.
            return await greenlet_spawn(self._autocommit_read, query, values)

    def _autocommit_read(self, query: Select[*Columns], values: Mapping[str, object]) -> Sequence[Row[*Columns]]:
        """Run the query in one greenlet switch; one for each step would cost more than the query."""
        with self.autocommit_engine.sync_engine.connect() as connection:
            return connection.execute(query, values).all()

    async def ping(self) -> None:
        """Raise if the database does not answer."""
        async with self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()
        await self.autocommit_engine.dispose()


DRIVER_ERRORS = range(2000, 3000)
"""MySQL's error numbers of the driver: a connection refused, lost or garbled. All others come from the server."""

BUSY = {1021, 1040, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1226, 1305}
"""The server's error numbers for: disk full, too many connections, network errors, user limits, lock wait, deadlock
(1305: in a savepoint, which is then gone)."""


def is_outage(error: BaseException) -> bool:
    """Return whether the server is unreachable or busy, rather than the statement wrong."""
    if isinstance(error, ConnectionError | PoolExhausted):
        return True
    if not isinstance(error, DBAPIError):
        return False
    facts = error.orig.args if error.orig else ()
    code = facts[0] if facts else None
    return error.connection_invalidated or code in DRIVER_ERRORS or code in BUSY or "database is locked" in str(code)


def _engine(url: str, connections: int) -> AsyncEngine:
    if url.startswith("sqlite"):
        engine = create_async_engine(url, **SQLITE)
        _prepare_sqlite(engine)
        return engine
    # With REPEATABLE READ the locks of the relay would block inserts.
    return _mysql(url, connections, READ_SECONDS, isolation_level="READ COMMITTED", pool_pre_ping=True)


def _autocommit_engine(url: str, connections: int) -> AsyncEngine:
    """Return an engine for reads, which needs no BEGIN and no ROLLBACK."""
    quick: dict[str, Any] = {
        "isolation_level": "AUTOCOMMIT",
        "skip_autocommit_rollback": True,
        "pool_reset_on_return": None,
    }
    if url.startswith("sqlite"):
        return create_async_engine(url, **quick, **SQLITE)
    # Leave time for a second attempt after a silent connection.
    return _mysql(url, connections, GLANCE_READ_SECONDS, **quick)


def migration_engine(url: str) -> AsyncEngine:
    """Return an engine with one connection and no time limit: changing a large table may take hours."""
    if url.startswith("sqlite"):
        return _engine(url, 1)
    return _mysql(url, 1, None, isolation_level="READ COMMITTED")


def _mysql(url: str, connections: int, read_seconds: int | None, **options: Any) -> AsyncEngine:  # noqa: ANN401
    from shared.persistence import mysql_driver  # the embedded mode does without

    engine = create_async_engine(
        url,
        pool_size=connections,
        # Waiting briefly for a connection costs less than opening another one.
        max_overflow=0,
        connect_args={
            "async_creator_fn": mysql_driver.connect,
            "read_timeout": read_seconds,
            "init_command": INIT_COMMAND,
        },
        **QUIET,
        **options,
    )
    mysql_driver.drop_broken_connections(engine)
    return engine


def _prepare_sqlite(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def _configure(connection: DBAPIConnection, _record: object) -> None:
        # We begin transactions ourselves (below), because sqlite3 begins them too late.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Any) -> None:  # noqa: ANN401 - SQLAlchemy's signature
        # A transaction that reads first and writes later would fail instead of wait after a concurrent write.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
