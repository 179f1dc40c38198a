"""`autocommit_read`: reads committed rows on a connection without a transaction."""

import asyncio

import pytest
from sqlalchemy import Select, bindparam, insert, literal_column, select, text, update

from shared.persistence.database import Database

CONNECTION = select(literal_column("connection_id()"))
SLOWLY = select(literal_column("connection_id()"), literal_column("sleep(0.3)"))


def prompt_of(database: Database) -> Select[str]:
    effects = database.metadata.tables["effects"]
    return select(effects.c.prompt).where(effects.c.id == bindparam("number"))


async def test_an_autocommit_read_sees_only_committed_rows(database: Database) -> None:
    effects, query = database.metadata.tables["effects"], prompt_of(database)
    assert await database.autocommit_read(query, {"number": 1}) == []
    async with database.sessions.begin() as session:
        await session.execute(insert(effects).values(id=1, prompt="a fox"))
    assert await database.autocommit_read(query, {"number": 1}) == [("a fox",)]
    async with database.sessions.begin() as session:
        await session.execute(update(effects).values(prompt="a kite"))
        assert await database.autocommit_read(query, {"number": 1}) == [("a fox",)]
    assert await database.autocommit_read(query, {"number": 1}) == [("a kite",)]


@pytest.mark.connected
async def test_an_autocommit_read_works_after_the_server_closed_all_connections(mariadb: Database) -> None:
    found = await asyncio.gather(*(mariadb.autocommit_read(SLOWLY, {}) for _ in range(3)))
    connections = {rows[0][0] for rows in found}
    assert len(connections) == 3
    async with mariadb.engine.connect() as connection:
        for number in connections:
            await connection.execute(text(f"KILL {number}"))
    [after] = await mariadb.autocommit_read(CONNECTION, {})
    assert after[0] not in connections


@pytest.mark.connected
async def test_a_cancelled_autocommit_read_leaves_no_answer_for_the_next(mariadb: Database) -> None:
    given_up = asyncio.create_task(mariadb.autocommit_read(SLOWLY, {}))
    await asyncio.sleep(0.1)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    assert await mariadb.autocommit_read(prompt_of(mariadb), {"number": 1}) == []


@pytest.mark.connected
async def test_an_autocommit_read_fails_when_the_server_does_not_answer(mariadb: Database, monkeypatch) -> None:
    monkeypatch.setattr("shared.persistence.database.AUTOCOMMIT_READ_SECONDS", 0.1)
    with pytest.raises(ConnectionError, match=r"within 0\.1 s"):
        await mariadb.autocommit_read(SLOWLY, {})
    assert await mariadb.autocommit_read(prompt_of(mariadb), {"number": 1}) == []
