"""Puts the gateway together: the API, the Socket.IO server and the service behind them, in one ASGI app."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import socketio
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse
from sqlalchemy.exc import IntegrityError
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from gateway import api, problems
from gateway.handlers import Tools, story
from gateway.live import Live
from gateway.models import Base
from gateway.settings import Settings
from gateway.videos import Videos
from shared import migrations, telemetry
from shared.contracts.events import VideoFailed, VideoRequested
from shared.database import Database
from shared.frame import Death, Service
from shared.handling import Hints
from shared.storage import LinkSigner, open_storage
from shared.unit_of_work import working
from shared.worker import Worker, serve

STATUS_PAGE = Path(__file__).parent / "status.html"


class Gateway:
    """The gateway, ready to run in either way: `service` hears the events, `app` answers the world."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database(settings.database_url.get_secret_value(), Base.metadata)
        signer = LinkSigner(settings.media_secret.get_secret_value().encode(), f"{settings.public_url}/media")
        self.storage = open_storage(settings.storage_url, signer)
        self.videos = Videos(self.database, settings.public_url)
        self.live = Live(self.videos, settings.cors_origins)

    def service(self, _hints: Hints) -> Service[Tools]:
        """What hears the events."""
        tools = Tools(self.database, self.videos, self.live)
        return Service(story, tools, self.database, self._show_as_failed, resources=(self.storage,))

    async def _show_as_failed(self, death: Death, database: Database) -> None:
        """A request that cannot be read makes no video, but whoever asked can see why."""
        if death.event is not VideoRequested or not death.failure.fails_video:
            return
        if await self.videos.was_requested(death.video_id):
            return  # that one goes on undisturbed
        failure = death.failure
        failed = VideoFailed(
            video_id=death.video_id, stage="storyboard", kind=failure.kind, reason=f"The request: {failure.reason}"
        )
        with contextlib.suppress(IntegrityError):  # the good request of this id came at the same moment
            async with working(database) as work:
                await self.videos.record(work, failed)

    def app(self, lifespan: contextlib.AbstractAsyncContextManager[None], routes: list[BaseRoute]) -> ASGIApp:
        """The API and the socket. `lifespan` is open while it serves; `routes` are the process's own."""

        @contextlib.asynccontextmanager
        async def living(_app: FastAPI) -> AsyncIterator[None]:
            async with lifespan:
                yield

        app = FastAPI(title="Multishot", version="1", lifespan=living, routes=routes)
        problems.install(app)
        app.include_router(api.routes(self.videos, self.storage, self.settings.public_url))

        @app.get("/", include_in_schema=False)
        async def status_page() -> FileResponse:
            return FileResponse(STATUS_PAGE)

        if self.settings.cors_origins:
            app.add_middleware(
                CORSMiddleware,
                allow_origins=list(self.settings.cors_origins),
                allow_credentials=True,
                allow_methods=["GET", "POST"],
                allow_headers=["content-type", "authorization", "idempotency-key"],
                max_age=600,
            )
        return socketio.ASGIApp(self.live.server, other_asgi_app=app)  # type: ignore[no-any-return]


def main() -> None:
    """The console script `gateway`: serve, or with the argument `migrate` bring the schema up to date."""
    settings = Settings()
    telemetry.set_up(story.service, settings)
    gateway = Gateway(settings)
    if sys.argv[1:] == ["migrate"]:
        migrations.main(gateway.database, migrations.folder_of(__file__))
        return
    asyncio.run(_run(gateway))


async def _run(gateway: Gateway) -> None:
    worker = Worker(gateway.service, gateway.settings)
    await serve(gateway.app(worker.running(), worker.routes()), gateway.settings.host, gateway.settings.port)
