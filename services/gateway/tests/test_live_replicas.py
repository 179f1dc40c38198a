"""Several replicas of the gateway as they run in production: processes, on a real broker and a real database."""

import asyncio
import contextlib
import itertools
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

import pytest

from gateway.live.rooms import SILENT_SECONDS
from shared.contracts.events import (
    Event,
    SceneDelayed,
    SceneFailed,
    SceneRendered,
    SceneStarted,
    StoryboardCreated,
    VideoCancelled,
    VideoComposing,
)
from shared.contracts.media import Clip, MediaReference, clip_key
from shared.contracts.story import Scene
from shared.messaging.rabbitmq import Publisher
from shared.persistence.outbox import OutboxMessage
from shared_testing.broker import BrokerCorner
from shared_testing.ports import free_port
from shared_testing.servers import eventually, fetch_json
from shared_testing.sql_server import SqlServer

pytestmark = [pytest.mark.connected, pytest.mark.xdist_group("gateways")]

BIN = Path(sys.executable).parent
COMES_BACK_SECONDS = 0.3

OpenPage = Callable[..., Awaitable[Any]]


@dataclass
class Replica:
    popen: "subprocess.Popen[bytes]"
    url: str
    log: Path

    def readiness(self) -> tuple[int, Any]:
        assert self.popen.poll() is None, self.log.read_text()[-3000:]
        return fetch_json(f"{self.url}/readyz", timeout=5)

    async def ready(self) -> None:
        await eventually(lambda: self.readiness()[0] == 200, 60, f"the gateway is ready; its log: {self.log}")

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait(10)


@dataclass
class Gateways:
    """Replicas of the gateway on one schema and one vhost, and another publisher."""

    broker: BrokerCorner
    environment: dict[str, str]
    folder: Path
    publisher: Publisher
    replicas: list[Replica] = field(default_factory=list)

    def start(self, broker_url: str | None = None) -> Replica:
        port = free_port()
        environment = self.environment | {"PORT": str(port), "BROKER_URL": broker_url or self.broker.url}
        log = self.folder / f"gateway-{port}.log"
        popen = subprocess.Popen([BIN / "gateway"], env=environment, stdout=log.open("ab"), stderr=subprocess.STDOUT)
        self.replicas.append(Replica(popen, f"http://127.0.0.1:{port}", log))
        return self.replicas[-1]

    async def two(self) -> tuple[Replica, Replica]:
        first, second = self.start(), self.start()
        await asyncio.gather(first.ready(), second.ready())
        return first, second

    async def publish(self, *events: Event) -> None:
        """Publish as another service does."""
        for event in events:
            outbox_message = OutboxMessage(uuid4().hex, event.name, str(event.video_id), {}, event.model_dump_json())
            await self.publisher.send(outbox_message)

    def look(self, replica: Replica, video_id: UUID) -> dict[str, Any]:
        status, video = fetch_json(f"{replica.url}/api/v1/videos/{video_id}")
        assert status == 200, video
        return video

    async def ask(self, replica: Replica) -> UUID:
        wish = {"prompt": "A fox", "sceneCount": 2, "duration": 20}
        status, video = await asyncio.to_thread(fetch_json, f"{replica.url}/api/v1/videos", wish)
        assert status == 202, video
        return UUID(video["videoId"])

    def queues(self) -> dict[str, dict[str, str]]:
        """Return all queues with their types."""
        return self.broker.facts("durable", "auto_delete", "exclusive", "messages")

    def waiting(self) -> dict[str, int]:
        """Return the gateways' queues that hold messages. Queues of services that do not run here fill up."""
        filled = {name: int(facts["messages"]) for name, facts in self.queues().items() if facts["messages"] != "0"}
        return {name: count for name, count in filled.items() if name.startswith("gateway.")}

    def own_queues(self) -> set[str]:
        """Return the queues that belong to one replica each."""
        return {name for name, facts in self.queues().items() if facts["exclusive"] == "true"}


@pytest.fixture(scope="module")
def corner(
    rabbitmq: Callable[[], BrokerCorner],
    sql_server: SqlServer,
    schema: Callable[[], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[BrokerCorner, dict[str, str]]]:
    """A vhost, and the settings of gateways on one schema."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "TMPDIR", "LANG") if key in os.environ}
    environment = kept | {
        "DATABASE_URL": sql_server.url(schema()),
        "STORAGE_URL": tmp_path_factory.mktemp("media").as_uri(),
        "MEDIA_SECRET": "secret",
    }
    subprocess.run([BIN / "gateway", "migrate"], env=environment, check=True, timeout=120)
    broker = rabbitmq()
    yield broker, environment
    broker.remove()


@pytest.fixture
async def gateways(corner: tuple[BrokerCorner, dict[str, str]], tmp_path: Path) -> AsyncIterator[Gateways]:
    broker, environment = corner
    publisher = Publisher(broker.url)
    await publisher.start("gateway")
    gateways = Gateways(broker, environment, tmp_path, publisher)
    try:
        yield gateways
    finally:
        await publisher.stop()
        for replica in gateways.replicas:
            replica.popen.send_signal(signal.SIGTERM)
        for replica in gateways.replicas:
            replica.popen.wait(20)


@dataclass
class Wire:
    """A proxy to the broker that can be cut."""

    target: tuple[str, int]
    port: int = field(default_factory=free_port)
    server: asyncio.Server | None = None
    ends: set[asyncio.StreamWriter] = field(default_factory=set)

    async def join(self) -> None:
        self.server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)

    async def cut(self) -> None:
        assert self.server is not None
        self.server.close()
        for end in self.ends:
            end.transport.abort()
        self.server = None

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self.target)
        self.ends |= {writer, back}
        await asyncio.gather(_pump(reader, back), _pump(there, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


@pytest.fixture
async def wire(gateways: Gateways) -> AsyncIterator[tuple[Wire, str]]:
    """Start a proxy to the broker; yields it and the URL through it."""
    parts = urlsplit(gateways.broker.url)
    wire = Wire((parts.hostname or "127.0.0.1", parts.port or 5672))
    login, _, _ = parts.netloc.rpartition("@")
    yield wire, urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{wire.port}"))
    if wire.server is not None:
        await wire.cut()


def delayed(video_id: UUID, why: str) -> SceneDelayed:
    return SceneDelayed(video_id=video_id, scene_number=1, provider="p", kind="k", reason=why)


def board(video_id: UUID) -> StoryboardCreated:
    return StoryboardCreated(
        video_id=video_id, title="t", niche="n", overall_prompt="p", total_duration=20, story_script="s",
        aspect_ratio="16:9",
        scenes=tuple(
            Scene(scene_number=n, description="d", camera_angle="wide", duration=10, action="a", transition="cut")
            for n in (1, 2)
        ),
    )  # fmt: skip


def started(video_id: UUID, n: int) -> SceneStarted:
    return SceneStarted(video_id=video_id, scene_number=n, provider="p", eta_seconds=9)


def rendered(video_id: UUID, n: int) -> SceneRendered:
    key = clip_key(video_id, n, 1)
    media = MediaReference(key=key, content_type="video/mp4", size=1, sha256="0" * 64)
    clip = Clip(media=media, width=1280, height=720, frames=240, has_audio=True)
    return SceneRendered(video_id=video_id, scene_number=n, clip=clip, duration=10, cost_usd="0", provider="p")


@dataclass
class Visitor:
    """A page that reconnects, to the next replica if necessary, with the last event of each video."""

    page: Any
    urls: Iterator[str]
    videos: list[UUID]
    drops: int = 0

    async def stay(self) -> None:
        """Reconnect whenever the connection is lost, until cancelled."""
        while True:
            if not self.page.is_open:
                try:
                    await self.page.open(next(self.urls))
                    for video_id in self.videos:
                        wish = {"videoId": str(video_id), "lastSeq": self.page.last_seq(video_id)}
                        assert await self.page.subscribe(wish) == {"ok": True}
                except Exception:  # noqa: BLE001 - it connects again, instead of staying without its videos
                    with contextlib.suppress(Exception):
                        await self.page.lose()
            await asyncio.sleep(COMES_BACK_SECONDS)

    async def lose(self) -> None:
        if self.page.is_open:
            self.drops += 1
            await self.page.lose()


@contextlib.asynccontextmanager
async def staying(visitors: list[Visitor]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(visitor.stay()) for visitor in visitors]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


# --- two replicas


async def test_events_of_another_service_reach_pages_at_both_replicas_in_order(
    gateways: Gateways, open_page: OpenPage
) -> None:
    first, second = await gateways.two()
    videos = [await gateways.ask(first) for _ in range(20)]
    silent, asking = await open_page(first.url), await open_page(second.url)
    for video_id in videos:
        await asking.subscribe({"videoId": str(video_id), "lastSeq": 0})
    await asyncio.sleep(SILENT_SECONDS + 0.5)
    count = 15
    begun = time.time()
    for n, video_id in enumerate(videos * count):
        await asyncio.sleep(max(0.0, begun + n / 200 - time.time()))
        await gateways.publish(delayed(video_id, str(time.time())))
    rate = count * len(videos) / (time.time() - begun)
    pages = (silent, asking)
    await eventually(lambda: all(page.last_seq(v) == count + 1 for page in pages for v in videos), 60)
    for page, video_id in itertools.product(pages, videos):
        assert page.seqs(video_id)[-count:] == list(range(2, count + 2))
    late = [
        at - float(data["notice"])
        for p in pages
        for at, (_, data) in zip(p.heard_at, p.heard, strict=True)
        if data["notice"]
    ]
    median = statistics.median(late) * 1000
    print(f"\nfrom publishing to the page, at {rate:.0f} events/s: median {median:.0f} ms")  # noqa: T201 - for whoever looks


async def test_a_killed_replica_leaves_no_queue_and_its_pages_miss_nothing(
    gateways: Gateways, open_page: OpenPage, request: pytest.FixtureRequest
) -> None:
    """1,000 events and 40 lost connections with --all, 150 and 6 without."""
    events, drops = (1_000, 40) if request.config.getoption("--all") else (150, 6)
    first, second = await gateways.two()
    video_id = await gateways.ask(first)
    visitors = [
        Visitor(await open_page(one.url, {"feed": False}), itertools.cycle([other.url, one.url]), [video_id])
        for one, other in ((first, second), (first, second), (second, first))
    ]
    for visitor in visitors:
        await visitor.page.close()
    before = gateways.own_queues()
    assert len(before) == 2
    async with staying(visitors):
        for n in range(events):
            await gateways.publish(delayed(video_id, f"reason {n}"))
            if n % (events // drops) == 0:
                await visitors[n % len(visitors)].lose()
            if n == events // 2:
                first.kill()
            await asyncio.sleep(0.01)
        await eventually(
            lambda: all(visitor.page.last_seq(video_id) == events + 1 for visitor in visitors),
            90,
            f"all is heard: {[visitor.page.last_seq(video_id) for visitor in visitors]}",
        )
    for visitor in visitors:
        assert visitor.page.seqs(video_id) == list(range(1, events + 2))
    assert sum(visitor.drops for visitor in visitors) >= drops // 2
    await eventually(lambda: len(gateways.own_queues()) == 1, 15)
    assert gateways.own_queues() < before


async def test_200_pages_agree_with_the_database_after_one_replica_is_killed(
    gateways: Gateways, open_page: OpenPage
) -> None:
    first, second = await gateways.two()
    videos = [await gateways.ask(second) for _ in range(5)]
    ways = [(first.url, second.url), (second.url, first.url)]
    visitors = []
    for n in range(200):
        page = await open_page(ways[n % 2][0], {"feed": False})
        visitors.append(Visitor(page, itertools.cycle(ways[(n + 1) % 2]), [videos[n % 5]]))
        assert await page.subscribe({"videoId": str(videos[n % 5]), "lastSeq": 0}) == {"ok": True}
    async with staying(visitors):
        for n, step in enumerate((board, lambda v: started(v, 1), lambda v: started(v, 2), lambda v: rendered(v, 2))):
            await gateways.publish(*(step(video_id) for video_id in videos))
            if n == 1:
                first.kill()
        failed, cancelled, composing = videos[:3]
        reason = {"kind": "k", "reason": "Too dark.", "cost_usd": "0"}
        await gateways.publish(
            SceneFailed(video_id=failed, scene_number=1, **reason),
            VideoCancelled(video_id=cancelled, by="me", reason="r"),
            rendered(composing, 1),
            VideoComposing(video_id=composing),
        )
        rows: dict[UUID, dict[str, Any]] = {}
        last: dict[UUID, int] = {}
        behind: list[tuple[int, bool, int, int]] = []

        def agree() -> bool:
            """Read the rows anew each time: the broker's counts of waiting messages lag behind."""
            rows.update({video_id: gateways.look(second, video_id) for video_id in videos})
            last.update({video_id: row["lastSeq"] for video_id, row in rows.items()})
            is_done = (
                all(len(row["scenes"]) == 2 for row in rows.values())
                and rows[failed]["scenes"][0]["state"] == "failed"
                and rows[cancelled]["status"] == "cancelled"
                and rows[composing]["currentStep"] == "combining"
                and all(rows[video_id]["scenes"][1]["state"] == "rendered" for video_id in (failed, *videos[2:]))
            )
            behind[:] = [
                (n, v.page.is_open, v.page.last_seq(id_), last[id_])
                for n, v in enumerate(visitors)
                for id_ in v.videos
                if v.page.last_seq(id_) != last[id_]
            ]
            return is_done and not behind

        await eventually(lambda: gateways.waiting() == {}, 60, "no message waits", every=1.0)
        with contextlib.suppress(AssertionError):
            await eventually(agree, 90, every=1.0)
        assert behind == [], "these pages (number, connected, last event, that of the row) do not show the row"
    assert {row["status"] for row in rows.values()} == {"processing", "cancelled"}
    assert len({str(_standing(row)) for row in rows.values()}) >= 3
    for visitor in visitors:
        [video_id] = visitor.videos
        assert visitor.page.view(video_id) == _standing(rows[video_id])
        assert visitor.page.seqs(video_id) == list(range(1, last[video_id] + 1))


def _standing(row: dict[str, Any]) -> dict[str, Any]:
    scenes = [{"sceneNumber": s["sceneNumber"], "state": s["state"], "progress": s["progress"]} for s in row["scenes"]]
    return {**{key: row[key] for key in ("status", "progress", "currentStep")}, "sceneStates": scenes}


# --- the broker


async def test_nothing_is_missed_when_the_broker_closes_all_connections(
    gateways: Gateways, open_page: OpenPage
) -> None:
    replica = gateways.start()
    await replica.ready()
    video_id = await gateways.ask(replica)
    page = await open_page(replica.url)
    await page.subscribe({"videoId": str(video_id), "lastSeq": 0})
    closed = time.monotonic()
    await asyncio.to_thread(
        gateways.broker.control, ["close_all_connections", "-p", gateways.broker.vhost, "a test wants it"]
    )
    for n in range(20):
        await eventually(lambda n=n: _published(gateways, delayed(video_id, f"reason {n}")), 30, every=0.2)
    await eventually(lambda: page.last_seq(video_id) == 21, 30)
    print(f"\nall is heard again after {time.monotonic() - closed:.1f} s")  # noqa: T201 - for whoever looks
    assert page.seqs(video_id) == list(range(1, 22))
    await replica.ready()


async def _published(gateways: Gateways, event: Event) -> bool:
    try:
        await gateways.publish(event)
    except Exception:  # noqa: BLE001 - our own connection is closed too
        return False
    return True


async def test_a_replica_without_broker_sends_what_the_other_has_saved(
    gateways: Gateways, open_page: OpenPage, wire: tuple[Wire, str]
) -> None:
    """It also starts without a broker: it answers, is not ready, and becomes ready with the broker."""
    way, url = wire
    healthy, alone = gateways.start(), gateways.start(url)
    await healthy.ready()

    def waits_for_the_broker_alone() -> bool:
        status, checks = alone.readiness()
        return status == 503 and checks["database"] is True and checks["broker"] is False

    await eventually(waits_for_the_broker_alone, 30)

    video_id = await gateways.ask(alone)
    page = await open_page(alone.url)
    assert await page.subscribe({"videoId": str(video_id), "lastSeq": 0}) == {"ok": True}
    await gateways.publish(delayed(video_id, "one"))
    await eventually(lambda: page.last_seq(video_id) == 2, 30)

    await way.join()
    await alone.ready()
    await gateways.publish(delayed(video_id, "two"))
    await eventually(lambda: page.last_seq(video_id) == 3, 30)

    await way.cut()
    await gateways.publish(delayed(video_id, "three"))
    await eventually(lambda: page.last_seq(video_id) == 4, 30)
    await way.join()
    await alone.ready()
    await gateways.publish(delayed(video_id, "four"))
    await eventually(lambda: page.last_seq(video_id) == 5, 30)
    assert page.seqs(video_id) == [1, 2, 3, 4, 5]


async def test_no_queue_has_a_type_that_newer_brokers_refuse(gateways: Gateways) -> None:
    """RabbitMQ 4.3 refuses queues that are neither durable nor exclusive."""
    await gateways.two()
    queues = gateways.queues()
    assert len(queues) > 20
    assert [name for name, facts in queues.items() if "true" not in (facts["durable"], facts["exclusive"])] == []
    assert [name for name, facts in queues.items() if facts["exclusive"] == "true" and facts["durable"] == "true"] == []
