"""Runs the four services, the dispatcher between them and the gateway's web server in one process."""

import asyncio
import contextlib
import errno
import shutil
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal

from pydantic import SecretStr

import composer.app
import composer.settings
import gateway.app
import gateway.settings
import scene_render.app
import scene_render.settings
import storyboard.app
import storyboard.settings
from embedded.data_dir import DataDir
from embedded.dispatcher import Dispatcher
from shared.consistency import Finding
from shared.doctor.examination import Report, examine
from shared.http.serving import freeze_loaded_objects, web_server
from shared.messaging.message_processor import Service
from shared.persistence.migration_files import folder_of
from shared.persistence.migrations import migrate
from shared.process import probes

HOST = "127.0.0.1"


class System:
    """The services of one data directory, built by their own `app.py`.

    `auth`: overrides the setting AUTH.
    """

    def __init__(self, data_dir: DataDir, port: int, auth: Literal["none"] | None = None) -> None:
        self.data_dir = data_dir
        self.dispatcher = Dispatcher(data_dir.dead_letters)
        common: dict[str, Any] = {
            "storage_url": data_dir.media.absolute().as_uri(),
            "work_folder": data_dir.work.absolute(),
        }

        def url(service: str) -> SecretStr:
            return SecretStr(data_dir.database_url(service))

        secret = SecretStr(data_dir.secret())
        auth_setting: dict[str, Any] = {"auth": auth} if auth else {}
        self.gateway = gateway.app.Gateway(
            gateway.settings.Settings(
                database_url=url("gateway"),
                host=HOST,
                port=port,
                public_url="",
                media_secret=secret,
                auth_secret=secret,
                **auth_setting,
                **common,
            )
        )
        ephemeral = self.dispatcher
        self.services: dict[str, Service[Any]] = {
            gateway.app.__file__: self.gateway.service(ephemeral),
            storyboard.app.__file__: storyboard.app.build(
                storyboard.settings.Settings(database_url=url("storyboard"), **common), ephemeral
            ),
            scene_render.app.__file__: scene_render.app.build(
                scene_render.settings.Settings(database_url=url("scene-render"), **common), ephemeral
            ),
            composer.app.__file__: composer.app.build(
                composer.settings.Settings(
                    database_url=url("composer"), provenance_folder=data_dir.provenance.absolute(), **common
                ),
                ephemeral,
            ),
        }
        self.dispatcher.connect(self.all_services)

    @property
    def all_services(self) -> Sequence[Service[Any]]:
        """Return the services, the gateway first."""
        return tuple(self.services.values())

    @contextlib.asynccontextmanager
    async def _working(self) -> AsyncIterator[None]:
        """Migrate the schemas, empty the work folder, and dispatch messages while the block runs."""
        shutil.rmtree(self.data_dir.work, ignore_errors=True)
        self.data_dir.work.mkdir(parents=True)
        await self.migrate()
        async with self.dispatcher.running():
            yield

    def _checks(self) -> dict[str, probes.Check]:
        async def answers_database() -> bool:
            for service in self.all_services:
                await service.database.ping()
            return True

        async def runs_in_background() -> bool:
            return not self.dispatcher.down

        return {"database": answers_database, "background": runs_in_background}

    async def migrate(self) -> None:
        """Migrate all schemas."""
        for module, service in self.services.items():
            await migrate(service.database, folder_of(module))

    async def examine(self, *, fix: bool, is_running: bool) -> list[Report]:
        """Examine each service and count dead letters. `is_running`: another process serves."""
        reports = [
            await examine(service, folder_of(module), fix=fix, is_running=is_running)
            for module, service in self.services.items()
        ]
        dead_letters = len(list(self.data_dir.dead_letters.glob("*.json")))
        if dead_letters:
            report = Report("embedded")
            todo = "`make redrive` requeues them once their cause is repaired"
            report.add(str(Finding("dead letters", dead_letters, todo)))
            reports.append(report)
        return reports

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve until the block ends or the server is stopped by a signal. Yield the URL."""
        settings = self.gateway.settings
        app = self.gateway.app(self._working(), routes=probes.routes(self._checks()))
        try:
            listening = socket.create_server((HOST, settings.port))
        except OSError as error:
            raise ServerNotStarted(settings.port, error) from error
        server = web_server(app, HOST, settings.port)
        freeze_loaded_objects()
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            while not server.started:
                if task.done():
                    raise RuntimeError("The web server did not start; see the log.")
                await asyncio.sleep(0.02)
            port = server.servers[0].sockets[0].getsockname()[1]
            url = f"http://localhost:{port}"
            self.data_dir.serve_at(url)
            self.stopped = task
            yield url
        finally:
            server.should_exit = True
            await asyncio.gather(task, return_exceptions=True)


class ServerNotStarted(Exception):
    """The web server cannot use its port; usually another program does."""

    def __init__(self, port: int, error: OSError) -> None:
        why = "another program uses it" if error.errno == errno.EADDRINUSE else str(error.strerror).lower()
        super().__init__(f"Port {port} cannot be used: {why}. Choose another one with PORT=…")
        self.port = port
