"""Delivers messages from each outbox to the handlers of all services in one process: replaces RabbitMQ.

An outbox row is deleted when all subscribers have handled its message, so a crash loses nothing: after the next start
the message is delivered again, and inboxes drop duplicates.
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

POLL_SECONDS = 0.25
BATCH = 100
ONLY_CONSUMER = "x-only"
"""The header of a redriven message: only this consumer gets it."""

Subscriber = tuple[Service[Any], Subscription[Any], asyncio.Semaphore]


class Dispatcher:
    """Delivers the events of these services to each other."""

    def __init__(self, dead_letters: Path) -> None:
        self.dead_letters = dead_letters
        self.services: Sequence[Service[Any]] = ()
        self.supervisors: dict[str, Supervisor] = {}
        self.subscribers: defaultdict[str, list[Subscriber]] = defaultdict(list)
        self.tasks: set[asyncio.Task[None]] = set()

    @property
    def down(self) -> set[str]:
        """Return the background tasks that have ended and wait to be restarted."""
        return {f"{service}.{task}" for service, one in self.supervisors.items() for task in one.down}

    def connect(self, services: Sequence[Service[Any]]) -> None:
        """Set the services whose messages are delivered."""
        self.services = services
        self.supervisors = {service.router.service: Supervisor(service.router.service) for service in services}
        for service in services:
            for subscription in service.router.subscriptions:
                limit = asyncio.Semaphore(subscription.max_concurrency)
                self.subscribers[subscription.event.name].append((service, subscription, limit))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver until the block ends. Unfinished handlers are cancelled then; the next start delivers again."""
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
        """Deliver a message that is not stored."""
        item = OutboxMessage("", event.name, event.ordering_key, {}, event.model_dump_json())
        self._start(self._deliver_to_all(item))

    def _outbox_of(self, database: Database) -> Background:
        return Background("outbox", lambda: self._deliver_outbox(database))

    async def _deliver_outbox(self, database: Database) -> None:
        outbox = database.metadata.tables["outbox"]
        delivering: set[int] = set()

        async def deliver(row_id: int, item: OutboxMessage) -> None:
            try:
                await self._deliver_to_all(item)
                async with database.sessions.begin() as session:
                    await session.execute(delete(outbox).where(outbox.c.id == row_id))
            finally:
                delivering.discard(row_id)

        while True:
            database.committed.clear()
            due = select(outbox).where(outbox.c.available_at <= now(), outbox.c.id.not_in(delivering))
            try:
                async with database.reading() as session:
                    rows = (await session.execute(due.order_by(outbox.c.id).limit(BATCH))).all()
            except Exception as error:
                if not is_outage(error):
                    raise
                log.warning("outbox.unreachable", error=str(error))
                rows = []
            for row in rows:
                delivering.add(row.id)
                self._start(deliver(row.id, outbox_message(row)))
            if len(rows) < BATCH:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await database.committed.wait()

    async def _deliver_to_all(self, item: OutboxMessage) -> None:
        """Deliver a message to all its subscribers."""
        only = item.headers.get(ONLY_CONSUMER)
        subscribers = [one for one in self.subscribers[item.name] if only in (None, one[1].consumer)]
        await asyncio.gather(*(self._deliver(item, *one) for one in subscribers))
        if item.name == VideoDeleted.name:
            self._erase_dead_letters(item.ordering_key)

    def _erase_dead_letters(self, video_id: str) -> None:
        for path in self.dead_letters.glob("*.json"):
            if json.loads(path.read_text())["message"]["videoId"] == video_id:
                path.unlink()

    async def _deliver(
        self, item: OutboxMessage, service: Service[Any], subscription: Subscription[Any], limit: asyncio.Semaphore
    ) -> None:
        """Deliver a message to one subscriber, with retries, until it is handled or dead-lettered."""
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
        letter = {
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
        path.write_text(json.dumps(letter, indent=2, ensure_ascii=False))

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
    """Requeue every dead letter: put it into the outbox of the service that failed on it. Return what was requeued."""
    by_name = {service.router.service: service.database for service in services}
    paths = sorted(dead_letters.glob("*.json"))  # noqa: ASYNC240 - nothing else runs
    requeued = []
    for path in paths:
        letter = json.loads(path.read_text())
        database = by_name[letter["consumer"].partition(".")[0]]
        message, epoch = letter["message"], letter.get("epoch", 0) + 1
        row = {
            "message_id": message["id"],
            "name": message["type"],
            "ordering_key": message.get("orderingKey") or message["videoId"],
            "headers": {ONLY_CONSUMER: letter["consumer"], REDRIVEN: datetime.now(UTC).isoformat(), EPOCH: str(epoch)},
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
        again = letter.get("redriven", False)
        requeued.append(Requeued(message["type"], letter["consumer"], video_id, letter["reason"], again))
    return requeued
