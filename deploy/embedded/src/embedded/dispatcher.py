"""Carries messages from every outbox to every handler within one process: the embedded mode's RabbitMQ.

A row of an outbox is deleted when all who hear its event have handled it, so a crash loses nothing: after the next
start the rest is delivered again, and inboxes drop what was handled before.
"""

import asyncio
import contextlib
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import delete, insert, select

from shared.contracts.events import VideoDeleted, VideoResumed
from shared.contracts.messages import Message
from shared.messaging.event_router import Delivery, Subscription
from shared.messaging.message_processor import (
    EPOCH,
    REDRIVEN,
    RETRY_DELAYS_SECONDS,
    DeadLettered,
    Retry,
    Service,
    process,
    video_id_of,
)
from shared.messaging.requeued import Requeued
from shared.persistence.database import Database, is_outage, now
from shared.persistence.outbox import OutboxMessage, outbox_message
from shared.persistence.unit_of_work import transaction
from shared.process.supervisor import Background, Supervisor

log = structlog.get_logger()

LOOK_EVERY_SECONDS = 0.25
BATCH = 100
ONLY = "x-only"
"""The header of a redriven message: it goes to the one consumer that it died at."""

Listener = tuple[Service[Any], Subscription[Any], asyncio.Semaphore]


class Dispatcher:
    """Delivers the events of these services to each other."""

    def __init__(self, dead_letters: Path) -> None:
        self.dead_letters = dead_letters
        self.services: Sequence[Service[Any]] = ()
        self.supervisors: dict[str, Supervisor] = {}
        self.listeners: defaultdict[str, list[Listener]] = defaultdict(list)
        self.tasks: set[asyncio.Task[None]] = set()

    @property
    def down(self) -> set[str]:
        """The background tasks that have ended and wait to be restarted."""
        return {f"{service}.{task}" for service, one in self.supervisors.items() for task in one.down}

    def connect(self, services: Sequence[Service[Any]]) -> None:
        """Name the services whose events are carried."""
        self.services = services
        self.supervisors = {service.router.service: Supervisor(service.router.service) for service in services}
        for service in services:
            for subscription in service.router.subscriptions:
                limit = asyncio.Semaphore(subscription.max_concurrency)
                self.listeners[subscription.event.name].append((service, subscription, limit))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Carry until the block ends; what is at hand is dropped then, and delivered again at the next start."""
        async with contextlib.AsyncExitStack() as stack:
            for service in self.services:
                stack.push_async_callback(service.database.close)
                for resource in service.resources:
                    await stack.enter_async_context(resource)
            stack.push_async_callback(self._cancel)
            for service in self.services:
                supervisor = self.supervisors[service.router.service]
                stack.push_async_callback(supervisor.stop)
                own = (self._outbox_of(service.database), service.retention.background)
                supervisor.start(*own, *service.background)
            yield

    async def publish(self, event: Message) -> None:
        """Tell an event to whoever listens now."""
        item = OutboxMessage("", event.name, event.ordering_key, {}, event.model_dump_json())
        self._start(self._carry(item))

    def _outbox_of(self, database: Database) -> Background:
        return Background("outbox", lambda: self._carry_outbox(database))

    async def _carry_outbox(self, database: Database) -> None:
        outbox = database.metadata.tables["outbox"]
        carried: set[int] = set()

        async def carry(row_id: int, item: OutboxMessage) -> None:
            try:
                await self._carry(item)
                async with database.sessions.begin() as session:
                    await session.execute(delete(outbox).where(outbox.c.id == row_id))
            finally:
                carried.discard(row_id)

        while True:
            database.committed.clear()
            due = select(outbox).where(outbox.c.available_at <= now(), outbox.c.id.not_in(carried))
            try:
                async with database.reading() as session:
                    rows = (await session.execute(due.order_by(outbox.c.id).limit(BATCH))).all()
            except Exception as error:
                if not is_outage(error):
                    raise
                log.warning("outbox.unreachable", error=str(error))
                rows = []
            for row in rows:
                carried.add(row.id)
                self._start(carry(row.id, outbox_message(row)))
            if len(rows) < BATCH:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY_SECONDS):
                        await database.committed.wait()

    async def _carry(self, item: OutboxMessage) -> None:
        """Deliver a letter to all who hear it."""
        only = item.headers.get(ONLY)
        heard_by = [listener for listener in self.listeners[item.name] if only in (None, listener[1].consumer)]
        await asyncio.gather(*(self._deliver(item, *listener) for listener in heard_by))
        if item.name == VideoDeleted.name:
            self._erase_dead_letters(item.ordering_key)

    def _erase_dead_letters(self, video_id: str) -> None:
        for path in self.dead_letters.glob("*.json"):
            if json.loads(path.read_text())["message"]["videoId"] == video_id:
                path.unlink()

    async def _deliver(
        self, item: OutboxMessage, service: Service[Any], subscription: Subscription[Any], limit: asyncio.Semaphore
    ) -> None:
        """Deliver a letter to one listener, again and again until it is handled or dead."""
        attempt = 1
        while True:
            async with limit:
                delivery = Delivery(subscription.consumer, item.message_id, item.headers, attempt)
                outcome = await process(service, subscription, delivery, item.body.encode())
            if not subscription.counts_once or not isinstance(outcome, Retry):
                break
            attempt = outcome.attempt
            await asyncio.sleep(RETRY_DELAYS_SECONDS[outcome.delay_index])
        if isinstance(outcome, DeadLettered):
            self._dead_letter(item, subscription.consumer, outcome)

    def _dead_letter(self, item: OutboxMessage, consumer: str, outcome: DeadLettered) -> None:
        self.dead_letters.mkdir(parents=True, exist_ok=True)
        video_id = video_id_of(item.body.encode())
        told = {
            "consumer": consumer,
            "kind": outcome.kind,
            "reason": outcome.reason,
            "epoch": outcome.epoch,
            "redriven": REDRIVEN in item.headers,
            "diedAt": datetime.now(UTC).isoformat(timespec="seconds"),
            "message": {
                "id": item.message_id,
                "type": item.name,
                "videoId": str(video_id) if video_id else None,
                "orderingKey": item.ordering_key,
                "body": item.body,
            },
        }
        path = self.dead_letters / f"{consumer}-{item.message_id}.json"
        path.write_text(json.dumps(told, indent=2, ensure_ascii=False))

    def _start(self, work: Any) -> None:  # noqa: ANN401 - a coroutine
        task: asyncio.Task[None] = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("dispatcher.task_failed", exc_info=error)

    async def _cancel(self) -> None:
        for task in tuple(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def redrive(dead_letters: Path, services: Sequence[Service[Any]]) -> list[Requeued]:
    """Put every dead letter back into the outbox of the service it died at. Returns what they were."""
    by_name = {service.router.service: service.database for service in services}
    paths = sorted(dead_letters.glob("*.json"))  # noqa: ASYNC240 - nothing else runs
    requeued = []
    for path in paths:
        told = json.loads(path.read_text())
        database = by_name[told["consumer"].partition(".")[0]]
        message, epoch = told["message"], told.get("epoch", 0) + 1
        row = {
            "message_id": message["id"],
            "name": message["type"],
            "ordering_key": message.get("orderingKey") or message["videoId"],
            "headers": {ONLY: told["consumer"], REDRIVEN: datetime.now(UTC).isoformat(), EPOCH: str(epoch)},
            "body": message["body"],
            "available_at": now(),
            "created_at": now(),
        }
        async with transaction(database) as work:
            video_id = video_id_of(message["body"].encode())
            if video_id is not None:
                await work.emit(VideoResumed(video_id=video_id, epoch=epoch))
            await work.session.execute(insert(database.metadata.tables["outbox"]).values(row))
        path.unlink()
        again = told.get("redriven", False)
        requeued.append(Requeued(message["type"], told["consumer"], video_id, told["reason"], again))
    return requeued
