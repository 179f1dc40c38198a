"""The distributed mode as it runs in production: the console scripts as processes, on real servers."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import socketio

from embedded.broker_permissions import users
from shared.contracts.events import EVENTS
from shared.messaging import topology
from shared_testing.broker import BrokerCorner
from shared_testing.ports import free_port
from shared_testing.s3_server import S3Server
from shared_testing.servers import eventually, fetch_json
from shared_testing.sql_server import SqlServer
from simulator.app import KEYS, api_urls

SERVICES = ("storyboard", "scene-render", "composer", "gateway")
BIN = Path(sys.executable).parent


@dataclass
class Process:
    """One replica of a service."""

    service: str
    port: int
    environment: dict[str, str]
    log: Path
    popen: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.popen = subprocess.Popen(
            [BIN / self.service], env=self.environment, stdout=self.log.open("ab"), stderr=subprocess.STDOUT
        )

    async def ready(self) -> None:
        def check() -> bool:
            assert self.popen is not None
            assert self.popen.poll() is None, f"{self.service} ended: {self.log.read_text()[-3000:]}"
            return fetch_json(f"{self.url}/readyz", timeout=2)[0] == 200

        await eventually(check, seconds=60, what=f"{self.service} is ready; its log: {self.log}")

    def signal(self, number: int) -> None:
        assert self.popen is not None
        self.popen.send_signal(number)
        if number == signal.SIGKILL:
            self.popen.wait(10)

    def stop(self) -> None:
        if self.popen is None or self.popen.poll() is not None:
            return
        self.popen.send_signal(signal.SIGTERM)
        try:
            self.popen.wait(20)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise


@dataclass
class Simulator:
    """Simulated providers in a process of their own, many times faster than life, and their control API."""

    popen: "subprocess.Popen[bytes]"
    url: str
    speed: float

    def environment(self, *providers: str) -> dict[str, str]:
        """What makes services render at these simulated providers, the preferred one first."""
        urls: dict[str, str] = {**api_urls(self.url)}
        keys: dict[str, str] = {**KEYS}
        settings = {"VIDEO_PROVIDERS": ",".join(providers), "SIMULATOR_SPEED": str(self.speed), "SUBMIT_SECONDS": "3"}
        for name in providers:
            prefix = name.upper().replace("-", "_")
            settings |= {f"{prefix}_API_URL": urls[name], f"{prefix}_API_KEY": keys[name]}
            settings |= {f"{prefix}_CONCURRENCY": "5"}
        return settings | {"BUDGET_VIDEO_USD": "100", "BUDGET_OWNER_DAY_USD": "100000", "BUDGET_DAY_USD": "100000"}

    def control(self, path: str, body: object = None) -> Any:
        status, answer = fetch_json(f"{self.url}/control/{path}", body)
        assert status in (200, 204), answer
        return answer

    def tasks(self, provider: str = "") -> list[dict[str, Any]]:
        """What was ordered, by the providers' own record."""
        return self.control(f"ledger?provider={provider}" if provider else "ledger")["tasks"]

    def peak(self, provider: str) -> int:
        """The most tasks that one provider ever had at once."""
        return self.control("ledger")["providers"][provider]["peak"]


@contextlib.contextmanager
def simulating(speed: float = 30.0, concurrency: int = 10) -> Iterator[Simulator]:
    port = free_port()
    command = [BIN / "simulator", "--port", str(port), "--speed", str(speed), "--concurrency", str(concurrency)]
    popen = subprocess.Popen([*command, "--no-captions"], stdout=subprocess.DEVNULL)
    try:
        simulator = Simulator(popen, f"http://127.0.0.1:{port}", speed)
        asyncio.run(eventually(lambda: fetch_json(f"{simulator.url}/control/ledger")[0] == 200, 30, "it simulates"))
        yield simulator
    finally:
        popen.terminate()
        popen.wait(10)


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    with simulating() as simulator:
        yield simulator


@dataclass
class Stack:
    """A whole Multishot, in a vhost, schemas and a bucket of its own."""

    broker: BrokerCorner
    sql: SqlServer
    schemas: dict[str, str]
    bucket: str
    s3: S3Server
    folder: Path
    simulator: Simulator
    providers: tuple[str, ...] = ("luma", "runway", "pika", "luma-agents", "fal")
    settings: dict[str, str] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)

    def environment(self, service: str) -> dict[str, str]:
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "TMPDIR", "LANG") if key in os.environ}
        work = self.folder / f"work-{service}"
        work.mkdir(exist_ok=True)
        return (
            kept
            | self.simulator.environment(*self.providers)
            | {
                **self.s3.environment,
                "BROKER_URL": self.broker.url_of(service),
                "DATABASE_URL": self.sql.url(self.schemas[service]),
                "STORAGE_URL": f"s3://{self.bucket}?endpoint={self.s3.endpoint}",
                "WORK_FOLDER": str(work),
                **self.settings,
            }
        )

    def migrate(self) -> None:
        running = {
            service: subprocess.Popen(
                [BIN / service, "migrate"], env=self.environment(service), stderr=subprocess.PIPE, text=True
            )
            for service in SERVICES
        }
        for service, process in running.items():
            _, stderr = process.communicate(timeout=120)
            assert process.returncode == 0, f"{service} migrate: {stderr[-3000:]}"

    def add(self, service: str) -> Process:
        port = free_port()
        where = {"PORT": str(port)} if service == "gateway" else {"HEALTH_PORT": str(port)}
        log = self.folder / f"{service}-{len(self.processes)}.log"
        process = Process(service, port, self.environment(service) | where, log)
        self.processes.append(process)
        process.start()
        return process

    async def start(self, replicas: int = 1) -> None:
        self.migrate()
        await asyncio.gather(*[self.add(service).ready() for service in SERVICES for _ in range(replicas)])

    def remove(self, process: Process) -> None:
        process.stop()
        self.processes.remove(process)

    def of(self, service: str) -> Process:
        return next(process for process in self.processes if process.service == service)

    @property
    def api(self) -> str:
        return f"{self.of('gateway').url}/api/v1/videos"

    def ask(self, **wish: Any) -> dict[str, Any]:
        status, body = fetch_json(
            self.api, {"prompt": "A fox crosses the night market", "sceneCount": 2, "duration": 15, **wish}
        )
        assert status == 202, body
        return body

    def look(self, video_id: str) -> dict[str, Any]:
        status, body = fetch_json(f"{self.api}/{video_id}")
        return body if status == 200 else {}

    async def ended(self, video_id: str, seconds: float = 120) -> dict[str, Any]:
        def check() -> dict[str, Any] | None:
            video = self.look(video_id)
            return video if video.get("isTerminal") else None

        return await eventually(check, seconds, f"{video_id} ends; it is {self.look(video_id)}", every=0.3)

    async def reached(self, video_id: str, step: str, seconds: float = 60) -> None:
        await eventually(lambda: self.look(video_id).get("currentStep") == step, seconds, what=f"step {step}")

    def rows(self, service: str, query: str) -> list[tuple[Any, ...]]:
        return self.sql.run(f"USE {self.schemas[service]}", query)

    def queues(self) -> dict[str, int]:
        """All messages in all queues, ready or being handled."""
        return self.broker.queues()

    async def is_quiet(self) -> None:
        """Nothing is left over: no message in a queue but dead letters, no event in an outbox, no slot taken."""

        def leftovers() -> list[str]:
            queues = self.queues().items()
            found = [f"{name}: {count}" for name, count in queues if count and not name.endswith(".dead")]
            for service in SERVICES:
                waiting = self.rows(service, "SELECT name FROM outbox")
                found += [f"{service} outbox: {name}" for (name,) in waiting if not name.endswith("overdue")]
            taken = self.rows("scene-render", "SELECT attempt_id FROM provider_slots WHERE attempt_id IS NOT NULL")
            return found + [f"slot: {attempt}" for attempt in taken]

        await eventually(lambda: not leftovers(), 30, f"all is quiet; left: {leftovers()}", every=1.0)

    def paid_once(self, video_id: str) -> None:
        """One storyboard, and one paid task a scene by the provider's record, however often things were restarted."""
        [(boards,)] = self.rows("storyboard", f"SELECT COUNT(*) FROM storyboards WHERE video_id = '{video_id}'")
        attempts = self.rows(
            "scene-render",
            # One that was withdrawn because its process came too late was never sent: it ended without a reason.
            f"SELECT scene_number, COUNT(*) FROM attempts WHERE video_id = '{video_id}' "
            "AND NOT (state = 'FAILED' AND failure_kind IS NULL) GROUP BY scene_number",
        )
        ids = {row[0] for row in self.rows("scene-render", f"SELECT id FROM attempts WHERE video_id = '{video_id}'")}
        # Of other tests and providers there are tasks without the address of an attempt.
        tasks = [t for t in self.simulator.tasks() if ids & set(t["request"].get("callback_url", "").split("/"))]
        scenes = len(self.look(video_id)["scenes"])
        assert boards == 1
        assert dict(attempts) == dict.fromkeys(range(1, scenes + 1), 1)
        assert len(tasks) == scenes
        booked = self.rows("scene-render", f"SELECT SUM(booked_usd) FROM spend WHERE video_id = '{video_id}'")
        assert booked == [(sum(Decimal(task["chargedUsd"]) for task in tasks),)]

    def stop(self) -> None:
        for process in self.processes:
            if process.popen is not None and process.popen.poll() is None:
                process.popen.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.stop()


@contextlib.contextmanager
def running(
    broker: BrokerCorner,
    sql: SqlServer,
    schema: Callable[[], str],
    s3: S3Server,
    simulator: Simulator,
    *,
    start: bool = True,
    **more: Any,
) -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="multishot-e2e-") as folder:
        stack = Stack(
            broker, sql, {name: schema() for name in SERVICES}, s3.new_bucket(), s3, Path(folder), simulator, **more
        )
        try:
            broker.add_users(users())
            if start:
                broker.load(topology.definitions(EVENTS, broker.vhost))
                asyncio.run(stack.start())
            yield stack
        finally:
            stack.stop()
            broker.remove()


@pytest.fixture(scope="session")
def stack_on(s3: S3Server, simulator: Simulator) -> Callable[..., contextlib.AbstractContextManager[Stack]]:
    """Run a stack on servers of one's own."""
    return lambda broker, sql, schema: running(broker, sql, schema, s3, simulator)


@pytest.fixture(scope="session")
def run_stack() -> Callable[..., contextlib.AbstractContextManager[Stack]]:
    """Run a stack with settings of one's own."""
    return running


@pytest.fixture(scope="session")
def simulate() -> Callable[..., contextlib.AbstractContextManager[Simulator]]:
    """Run a simulator of one's own."""
    return simulating


@pytest.fixture(scope="session")
def stack(
    rabbitmq: Callable[[], BrokerCorner],
    sql_server: SqlServer,
    schema: Callable[[], str],
    s3: S3Server,
    simulator: Simulator,
) -> Iterator[Stack]:
    """A running stack with one replica of each service, for all tests that leave it as they found it."""
    with running(rabbitmq(), sql_server, schema, s3, simulator) as stack:
        yield stack


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of one system in one process, one after the other: those of `stack`, and those of each module."""
    for item in items:
        if item.path.parent != Path(__file__).parent or not item.get_closest_marker("connected"):
            continue
        if item.get_closest_marker("xdist_group") is None:
            shares = "stack" in getattr(item, "fixturenames", ())
            item.add_marker(pytest.mark.xdist_group("e2e" if shares else item.path.stem))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: Any) -> Iterator[Any]:
    """Show what the services had to say when a test fails."""
    report = yield
    stack = getattr(item, "funcargs", {}).get("stack")
    if report.failed and isinstance(stack, Stack):
        for process in (process for process in stack.processes if process.log.exists()):
            report.sections.append((f"{process.service} ({process.log.name})", process.log.read_text()[-3000:]))
    return report


@dataclass
class Watcher:
    """A browser's Socket.IO client: what it has heard, in order."""

    client: socketio.AsyncClient
    heard: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def of(self, video_id: str) -> list[tuple[str, dict[str, Any]]]:
        return [(name, data) for name, data in self.heard if data["videoId"] == video_id]

    async def subscribe(self, wish: Any = None) -> dict[str, Any]:
        return await self.client.call("subscribe_video_updates", wish, timeout=10)


@contextlib.asynccontextmanager
async def watching(url: str) -> AsyncIterator[Watcher]:
    client = socketio.AsyncClient()
    watcher = Watcher(client)

    @client.on("*")
    def hear(name: str, data: dict[str, Any]) -> None:
        watcher.heard.append((name, data))

    await client.connect(url, transports=["websocket"])
    try:
        yield watcher
    finally:
        await client.disconnect()


@pytest.fixture
def watch() -> Callable[[str], contextlib.AbstractAsyncContextManager[Watcher]]:
    return watching
