import asyncio
import contextlib
import json
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import socketio
import uvicorn
from pydantic import SecretStr

from gateway import app as gateway_app
from gateway.app import Gateway
from gateway.internal_messages import VideoUpdated
from gateway.live import rooms as live
from gateway.models import Base
from gateway.settings import Settings
from shared.contracts.events import (
    Event,
    SceneProgressed,
    SceneRendered,
    SceneStarted,
    StoryboardCreated,
    VideoComposed,
    VideoComposing,
    VideoStoring,
)
from shared.contracts.media import Clip, MediaReference, clip_key, film_key, thumbnail_key
from shared.contracts.story import Scene
from shared.http.serving import web_server
from shared.messaging.message_processor import Handled, Service, process
from shared.persistence.migration_files import folder_of
from shared.persistence.unit_of_work import transaction
from shared_testing.servers import _or_skip, delivery, eventually, migrated

CLIENTS = Path(__file__).with_name("clients")

Node = Callable[..., Any]


class Nobody:
    async def publish(self, event: object) -> None:
        """Publish to nobody."""


@pytest.fixture(autouse=True)
def called_by_these_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the gateway answer for the host names that tests use."""
    monkeypatch.setenv("ALLOWED_HOSTS", '["gateway", "new.example"]')


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with an empty schema; copying it is faster than migrating each time."""
    path = tmp_path_factory.mktemp("schema") / "gateway.db"

    _in_a_thread(_migrate(f"sqlite+aiosqlite:///{path}"))
    return path


async def _migrate(url: str) -> None:
    async with migrated(url, Base.metadata, folder_of(gateway_app.__file__)):
        pass


def _in_a_thread(work: Coroutine[None, None, None]) -> None:
    """Run work in a thread, because a loop may be running in this one."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path, empty_database: Path) -> str:
    if getattr(request, "param", "sqlite") == "mariadb":
        server = request.getfixturevalue("sql_server")
        url = str(server.url(request.getfixturevalue("schema")()))
        _in_a_thread(_migrate(url))
        return url
    shutil.copy(empty_database, tmp_path / "gateway.db")
    return f"sqlite+aiosqlite:///{tmp_path}/gateway.db"


@pytest.fixture
def more_settings() -> dict[str, Any]:
    """Settings of one test."""
    return {}


@pytest.fixture
async def gateway(tmp_path: Path, database_url: str, more_settings: dict[str, Any]) -> AsyncIterator[Gateway]:
    settings = Settings(
        database_url=SecretStr(database_url),
        storage_url=(tmp_path / "media").as_uri(),
        media_secret=SecretStr("secret"),
        **more_settings,
    )
    gateway = Gateway(settings)
    yield gateway
    await gateway.database.close()


@pytest.fixture
def service(gateway: Gateway) -> Service[Any]:
    return gateway.service(Nobody())


@pytest.fixture
async def api(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    app = gateway.app(gateway.storage, routes=[])
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client


# --- sockets


@dataclass
class Page:
    """A page that shows videos: the events of its socket, in order, and its view of them."""

    auth: dict[str, Any] | None = None
    heard: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    heard_at: list[float] = field(default_factory=list)
    client: socketio.AsyncClient | None = None

    async def open(self, url: str) -> None:
        client = socketio.AsyncClient(reconnection=False)

        @client.on("*")
        def hear(name: str, data: dict[str, Any]) -> None:
            self.heard.append((name, data))
            self.heard_at.append(time.time())

        await client.connect(url, auth=self.auth, transports=["websocket"], wait_timeout=20)
        self.client = client

    async def close(self) -> None:
        if self.client is not None:
            with contextlib.suppress(Exception):
                await self.client.disconnect()
        self.client = None

    async def lose(self) -> None:
        """Lose the connection, as by a pulled cable."""
        assert self.client is not None
        self.client.eio.ws._response.connection.transport.abort()
        await self.client.wait()

    @property
    def is_open(self) -> bool:
        return self.client is not None and self.client.connected

    async def subscribe(self, *wanted: Any) -> dict[str, Any]:
        assert self.client is not None
        return await self.client.call("subscribe_video_updates", *wanted, timeout=20)

    async def unsubscribe(self, *wanted: Any) -> dict[str, Any]:
        assert self.client is not None
        return await self.client.call("unsubscribe_video_updates", *wanted, timeout=20)

    def of(self, video_id: object) -> list[dict[str, Any]]:
        return [data for _, data in self.heard if data["videoId"] == str(video_id)]

    def seqs(self, video_id: object) -> list[int]:
        return [data["seq"] for data in self.of(video_id) if data["seq"] is not None]

    def last_seq(self, video_id: object) -> int:
        return max(self.seqs(video_id), default=0)

    def view(self, video_id: object) -> dict[str, Any]:
        """Return the state of a video by its last event."""
        last = self.of(video_id)[-1] if self.of(video_id) else {}
        return {key: last.get(key) for key in ("status", "progress", "currentStep", "sceneStates")}


@pytest.fixture
async def open_page() -> AsyncIterator[Callable[..., Awaitable[Page]]]:
    """Open pages; they are closed after the test."""
    pages = []

    async def opened(url: str, auth: dict[str, Any] | None = None) -> Page:
        pages.append(Page(auth))
        await pages[-1].open(url)
        return pages[-1]

    yield opened
    await asyncio.gather(*(page.close() for page in pages))


@pytest.fixture
async def url(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The URL of the gateway, served in this process."""
    monkeypatch.setattr(live, "SILENT_SECONDS", 0.3)
    server = web_server(gateway.app(contextlib.nullcontext(), routes=[]), "127.0.0.1", 0)
    task = asyncio.create_task(server.serve())
    await eventually(lambda: server.started, 10, every=0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await task


@pytest.fixture
def served_soon(gateway: Gateway) -> Callable[[], contextlib.AbstractAsyncContextManager[httpx.AsyncClient]]:
    """Serve the API on a real socket, for answers that are streamed."""

    @contextlib.asynccontextmanager
    async def serving() -> AsyncIterator[httpx.AsyncClient]:
        app = gateway.app(gateway.storage, routes=[])
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1))
        running = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            yield client
        server.should_exit = True
        await running

    return serving


@pytest.fixture
async def served(served_soon: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with served_soon() as client:
        yield client


@pytest.fixture
def happen(gateway: Gateway) -> Callable[..., Awaitable[None]]:
    """Pass events to the service's handlers, through its inbox, and publish the result."""
    # Building the service replaces the publisher that a test may have set.
    service = gateway.service(gateway.event_log.ephemeral)
    handled_by = {one.event: one for one in service.router.subscriptions}

    async def do(*events: Event) -> None:
        for event in events:
            before = await gateway.event_log.last_seq(event.video_id) or 0
            subscription = handled_by[type(event)]
            body = event.model_dump_json().encode()
            outcome = await process(service, subscription, delivery(subscription.consumer), body)
            assert isinstance(outcome, Handled), outcome
            for event_told in await gateway.event_log.events_after(event.video_id, before):
                await gateway.event_stream.publish(event.video_id, "anonymous", event_told)

    return do


@pytest.fixture(scope="session")
def film_events() -> Callable[..., Awaitable[list[Event]]]:
    """Do as `film_of`, for another gateway."""
    return _events_to_film


@pytest.fixture
def film_of(gateway: Gateway, tmp_path: Path) -> Callable[[str], Awaitable[list[Event]]]:
    """Return the events of a video of two scenes until it is a film; its files are in the storage."""
    return lambda video_id: _events_to_film(gateway, video_id, tmp_path)


async def _events_to_film(gateway: Gateway, video_id: str, folder: Path) -> list[Event]:
    (folder / "film").write_bytes(bytes(range(200)))
    film = await gateway.storage.put(film_key(video_id), folder / "film", "video/mp4")
    picture = await gateway.storage.put(thumbnail_key(video_id), folder / "film", "image/jpeg")
    scenes = tuple(
        Scene(scene_number=n, description="d", camera_angle=angle, duration=15, action="a", transition="cut")
        for n, angle in ((1, "wide"), (2, "medium"))
    )
    events: list[Event] = [
        StoryboardCreated(
            video_id=UUID(video_id), title="t", niche="n", overall_prompt="p", total_duration=30, scenes=scenes,
            story_script="s", aspect_ratio="16:9",
        )
    ]  # fmt: skip
    for n in (1, 2):
        media = await gateway.storage.put(clip_key(video_id, n, 1), folder / "film", "video/mp4")
        clip = Clip(media=media, width=1280, height=720, frames=360, has_audio=True)
        events.append(
            SceneRendered(
                video_id=UUID(video_id), scene_number=n, clip=clip, duration=15, cost_usd="0.25", provider="runway"
            )
        )
    composed = VideoComposed(video_id=UUID(video_id), film=film, thumbnail=picture, duration=30, width=1280, height=720)
    return [*events, composed]


@pytest.fixture
def filmed(api: httpx.AsyncClient, happen: Any, film_of: Any) -> Callable[[], Awaitable[dict[str, Any]]]:
    """Create a completed video; returns it as the API shows it."""

    async def make() -> dict[str, Any]:
        video = (await api.post("/api/v1/videos", json={"prompt": "a fox", "sceneCount": 2})).json()
        await happen(*await film_of(video["videoId"]))
        shown: dict[str, Any] = (await api.get(video["links"]["self"])).json()
        return shown

    return make


@pytest.fixture
def node(request: pytest.FixtureRequest) -> Node:
    """Run a script of `clients/` with the real npm packages; returns the JSON that it prints."""
    found = shutil.which("node")
    if found is None or not (CLIENTS / "node_modules").is_dir():
        _or_skip(request, "Node.js", "no node, or its packages are not installed (make test does it where npm is)")

    async def run(*arguments: str, given: str = "", seconds: float = 60) -> Any:
        process = await asyncio.create_subprocess_exec(
            str(found), *arguments, cwd=CLIENTS,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(seconds):
                out, err = await process.communicate(given.encode())
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        assert process.returncode == 0, err.decode() + out.decode()
        return json.loads(out)

    return run


@pytest.fixture
def telling(gateway: Gateway) -> None:
    """Publish saved events at once, as replicas do through the broker."""

    class Told:
        async def publish(self, event: Event) -> None:
            assert isinstance(event, VideoUpdated)
            await gateway.event_stream.publish(event.video_id, event.owner, event.live)

    gateway.event_log.ephemeral = Told()


@pytest.fixture
def film(gateway: Gateway, telling: None) -> Callable[[UUID], Awaitable[None]]:
    """Pass all events of a finished film to a video."""

    async def make(video_id: UUID) -> None:
        media = MediaReference(key="videos/x/film.mp4", content_type="video/mp4", size=1, sha256="0" * 64)
        scene = Scene(scene_number=1, description="d", camera_angle="wide", duration=30, action="a", transition="cut")
        clip = Clip(media=media, width=1280, height=720, frames=720, has_audio=True)
        for event in (
            StoryboardCreated(
                video_id=video_id, title="t", niche="n", overall_prompt="p", total_duration=30, scenes=(scene,),
                story_script="s", aspect_ratio="16:9",
            ),
            SceneStarted(video_id=video_id, scene_number=1, provider="p", eta_seconds=9),
            SceneProgressed(video_id=video_id, scene_number=1, provider="p", percent=50, eta_seconds=4),
            SceneRendered(video_id=video_id, scene_number=1, clip=clip, duration=30, cost_usd="0.25", provider="p"),
            VideoComposing(video_id=video_id),
            VideoStoring(video_id=video_id),
            VideoComposed(video_id=video_id, film=media, thumbnail=media, duration=30, width=1280, height=720),
        ):  # fmt: skip
            async with transaction(gateway.database) as work:
                await gateway.projector.record(work, event)

    return make
