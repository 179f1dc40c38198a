"""How much of the speed of bare FastAPI and plain python-socketio the gateway keeps, measured side by side.

Only the ratios mean anything: each round measures both, one right after the other, on the same machine.
"""

import argparse
import asyncio
import contextlib
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import films
from uvicorn.loops.auto import auto_loop_factory

from shared_testing.ports import free_port
from shared_testing.servers import eventually, fetch_json
from shared_testing.sql_server import SqlServer

BIN = Path(sys.executable).parent
CONNECTIONS = 16
SOCKETS = 200
EVENTS = 100
GOALS = {"GET": 0.30, "GET film": 0.30, "304": 0.60, "fan-out": 0.90}
WISH = {"prompt": films.PROMPT, "sceneCount": 3, "duration": 30}


class Asking(asyncio.Protocol):
    """One connection that asks the same again and again and counts the answers."""

    def __init__(self, request: bytes, status: bytes) -> None:
        self.request = request
        self.status = status
        self.answers = 0
        self.buffer = b""
        self.error: bytes | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        """Count a whole answer and ask again."""
        self.buffer += data
        head, end, body = self.buffer.partition(b"\r\n\r\n")
        if not end:
            return
        _, _, length = head.lower().partition(b"content-length:")
        if len(body) < int(length.split(b"\r\n", 1)[0] or 0):
            return
        if head.split(b" ", 2)[1] != self.status:
            self.error = self.buffer[:500]
            self.transport.close()
            return
        self.answers += 1
        self.buffer = b""
        self.transport.write(self.request)


async def answers_per_second(port: int, request: bytes, status: bytes, seconds: float) -> float:
    """How many answers a server gives, on a few connections at once."""
    loop = asyncio.get_running_loop()
    pairs = [
        await loop.create_connection(lambda: Asking(request, status), "127.0.0.1", port) for _ in range(CONNECTIONS)
    ]
    begun = time.monotonic()
    await asyncio.sleep(seconds)
    took = time.monotonic() - begun
    count = sum(asking.answers for _, asking in pairs)
    for transport, asking in pairs:
        transport.close()
        if asking.error:
            raise RuntimeError(asking.error.decode(errors="replace"))
    return count / took


def get(path: str, *headers: str) -> bytes:
    """Return the bytes of a GET request."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "host: bench", "accept: application/json", *headers, "", ""]).encode()


def post(path: str, body: object) -> bytes:
    """Return the bytes of a POST request with JSON."""
    text = json.dumps(body)
    head = [f"POST {path} HTTP/1.1", "host: bench", "content-type: application/json", f"content-length: {len(text)}"]
    return "\r\n".join([*head, "", text]).encode()


class Sockets:
    """Many Socket.IO clients that only count."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.heard = 0

    async def open(self, session: aiohttp.ClientSession) -> None:
        """Connect them all."""
        self.tasks = []
        for _ in range(SOCKETS):
            socket = await session.ws_connect(f"{self.url}/socket.io/?EIO=4&transport=websocket")
            await socket.receive()
            await socket.send_str("40")
            await socket.receive()
            self.tasks.append(asyncio.create_task(self._count(socket)))

    async def _count(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.data.startswith("42"):
                self.heard += 1
            elif message.data == "2":
                await socket.send_str("3")

    async def per_second(self, session: aiohttp.ClientSession) -> float:
        """Trigger the server and return how many events reach all clients together."""
        self.heard, begun = 0, time.monotonic()
        async with session.post(f"{self.url}/go/{EVENTS}") as answer:
            answer.raise_for_status()
        await eventually(lambda: self.heard >= SOCKETS * EVENTS, 120, "all is heard", every=0.005)
        return SOCKETS * EVENTS / (time.monotonic() - begun)


@contextlib.contextmanager
def process(command: list[str | Path], environment: dict[str, str] | None = None) -> Iterator[None]:
    """A server in a process of its own."""
    popen = subprocess.Popen(command, env=os.environ | (environment or {}), stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        popen.terminate()
        popen.wait(20)


@contextlib.contextmanager
def database(folder: str) -> Iterator[str]:
    """A schema of the MariaDB on this machine; where there is none, an SQLite file."""
    server, name = (
        SqlServer("127.0.0.1", 3306, "root", os.environ.get("BENCH_DB_PASSWORD", "")),
        f"bench_{secrets.token_hex(4)}",
    )
    try:
        server.run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    except Exception as error:
        print(f"SQLite, as MariaDB is not to be had here: {error}")
        yield f"sqlite+aiosqlite:///{folder}/gateway.db"
        return
    try:
        yield server.url(name)
    finally:
        server.run(f"DROP DATABASE {name}")


async def measure(rounds: int, seconds: float) -> dict[str, list[tuple[float, float]]]:
    """Each figure and what it is to be held against, round by round."""
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in ("GET", "GET film", "304", "POST", "fan-out")}
    gateway, bare, plain, feed = (free_port() for _ in range(4))
    servers = Path(__file__).with_name("servers.py")
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="multishot-bench-"))
        environment = {
            "DATABASE_URL": stack.enter_context(database(folder)),
            "STORAGE_URL": Path(folder, "media").as_uri(),
            "MEDIA_SECRET": "secret",
            "PORT": str(gateway),
            # No broker: this measures only the gateway.
            "BROKER_URL": "amqp://nobody@127.0.0.1:1/",
            "LOG_LEVEL": "ERROR",
        }
        subprocess.run(
            [BIN / "gateway", "migrate"], env=os.environ | environment, check=True, stderr=subprocess.DEVNULL
        )
        await films.make(environment)
        stack.enter_context(process([BIN / "gateway"], environment))
        api = f"http://127.0.0.1:{gateway}/api/v1/videos"
        await eventually(lambda: fetch_json(api)[0] == 200, 60, "the gateway answers")
        bodies = {str(video_id): fetch_json(f"{api}/{video_id}")[1] for video_id in (films.GOING, films.FILM)}
        path, film = (f"/api/v1/videos/{video_id}" for video_id in bodies)
        for kind, port in (("bare", bare), ("plain", plain), ("feed", feed)):
            stack.enter_context(
                process([sys.executable, servers, kind, str(port)], {"BENCH_BODIES": json.dumps(bodies)})
            )
            await eventually(lambda port=port: fetch_json(f"http://127.0.0.1:{port}/openapi.json")[0] == 200, 60, kind)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            async with session.get(f"http://127.0.0.1:{gateway}{path}") as answer:
                etag = answer.headers.get("etag")
            sockets = {"plain": Sockets(plain), "feed": Sockets(feed)}
            for one in sockets.values():
                await one.open(session)
            await asyncio.sleep(3)  # Until sockets without a subscription get all events.
            for number in range(rounds + 1):
                found = {}
                for name, asked in (("GET", path), ("GET film", film)):
                    bare_get = await answers_per_second(bare, get(asked), b"200", seconds)
                    found[name] = (await answers_per_second(gateway, get(asked), b"200", seconds), bare_get)
                if etag:
                    unchanged = get(path, f"if-none-match: {etag}")
                    found["304"] = (await answers_per_second(gateway, unchanged, b"304", seconds), bare_get)
                wish = post("/api/v1/videos", WISH)
                bare_post = await answers_per_second(bare, wish, b"202", seconds)
                found["POST"] = (await answers_per_second(gateway, wish, b"202", seconds), bare_post)
                plainly = await sockets["plain"].per_second(session)
                found["fan-out"] = (await sockets["feed"].per_second(session), plainly)
                if number:  # The first round is for warming up.
                    for name, pair in found.items():
                        figures[name].append(pair)
    return figures


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each figure of a round")
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        figures = runner.run(measure(arguments.rounds, arguments.seconds))
    print(f"{'':10}{'ours/s':>10}{'bare/s':>10}{'ratio':>8}{'min':>7}{'max':>7}{'goal':>7}")
    for name, pairs in figures.items():
        if not pairs:
            print(f"{name:10}  not answered")
            continue
        ratios = [ours / bare for ours, bare in pairs]
        ours, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
        goal = f"{GOALS[name]:.2f}" if name in GOALS else ""
        middle = statistics.median(ratios)
        print(f"{name:10}{ours:>10,.0f}{bare:>10,.0f}{middle:>8.2f}{min(ratios):>7.2f}{max(ratios):>7.2f}{goal:>7}")


if __name__ == "__main__":
    main()
