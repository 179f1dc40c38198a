"""Servers that stay connected but do not answer: SIGTERM still ends every service."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from shared_testing.broker import BrokerCorner
from shared_testing.ports import free_port
from shared_testing.servers import eventually, fetch_json
from shared_testing.silencing_proxy import SilencingProxy
from shared_testing.sql_server import SqlServer

pytestmark = pytest.mark.connected

SERVICES = ("storyboard", "scene-render", "composer", "gateway")
BIN = Path(sys.executable).parent


@dataclass
class Running:
    """A service with silenceable connections to its servers."""

    popen: "subprocess.Popen[bytes]"
    url: str
    log: Path

    def is_ready(self) -> bool:
        assert self.popen.poll() is None, self.log.read_text()[-3000:]
        return fetch_json(f"{self.url}/readyz", timeout=5)[0] == 200


@pytest.fixture
async def running(
    rabbitmq: Callable[[], BrokerCorner], sql_server: SqlServer, schema: Callable[[], str], tmp_path: Path
) -> AsyncIterator[tuple[list[Running], list[SilencingProxy]]]:
    """All services, and the ways to the database and to the broker."""
    corner = rabbitmq()
    broker = urlsplit(corner.url)
    ways = [
        SilencingProxy(sql_server.host, sql_server.port),
        SilencingProxy(broker.hostname or "127.0.0.1", broker.port or 5672),
    ]
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "TMPDIR", "LANG") if key in os.environ}
    services: list[Running] = []
    async with contextlib.AsyncExitStack() as stack:
        to_sql, to_broker = [await stack.enter_async_context(way.running()) for way in ways]
        through = SqlServer("127.0.0.1", to_sql, sql_server.user, sql_server.password)
        host = f"127.0.0.1:{to_broker}"
        schemas = {service: schema() for service in SERVICES}
        migrating = [
            subprocess.Popen(
                [BIN / service, "migrate"],
                env=kept | {"DATABASE_URL": sql_server.url(name), "STORAGE_URL": tmp_path.as_uri()},
                stdout=subprocess.DEVNULL,
            )
            for service, name in schemas.items()
        ]
        assert [await asyncio.to_thread(one.wait, 120) for one in migrating] == [0] * len(SERVICES)
        for service, name in schemas.items():
            port, log = free_port(), tmp_path / f"{service}.log"
            environment = kept | {
                "DATABASE_URL": through.url(name),
                "BROKER_URL": corner.url.replace(f"{broker.hostname}:{broker.port}", host),
                "STORAGE_URL": (tmp_path / "media").as_uri(),
                "MEDIA_SECRET": "secret",
                "PORT" if service == "gateway" else "HEALTH_PORT": str(port),
            }
            popen = subprocess.Popen([BIN / service], env=environment, stdout=log.open("wb"), stderr=subprocess.STDOUT)
            services.append(Running(popen, f"http://127.0.0.1:{port}", log))
        try:
            for one in services:
                await eventually(lambda one=one: asyncio.to_thread(one.is_ready), 60, what=f"{one.log.stem} is ready")
                cost = re.search(r'"cpu_seconds": ([0-9.]+)', one.log.read_text())
                assert cost is not None
                sys.stdout.write(f"{one.log.stem} was ready after {cost[1]} s of processor time\n")
            yield services, ways
        finally:
            for one in services:
                one.popen.kill()
                one.popen.wait(10)
            corner.remove()


@pytest.mark.parametrize("silent", [["database"], pytest.param(["database", "broker"], marks=pytest.mark.long)])
async def test_sigterm_ends_every_service_whatever_is_silent(
    running: tuple[list[Running], list[SilencingProxy]], silent: list[str]
) -> None:
    services, ways = running
    for way in ways[: len(silent)]:
        way.silence(new_ones_too=True)
    # A call that waits for the database, as there are many on a busy day.
    gateway = services[-1]
    call = asyncio.create_task(asyncio.to_thread(fetch_json, f"{gateway.url}/api/v1/videos", timeout=30))
    await asyncio.sleep(1)
    stopped_at = time.monotonic()
    for one in services:
        one.popen.send_signal(signal.SIGTERM)
    # The limit is ten seconds; a busy machine may take longer to run the code that ends the processes.
    for one in services:
        await eventually(lambda one=one: one.popen.poll() is not None, 30, what=f"{one.log.stem} ends")
        took = time.monotonic() - stopped_at
        sys.stdout.write(f"{one.log.stem} ended {took:.1f} s after SIGTERM\n")
    await asyncio.gather(call, return_exceptions=True)
