"""A process of the distributed mode: connects a service to RabbitMQ, tells how it is, stops it in order."""

import asyncio
import contextlib
import gc
import sys
from collections.abc import AsyncIterator, Callable

import structlog
import uvicorn
from aiormq.exceptions import AMQPError
from prometheus_client import make_asgi_app
from sqlalchemy import func, select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Mount, Route

from shared import inbox, telemetry
from shared.database import now
from shared.frame import Service
from shared.handling import Hints, NobodyListens, Tools
from shared.messaging import Consumer, Publisher
from shared.outbox import Relay
from shared.settings import ServiceSettings

log = structlog.get_logger()

READY_SECONDS = 2.0
MEASURE_EVERY_SECONDS = 5.0
FORGET_EVERY_SECONDS = 3600.0
CONNECT_AGAIN_SECONDS = 1.0
ANSWER_SECONDS = 4
"""How long a call that is being answered may go on after SIGTERM."""
MOST_WEBSOCKET_BYTES = 65_536


class Worker:
    """A service, connected: its consumer, its publisher and its relay.

    One that does not need the broker starts without it and connects as soon as it is there.
    """

    def __init__(
        self, build: Callable[[Hints], Service[Tools]], settings: ServiceSettings, *, needs_broker: bool = True
    ) -> None:
        url = settings.broker_url.get_secret_value()
        self.publisher = Publisher(url)
        self.service = build(self.publisher)
        self.consumer = Consumer(url, self.service, self.publisher)
        self.relay = Relay(self.service.database, self.publisher.send)
        self.needs_broker = needs_broker
        self.connected = False
        self.stopping = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run until the block ends; then take nothing new, finish what is at hand, send what is left.

        Raises at once when the database, or RabbitMQ if it is needed, is not there: the orchestrator starts us again.
        """
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self.service.database.close)
            await self.service.database.ping()
            for resource in self.service.resources:
                await stack.enter_async_context(resource)
            stack.push_async_callback(self.publisher.stop)
            background = [asyncio.create_task(task) for task in (self._measure(), self._forget())]
            stack.push_async_callback(_cancel, background)
            stack.push_async_callback(self._stop_consuming)
            if self.needs_broker:
                await self._connect(background)
            else:
                connecting = asyncio.create_task(self._connect_when_there(background))
                stack.push_async_callback(_cancel, [connecting])
            log.info("service.started")
            yield
            log.info("service.stopping")

    async def _connect(self, background: list[asyncio.Task[None]]) -> None:
        await self.publisher.start(self.service.story.service)
        await self.consumer.start()
        background.append(asyncio.create_task(self.relay.run()))
        self.connected = True

    async def _connect_when_there(self, background: list[asyncio.Task[None]]) -> None:
        while not self.connected:
            try:
                await self._connect(background)
            except (AMQPError, OSError) as error:
                log.warning("broker.away", error=repr(error))
                await asyncio.sleep(CONNECT_AGAIN_SECONDS)

    async def _stop_consuming(self) -> None:
        self.stopping = True
        if not self.connected:
            return
        await self.consumer.stop()
        # What the last handlers saved; the rest is another relay's.
        with contextlib.suppress(Exception):
            await self.relay.send_due()

    async def _measure(self) -> None:
        """Keep the outbox gauges true."""
        outbox = self.service.database.metadata.tables["outbox"]
        due = select(func.count(), func.min(outbox.c.available_at), now()).where(outbox.c.available_at <= now())
        name = self.service.story.service
        while True:
            with contextlib.suppress(Exception):
                async with self.service.database.reading() as session:
                    count, oldest, clock = (await session.execute(due)).one()
                telemetry.OUTBOX_ROWS.labels(name).set(count)
                telemetry.OUTBOX_AGE_SECONDS.labels(name).set((clock - oldest).total_seconds() if oldest else 0)
            await asyncio.sleep(MEASURE_EVERY_SECONDS)

    async def _forget(self) -> None:
        while True:
            with contextlib.suppress(Exception):
                await inbox.forget_old(self.service.database)
            await asyncio.sleep(FORGET_EVERY_SECONDS)

    def routes(self) -> list[BaseRoute]:
        """`/healthz`: the loop turns. `/readyz`: database and broker answer. `/metrics`: for Prometheus."""
        return [
            Route("/healthz", self._alive),
            Route("/readyz", self._ready),
            Mount("/metrics", make_asgi_app()),
            *self.service.routes,
        ]

    async def _alive(self, _request: Request) -> JSONResponse:
        return JSONResponse({"alive": True})

    async def _ready(self, _request: Request) -> JSONResponse:
        checks = {"database": await self._answers_database(), "broker": await self._answers_broker()}
        ready = all(checks.values()) and not self.stopping
        return JSONResponse({"ready": ready, **checks}, status_code=200 if ready else 503)

    async def _answers_database(self) -> bool:
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self.service.database.ping()
        except Exception:  # noqa: BLE001 - whatever it is, it is not ready
            return False
        return True

    async def _answers_broker(self) -> bool:
        try:
            async with asyncio.timeout(READY_SECONDS):
                return self.connected and await self.consumer.ping()
        except Exception:  # noqa: BLE001 - whatever it is, it is not ready
            return False


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def main(build: Callable[[Hints], Service[Tools]], settings: ServiceSettings, service: str, module: str) -> None:
    """A worker's console script: run it, or with the argument `migrate` bring its schema up to date."""
    telemetry.set_up(service, settings)
    if sys.argv[1:] == ["migrate"]:
        from shared import migrations  # it takes a third of a second to load, which no other start needs

        migrations.main(build(NobodyListens()).database, migrations.folder_of(module))
        return
    asyncio.run(_run(build, settings))


async def _run(build: Callable[[Hints], Service[Tools]], settings: ServiceSettings) -> None:
    worker = Worker(build, settings)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with worker.running():
            yield

    app = Starlette(routes=worker.routes(), lifespan=lifespan)
    await serve(app, settings.health_host, settings.health_port)


async def serve(app: object, host: str, port: int) -> None:
    """Serve an ASGI app until SIGTERM or SIGINT; exit with an error when it cannot start."""
    server = web_server(app, host, port)
    keep_what_is_loaded()
    await server.serve()
    if not server.started:
        sys.exit(1)


def keep_what_is_loaded() -> None:
    """Look for garbage in what comes, not again and again in what is here and stays, which would take 0.2 s a time."""
    gc.collect()
    gc.freeze()


def web_server(app: object, host: str, port: int) -> uvicorn.Server:
    """The web server of a process, not started yet."""
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=ANSWER_SECONDS,
        ws_max_size=MOST_WEBSOCKET_BYTES,
        # It would cost a third of what one process can tell, and as much memory again for each who listens.
        ws_per_message_deflate=False,
    )
    return uvicorn.Server(config)
