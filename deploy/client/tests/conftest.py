"""A running gateway with videos that tests advance by hand."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import SecretStr

from gateway import app as gateway_app
from gateway.app import Gateway
from gateway.settings import Settings
from shared.contracts.events import (
    Event,
    SceneRendered,
    SceneStarted,
    StoryboardCreated,
    VideoComposed,
    VideoComposing,
)
from shared.contracts.media import Clip, MediaReference, film_key
from shared.contracts.story import Scene
from shared.http.serving import web_server
from shared.persistence.migration_files import folder_of
from shared.persistence.migrations import migrate
from shared.persistence.unit_of_work import transaction

FILM = bytes(range(256)) * 4096


@dataclass
class Served:
    """The gateway at `url`; `deliver` is what the other services would say."""

    gateway: Gateway
    url: str
    film: bytes = FILM

    async def deliver(self, *events: Event) -> None:
        for event in events:
            row = await self.gateway.queries.get(event.video_id, owner=None)
            async with transaction(self.gateway.database) as work:
                await self.gateway.projector.record(work, event)
            for live in await self.gateway.event_log.events_after(event.video_id, row.last_seq):
                await self.gateway.event_stream.publish(event.video_id, row.owner, live)

    async def write(self, video_id: str, *, review: bool = False) -> None:
        scenes = tuple(
            Scene(scene_number=n, description="d", camera_angle=angle, duration=15, action="a", transition="cut")
            for n, angle in ((1, "wide"), (2, "close-up"))
        )
        board = StoryboardCreated(
            video_id=UUID(video_id), title="A fox [red] / 狐", niche="n", overall_prompt="p", total_duration=30,
            scenes=scenes, story_script="s", aspect_ratio="16:9", review=review,
        )  # fmt: skip
        await self.deliver(board)

    async def render(self, video_id: str, folder: Path) -> None:
        own, path = UUID(video_id), folder / "film"
        path.write_bytes(FILM)
        film = await self.gateway.storage.put(film_key(own), path, "video/mp4")
        picture = MediaReference(key="a/b.jpg", content_type="image/jpeg", size=1, sha256="0" * 64)
        clip = Clip(media=film, width=1280, height=720, frames=360, has_audio=True)
        for n in (1, 2):
            await self.deliver(
                SceneStarted(video_id=own, scene_number=n, provider="animatic", eta_seconds=8),
                SceneRendered(
                    video_id=own, scene_number=n, clip=clip, duration=15, cost_usd="0.25", provider="animatic"
                ),
            )
        await self.deliver(
            VideoComposing(video_id=own),
            VideoComposed(video_id=own, film=film, thumbnail=picture, duration=30, width=1280, height=720),
        )


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    settings = Settings(
        database_url=SecretStr(f"sqlite+aiosqlite:///{tmp_path}/gateway.db"),
        storage_url=(tmp_path / "media").as_uri(),
        media_secret=SecretStr("secret"),
    )
    gateway = Gateway(settings)
    await migrate(gateway.database, folder_of(gateway_app.__file__))
    app = gateway.app(gateway.storage, routes=[])
    server = web_server(app, "127.0.0.1", 0)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]  # signals are pytest's
    task = asyncio.create_task(server.serve())
    while not server.started:
        assert not task.done()
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Served(gateway, f"http://127.0.0.1:{port}")
    server.should_exit = True
    await task
    await gateway.database.close()
