from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, insert, select

from shared.contracts.events import Event, VideoRequested
from shared.messaging.event_router import Delivery, EventRouter
from shared.persistence.database import Database
from shared.persistence.inbox import inbox_table
from shared.persistence.outbox import outbox_table
from shared.persistence.unit_of_work import idempotent_transaction

METADATA = MetaData()
inbox_table(METADATA)
outbox_table(METADATA)
EFFECTS = Table(
    "effects", METADATA, Column("id", Integer, primary_key=True, autoincrement=True), Column("prompt", String(200))
)


@pytest.fixture
def sqlite_metadata() -> MetaData:
    return METADATA


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path}/test.db", METADATA)
    async with database.engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    yield database
    await database.close()


@pytest.fixture
async def mariadb(sql_server, schema: Callable[[], str]) -> AsyncIterator[Database]:
    database = Database(sql_server.url(schema()), METADATA)
    async with database.engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
    yield database
    await database.close()


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.connected)])
def database(request: pytest.FixtureRequest) -> Database:
    """A database of each mode: SQLite (embedded) and MariaDB (distributed)."""
    return request.getfixturevalue(request.param)


@dataclass
class Hearer:
    """A service that records the messages it handles, and fails with the given `failures`."""

    database: Database
    failures: list[BaseException] = field(default_factory=list)
    calls: int = 0

    async def effects(self) -> list[str]:
        async with self.database.reading() as session:
            return list((await session.execute(select(EFFECTS.c.prompt).order_by(EFFECTS.c.id))).scalars())

    def router(self, name: str = "hearer", event: type[Event] = VideoRequested) -> "EventRouter[Hearer]":
        router: EventRouter[Hearer] = EventRouter(name)
        router.on(event)(hear)
        return router


async def hear(event: Event, delivery: Delivery, deps: Hearer) -> None:
    deps.calls += 1
    if deps.failures:
        raise deps.failures.pop(0)
    async with idempotent_transaction(deps.database, delivery) as work:
        prompt = getattr(event, "prompt", event.name)
        await work.session.execute(insert(EFFECTS).values(prompt=prompt))


@pytest.fixture
def hearing() -> type[Hearer]:
    return Hearer
