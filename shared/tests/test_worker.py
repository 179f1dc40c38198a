"""A worker's readiness: what it needs, whether its background works, and whether its schema is up to date."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from pydantic import SecretStr
from sqlalchemy import text
from starlette.applications import Starlette

from shared.messaging.message_processor import Service, fails_video
from shared.persistence.database import Database
from shared.process.supervisor import Background
from shared.settings import ServiceSettings
from shared.worker import Worker
from shared_testing.broker import BrokerCorner
from shared_testing.servers import eventually

pytestmark = pytest.mark.connected


@pytest.fixture(scope="module")
def broker_url(rabbitmq: Callable[[], BrokerCorner]) -> str:
    """One vhost for all: its queues are empty in each test."""
    return rabbitmq().url


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    versions = tmp_path / "migrations" / "versions"
    versions.mkdir(parents=True)
    for number in ("0001", "0002"):
        (versions / f"{number}_x.py").write_text(f'revision = "{number}"\n')
    return versions.parent


async def set_version(database: Database, revision: str) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(text("CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32))"))
        await connection.execute(text("DELETE FROM alembic_version"))
        await connection.execute(text(f"INSERT INTO alembic_version VALUES ('{revision}')"))


Start = Callable[..., contextlib.AbstractAsyncContextManager[tuple[Worker, Callable[[], Any]]]]


@pytest.fixture
def started(mariadb: Database, broker_url: str, hearing: Any, migrations: Path) -> Start:
    """A worker, and the names of the checks that fail in its `/readyz`."""

    @contextlib.asynccontextmanager
    async def start(*background: Background) -> AsyncIterator[tuple[Worker, Callable[[], Any]]]:
        hearer = hearing(mariadb)
        service = Service(hearer.router(), hearer, mariadb, fails_video("composer"), background=background)
        settings = ServiceSettings(database_url=SecretStr(mariadb.url), broker_url=SecretStr(broker_url))
        worker = Worker(lambda _hints: service, settings, migrations)
        app = Starlette(routes=worker.routes())
        async with (
            worker.running(),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://worker") as client,
        ):

            async def failing() -> set[str]:
                answer = await client.get("/readyz")
                body = answer.json()
                assert (answer.status_code == 200) == body.pop("ready")
                return {name for name, passes in body.items() if not passes}

            yield worker, failing

    return start


async def test_a_background_task_that_is_down_or_a_silent_relay_is_not_ready(
    started: Start, mariadb: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.process.supervisor.FIRST_PAUSE_SECONDS", 1.0)
    await set_version(mariadb, "0002")
    stumble = asyncio.Event()

    async def run() -> None:
        await stumble.wait()
        stumble.clear()
        raise ZeroDivisionError

    async with started(Background("stumbles", run)) as (worker, failing):
        await eventually(lambda: _is(failing, set()), 20)
        stumble.set()
        await eventually(lambda: _is(failing, {"background"}), 10, every=0.05)
        await eventually(lambda: _is(failing, set()), 20)
        worker.relay.passed_at -= 60
        monkeypatch.setattr(worker.relay, "send_due", asyncio.Event().wait)
        await asyncio.sleep(1.5)  # its last pass is over
        worker.relay.passed_at -= 60
        assert await failing() == {"relay"}


@pytest.mark.parametrize("present", [None, "0001"])
async def test_a_schema_without_its_migrations_is_not_ready_until_they_are_applied(
    started: Start, mariadb: Database, present: str | None
) -> None:
    if present is not None:
        await set_version(mariadb, present)
    with structlog.testing.capture_logs() as logs:
        async with started() as (_, failing):
            assert await failing() >= {"schema", "broker"}
            await asyncio.sleep(1.5)
            assert [entry for entry in logs if entry["log_level"] in ("warning", "error")] == [
                {"event": "schema.behind", "todo": "run `hearer migrate`", "log_level": "error"}
            ]
            await set_version(mariadb, "0002")
            await eventually(lambda: _is(failing, set()), 20)


async def test_a_schema_that_is_newer_than_the_code_is_ready(started: Start, mariadb: Database) -> None:
    await set_version(mariadb, "0003")
    async with started() as (_, failing):
        await eventually(lambda: _is(failing, set()), 20)


async def _is(failing: Callable[[], Any], names: set[str]) -> bool:
    return await failing() == names
