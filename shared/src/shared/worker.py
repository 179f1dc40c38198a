"""A process of the distributed mode: connects a service to RabbitMQ, serves its probes and stops it gracefully."""

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import structlog
from aiormq.exceptions import AMQPError
from sqlalchemy import func, select
from starlette.applications import Starlette
from starlette.routing import BaseRoute

from shared import telemetry
from shared.command_line import command_of
from shared.contracts.events import EVENTS
from shared.doctor import command as doctor
from shared.http.serving import NotStarted, serve
from shared.messaging.event_router import Dependencies, EphemeralPublisher, NullPublisher
from shared.messaging.message_processor import Service
from shared.messaging.rabbitmq import Consumer, Publisher
from shared.persistence.database import now
from shared.persistence.migration_files import is_behind
from shared.persistence.outbox import Relay
from shared.process import probes
from shared.process.supervisor import Background, Supervisor, every
from shared.settings import BROKER_EXAMPLE, DATABASE_EXAMPLE, ServiceSettings, read

log = structlog.get_logger()

S = TypeVar("S", bound=ServiceSettings)

MEASURE_EVERY_SECONDS = 10.0
LOOK_FOR_MIGRATION_SECONDS = 1.0
CONNECT_AGAIN_SECONDS = 1.0
CONNECT_PAUSES = (0.2, 0.5, 1.0, 2.0)
"""The pauses between attempts to connect of a service that needs the broker; after them its start fails."""
RELAY_SILENT_SECONDS = 15.0
"""After this long without a pass, the relay is not ready: the database or the broker does not answer."""
SEND_LAST_SECONDS = 1.0
ORDERLY_STOP_SECONDS = 8.5


class Worker:
    """A connected service: its consumer, publisher, relay and background tasks.

    A service that does not need the broker starts without it and connects when it is available. If migrations are
    missing, the service is not ready and waits until they have been applied. `migrations` is their folder.
    """

    def __init__(
        self,
        build: Callable[[EphemeralPublisher], Service[Dependencies]],
        settings: ServiceSettings,
        migrations: Path,
        *,
        needs_broker: bool = True,
    ) -> None:
        url = settings.broker_url.get_secret_value()
        self.publisher = Publisher(url, EVENTS)
        self.service = build(self.publisher)
        self.consumer = Consumer(url, self.service, self.publisher)
        self.relay = Relay(self.service.database, self.publisher.send)
        self.supervisor = Supervisor(self.service.router.service)
        self.migrations = migrations
        self.needs_broker = needs_broker
        self.migrated = False
        self.connected = False
        self.stopping = False
        self.serving = asyncio.Event()
        self.ending = asyncio.Event()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run until the block ends; then accept no new messages, finish the current ones and send what is due.

        Raises at once if the database, or RabbitMQ if it is needed, is unavailable: the orchestrator restarts us.
        """
        living = asyncio.create_task(self._live())
        serving = asyncio.create_task(self.serving.wait())
        try:
            await asyncio.wait({living, serving}, return_when=asyncio.FIRST_COMPLETED)
            if living.done():
                living.result()
            living.add_done_callback(self._end_process)
            yield
        finally:
            serving.cancel()
            self.stopping = True
            self.ending.set()
            await asyncio.wait({living}, timeout=ORDERLY_STOP_SECONDS)
            if living.cancel():
                log.warning("service.stopped_waiting", seconds=ORDERLY_STOP_SECONDS)
            elif not living.cancelled():
                living.result()

    def _end_process(self, living: "asyncio.Task[None]") -> None:
        """End the process when its work has failed: the orchestrator restarts it."""
        if not living.cancelled() and (error := living.exception()) is not None:
            log.error("service.failed", error=repr(error))
            if not self.stopping:
                signal.raise_signal(signal.SIGTERM)

    async def _live(self) -> None:
        """Open everything, serve until `ending`, close everything: in one task, as some libraries require."""
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(self.service.database.close)
            try:
                await self.service.database.ping()
            except ConnectionError as error:
                raise NotStarted(f"DATABASE_URL: {error}. Example: DATABASE_URL={DATABASE_EXAMPLE}") from error
            if not await self._wait_for_migration():
                return
            for resource in self.service.resources:
                await stack.enter_async_context(resource)
            await self._check_storage()
            stack.push_async_callback(self.publisher.stop)
            stack.push_async_callback(self.supervisor.stop)
            self.supervisor.start(
                every(MEASURE_EVERY_SECONDS, self._measure, "measure"),
                self.service.retention.background,
                *self.service.background,
            )
            stack.push_async_callback(self._stop_consuming)
            if self.needs_broker:
                await self._connect()
            else:
                connecting = asyncio.create_task(self._connect_when_there())
                stack.push_async_callback(_cancel, connecting)
            # Processor time does not depend on how busy the machine is.
            log.info("service.started", cpu_seconds=round(time.process_time(), 2))
            self.serving.set()
            await self.ending.wait()
            log.info("service.stopping")

    async def _check_storage(self) -> None:
        """Fail the start if the storage is configured wrongly. Retry, since a new server may still be starting."""
        if self.service.storage is None:
            return
        for pause in CONNECT_PAUSES:
            if await self.service.storage.fault() is None:
                return
            await asyncio.sleep(pause)
        if reason := await self.service.storage.fault():
            raise NotStarted(f"STORAGE_URL: {reason}")

    async def _wait_for_migration(self) -> bool:
        """Wait until the schema is up to date; return False if the process must end before."""
        while await is_behind(self.service.database, self.migrations):
            if not self.serving.is_set():
                log.error("schema.behind", todo=f"run `{self.service.router.service} migrate`")
                self.serving.set()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_FOR_MIGRATION_SECONDS):
                    await self.ending.wait()
                return False
        self.migrated = True
        return True

    async def _connect(self) -> None:
        """Connect to the broker. Retry, since it may fail when several replicas declare their queues at once."""
        for pause in CONNECT_PAUSES:
            try:
                return await self._connect_once()
            except Exception as error:  # noqa: BLE001 - the last attempt raises it
                log.warning("broker.away", error=repr(error))
                await asyncio.sleep(pause)
        try:
            return await self._connect_once()
        except (AMQPError, OSError) as error:
            raise NotStarted(
                f"BROKER_URL: cannot connect to RabbitMQ: {error!r}. Example: BROKER_URL={BROKER_EXAMPLE}"
            ) from error

    async def _connect_when_there(self) -> None:
        while not self.connected:
            try:
                await self._connect_once()
            except Exception as error:  # noqa: BLE001 - any error is retried
                log.warning("broker.away", error=repr(error))
                await asyncio.sleep(CONNECT_AGAIN_SECONDS)

    async def _connect_once(self) -> None:
        await self.publisher.start(self.service.router.service)
        await self.consumer.start()
        self.supervisor.start(Background("relay", self.relay.run))
        self.connected = True

    async def _stop_consuming(self) -> None:
        if not self.connected:
            return
        await self.consumer.stop()
        # Send what the last handlers saved; another replica's relay sends the rest.
        with contextlib.suppress(Exception):
            async with asyncio.timeout(SEND_LAST_SECONDS):
                await self.relay.send_due()

    async def _measure(self) -> None:
        """Update the outbox gauges."""
        outbox = self.service.database.metadata.tables["outbox"]
        due = select(func.count(), func.min(outbox.c.available_at), now()).where(outbox.c.available_at <= now())
        name = self.service.router.service
        [(count, oldest, clock)] = await self.service.database.autocommit_read(due, {})
        telemetry.OUTBOX_ROWS.labels(name).set(count)
        telemetry.OUTBOX_AGE_SECONDS.labels(name).set((clock - oldest).total_seconds() if oldest else 0)

    def routes(self) -> list[BaseRoute]:
        """The probes."""
        checks: dict[str, probes.Check] = {
            "running": self._runs,
            "schema": self._has_schema,
            "database": self._answers_database,
            "broker": self._answers_broker,
            "relay": self._relays,
            "background": self._runs_in_background,
        }
        if self.service.storage is not None:
            checks["storage"] = self._has_storage
        return probes.routes(checks)

    async def _runs(self) -> bool:
        return not self.stopping

    async def _has_schema(self) -> bool:
        return self.migrated

    async def _has_storage(self) -> bool | str:
        # An unreachable storage is no fault: handlers wait for it, or do not need it.
        storage = self.service.storage
        return (await storage.fault() if storage else None) or True

    async def _answers_database(self) -> bool:
        await self.service.database.ping()
        return True

    async def _answers_broker(self) -> bool:
        return self.connected and await self.consumer.ping()

    async def _relays(self) -> bool:
        return self.connected and self.relay.silent_seconds() < RELAY_SILENT_SECONDS

    async def _runs_in_background(self) -> bool:
        return not self.supervisor.down


async def _cancel(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def main(
    settings: type[S], build: Callable[[S, EphemeralPublisher], Service[Dependencies]], service: str, migrations: Path
) -> None:
    """Run a worker's console script: serve, bring the schema up to date (`migrate`) or examine it (`doctor`)."""
    given = command_of(service, sys.argv[1:])
    known = read(settings)
    telemetry.set_up(service, known)
    if given.command == "doctor":
        doctor.main(lambda: build(known, NullPublisher()), known, migrations, fix=given.fix)
    if given.command == "migrate":
        from shared.persistence import (
            migrations as schema,  # it takes a third of a second to load, which no other start needs
        )

        schema.main(build(known, NullPublisher()).database, migrations)
        return
    asyncio.run(_run(lambda ephemeral: build(known, ephemeral), known, migrations))


async def _run(
    build: Callable[[EphemeralPublisher], Service[Dependencies]], settings: ServiceSettings, migrations: Path
) -> None:
    worker = Worker(build, settings, migrations)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with worker.running():
            yield

    app = Starlette(routes=worker.routes(), lifespan=lifespan)
    await serve(app, settings.health_host, settings.health_port)
