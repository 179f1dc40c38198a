"""Publishes and consumes on RabbitMQ with FastStream. See `shared.messaging.topology` for exchanges and queues."""

import asyncio
import hashlib
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from aiormq.exceptions import AMQPError
from faststream import AckPolicy
from faststream.rabbit import Channel, RabbitBroker, RabbitExchange
from faststream.rabbit.message import RabbitMessage
from opentelemetry.trace import SpanKind

from shared import telemetry
from shared.contracts.events import Event
from shared.contracts.messages import Message
from shared.messaging.consumer_cancellation import cancel_consumer
from shared.messaging.errors import QueuesMissing
from shared.messaging.event_router import Delivery, Dependencies, Subscription, consumer_of
from shared.messaging.message_processor import EPOCH, DeadLettered, Retry, Service, process
from shared.messaging.topology import DEAD, DELAYS, EVENTS, RETURN, declare, declare_for_others, queue_of
from shared.persistence.outbox import OutboxMessage

log = structlog.get_logger()

PUBLISH_SECONDS = 5.0
STOP_SECONDS = 5.0
"""How long handlers may go on after SIGTERM; the whole stop takes less than ten seconds."""
LOOK_AGAIN_SECONDS = 1.0

LONGEST_PAUSE_SECONDS = 60.0
MOST_ID_LETTERS = 64
"""The length of the inbox column."""

ATTEMPT = "x-attempt"
USER = "x-user-id"
"""The first publisher of a message; the property `user_id` must be that of the present one."""


def broker(url: str, **options: Any) -> RabbitBroker:  # noqa: ANN401 - passed on
    """Return a broker object with our settings."""
    separator = "&" if "?" in url else "?"
    return RabbitBroker(
        f"{url}{separator}heartbeat=5",
        reconnect_interval=1.0,
        graceful_timeout=STOP_SECONDS,
        logger=None,
        # Our handlers take the message itself; resolving arguments would cost a thread each.
        apply_types=False,
        decoder=_whole,
        **options,
    )


async def _whole(message: RabbitMessage) -> RabbitMessage:
    return message


class Publisher:
    """Publishes events with confirms; an event that no queue takes is an error.

    `contracts`: the events whose queues must exist before they are sent. It has its own connection, because under a
    resource alarm RabbitMQ stops reading from publishing connections, and acknowledgements must still arrive.
    """

    def __init__(self, url: str, contracts: Sequence[type[Event]] = ()) -> None:
        self.url = url
        self.broker = broker(url, default_channel=Channel(on_return_raises=True))
        self.connected = False
        self.contracts = contracts
        self.queues = {event.name: {consumer_of(one, event) for one in event.consumers} for event in contracts}
        self.service = ""
        self.missing: set[str] = set()
        self.awaited: set[str] = set()
        """The queues whose events are held back: those missing at one of the last two checks, because a queue that
        was just declared may not be bound yet."""
        self.looked_at = 0.0
        self.looking = asyncio.Lock()

    async def start(self, service: str) -> None:
        """Connect and declare the topology."""
        self.service = service
        await self.broker.connect()
        await declare(self.broker, service)
        self.awaited = await self._missing_queues()
        if self.awaited:
            log.warning("queues.missing", queues=sorted(self.awaited), todo="load RabbitMQ's definitions")
        await self.broker.start()
        self.connected = True

    async def stop(self) -> None:
        """Close the connection."""
        await self.broker.stop()

    async def send(self, item: OutboxMessage) -> None:
        """Publish an outbox message. Returns when the broker has confirmed it.

        Raises:
            QueuesMissing: not all services that consume the event would get it.
        """
        if self.awaited:
            await self._see_that_queues_exist(item.name)
        with telemetry.following(item.headers, f"{item.name} send", SpanKind.PRODUCER):
            await self._publish(
                item.body.encode(),
                exchange=EVENTS,
                routing_key=item.name,
                headers=telemetry.trace_headers(),
                message_id=item.message_id,
                message_type=item.name,
                correlation_id=item.ordering_key,
            )

    async def _missing_queues(self) -> set[str]:
        self.missing = await declare_for_others(self.url, self.service, self.contracts)
        self.looked_at = time.monotonic()
        return self.missing

    async def _see_that_queues_exist(self, event: str) -> None:
        async with self.looking:
            if time.monotonic() - self.looked_at >= LOOK_AGAIN_SECONDS:
                self.awaited = self.missing | await self._missing_queues()
        if awaited := self.awaited & self.queues.get(event, set()):
            raise QueuesMissing(event, awaited)

    async def publish(self, event: Message) -> None:
        """Publish a message that is not stored. Never raises."""
        if not self.connected:
            return
        try:
            async with asyncio.timeout(PUBLISH_SECONDS):
                await self.broker.publish(
                    event.model_dump_json().encode(),
                    exchange=EVENTS,
                    routing_key=event.name,
                    mandatory=False,
                    message_type=event.name,
                    correlation_id=event.ordering_key,
                    content_type="application/json",
                )
        except (AMQPError, OSError, TimeoutError, RuntimeError) as error:
            log.debug("ephemeral.lost", event_name=event.name, error=repr(error))

    async def send_back(self, message: RabbitMessage, delivery: Delivery, outcome: Retry) -> None:
        """Return a message to its queue after the delay."""
        headers = _headers(message, delivery) | {ATTEMPT: outcome.attempt}
        await self._republish(message, DELAYS[outcome.delay_index], delivery.consumer, headers)

    async def dead_letter(self, message: RabbitMessage, delivery: Delivery, outcome: DeadLettered) -> None:
        """Move a message to the dead-letter queue, with the reason."""
        headers = _headers(message, delivery) | {
            EPOCH: str(outcome.epoch),
            "x-kind": outcome.kind,
            "x-reason": outcome.reason[:1000],
            "x-queue": delivery.consumer,
            "x-attempts": outcome.attempt,
            "x-died-at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        await self._republish(message, DEAD, delivery.consumer, headers)

    async def _republish(
        self, message: RabbitMessage, exchange: RabbitExchange, routing_key: str, headers: dict[str, Any]
    ) -> None:
        await self._publish(
            bytes(message.body),
            exchange=exchange,
            routing_key=routing_key,
            headers=headers,
            message_id=message.raw_message.message_id,
            message_type=message.raw_message.type,
            correlation_id=message.raw_message.correlation_id,
        )

    async def _publish(self, body: bytes, **options: Any) -> None:  # noqa: ANN401 - passed on
        async with asyncio.timeout(PUBLISH_SECONDS):
            await self.broker.publish(body, persist=True, mandatory=True, content_type="application/json", **options)


def _headers(message: RabbitMessage, delivery: Delivery) -> dict[str, Any]:
    """Return the headers of a message without those that brokers add, and its first publisher."""
    kept = {
        key: value
        for key, value in message.headers.items()
        if not key.startswith(("x-death", "x-first-death", "x-last-death", "x-delivery-count", "x-opt-"))
    }
    return kept if delivery.user is None else kept | {USER: delivery.user}


class Consumer:
    """Consumes the messages of one service, each subscription with its own limit, and settles them."""

    def __init__(self, url: str, service: Service[Dependencies], publisher: Publisher) -> None:
        self.broker = broker(url)
        self.publisher = publisher
        self.subscriptions = tuple(service.router.subscriptions)
        for subscription in self.subscriptions:
            self._subscribe(service, subscription)

    def _subscribe(self, service: Service[Dependencies], subscription: Subscription[Dependencies]) -> None:
        async def consume(message: RabbitMessage) -> None:
            delivery = _delivery(subscription, message)
            outcome = await process(service, subscription, delivery, bytes(message.body))
            if subscription.counts_once:
                await self._settle(message, delivery, outcome)

        self.broker.subscriber(
            queue_of(subscription),
            EVENTS,
            channel=Channel(prefetch_count=subscription.max_concurrency),
            ack_policy=AckPolicy.NACK_ON_ERROR,
            title=subscription.consumer,
        )(consume)

    async def _settle(self, message: RabbitMessage, delivery: Delivery, outcome: object) -> None:
        """Publish with a confirm, then acknowledge: a crash in between duplicates the message and never loses it."""
        try:
            if isinstance(outcome, Retry):
                await self.publisher.send_back(message, delivery, outcome)
            elif isinstance(outcome, DeadLettered):
                await self.publisher.dead_letter(message, delivery, outcome)
        except Exception:
            # RabbitMQ redelivers it at once; without this pause it would soon reach the delivery limit.
            await asyncio.sleep(min(2.0**delivery.returns, LONGEST_PAUSE_SECONDS))
            raise

    async def start(self) -> None:
        """Connect and start to consume."""
        await self.broker.connect()
        await self.broker.declare_exchange(EVENTS)
        # Our own broker object would cache the queue, with its channel, for the subscriber.
        declaring = self.publisher.broker
        returning = await declaring.declare_exchange(RETURN)
        for subscription in self.subscriptions:
            if subscription.counts_once:
                queue = await declaring.declare_queue(queue_of(subscription))
                await queue.bind(returning, routing_key=subscription.consumer)
        await self.broker.start()

    async def stop(self) -> None:
        """Stop consuming, let running handlers finish, and close the connection."""
        for subscriber in self.broker.subscribers:
            await cancel_consumer(subscriber)
        await self.broker.stop()

    async def ping(self) -> bool:
        """Return whether the connection is alive."""
        return await self.broker.ping(timeout=1.0)


def _delivery(subscription: Subscription[Dependencies], message: RabbitMessage) -> Delivery:
    # Copies of a message without an id must get the same id.
    message_id = message.raw_message.message_id or hashlib.sha256(message.body).hexdigest()
    if len(message_id) > MOST_ID_LETTERS:
        message_id = hashlib.sha256(message_id.encode()).hexdigest()
    headers: Mapping[str, Any] = message.headers
    texts = {key: value for key, value in headers.items() if isinstance(value, str)}
    attempt, returns = headers.get(ATTEMPT, 1), headers.get("x-delivery-count", 0)
    return Delivery(
        subscription.consumer,
        message_id,
        texts,
        attempt if isinstance(attempt, int) else 1,
        returns if isinstance(returns, int) else 0,
        message.raw_message.user_id or texts.get(USER),
    )
