"""The wiring on RabbitMQ, by FastStream: which exchanges and queues there are, and how messages travel on them.

video                  topic exchange; an event's routing key is its name
<service>.<event>      quorum queue, one per subscription
video.delay.<n>s       topic exchange and queue of messages that wait n seconds
video.return           topic exchange; brings messages that have waited back to the queue that their routing key names
video.dead             topic exchange; <service>.dead holds a service's dead letters, with the reason in the headers
"""

import asyncio
import hashlib
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import structlog
from aio_pika.abc import AbstractRobustQueue
from aiormq.exceptions import AMQPError
from faststream import AckPolicy
from faststream.rabbit import Channel, ExchangeType, QueueType, RabbitBroker, RabbitExchange, RabbitQueue
from faststream.rabbit.message import RabbitMessage
from faststream.rabbit.schemas.queue import ClassicQueueArgs, QuorumQueueArgs
from opentelemetry.trace import SpanKind

from shared import telemetry
from shared.contracts.events import Event
from shared.frame import EPOCH, LADDER_SECONDS, ComesBack, Dead, Service, deliver
from shared.handling import Delivery, Subscription, Tools
from shared.outbox import Letter

log = structlog.get_logger()

EVENTS = RabbitExchange("video", type=ExchangeType.TOPIC, durable=True)
DEAD = RabbitExchange("video.dead", type=ExchangeType.TOPIC, durable=True)
RETURN = RabbitExchange("video.return", type=ExchangeType.TOPIC, durable=True)
# Topic exchanges too: who may write to a service's queue depends on the routing key alone.
DELAYS = tuple(RabbitExchange(f"video.delay.{n}s", type=ExchangeType.TOPIC, durable=True) for n in LADDER_SECONDS)

PUBLISH_SECONDS = 5.0
STOP_SECONDS = 5.0
"""How long handlers may go on after SIGTERM; the whole stop takes less than ten seconds."""
DELIVERY_LIMIT = 20
"""Only against crash loops: each restart of the broker and each killed process counts."""

LONGEST_PAUSE_SECONDS = 60.0
MOST_ID_LETTERS = 64
"""What the inbox has room for."""

ATTEMPT = "x-attempt"
USER = "x-user-id"
"""Who published a message first; the property `user_id` itself must name who publishes it now."""
HINT_QUEUE: ClassicQueueArgs = {"x-max-length": 10_000, "x-message-ttl": 10_000}


def work_queue(subscription: Subscription[Tools]) -> RabbitQueue:
    """The queue of a subscription: quorum, dead-lettering; or this replica's own; or a short-lived one for hints."""
    key = subscription.event.name
    if subscription.every_replica:
        # Gone with its connection: no replica leaves a queue behind. Its name is our own, because FastStream takes two
        # queues that the server is to name for one.
        name = f"{subscription.consumer}.{uuid.uuid4().hex[:12]}"
        return RabbitQueue(name, routing_key=key, exclusive=True, auto_delete=True, arguments={"x-max-length": 10_000})
    if not subscription.event.stored:
        return RabbitQueue(subscription.consumer, routing_key=key, durable=True, arguments=HINT_QUEUE)
    return RabbitQueue(
        subscription.consumer,
        routing_key=key,
        queue_type=QueueType.QUORUM,
        arguments={
            "x-dead-letter-exchange": DEAD.name,
            "x-dead-letter-routing-key": subscription.consumer,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            "x-delivery-limit": DELIVERY_LIMIT,
        },
    )


def dead_letter_queue(service: str) -> RabbitQueue:
    """Where the dead letters of a service wait to be looked at and redriven."""
    return RabbitQueue(f"{service}.dead", routing_key=f"{service}.#", queue_type=QueueType.QUORUM)


def delay_queue(seconds: int) -> RabbitQueue:
    """Where messages wait before they go back to their queue."""
    arguments: QuorumQueueArgs = {
        "x-message-ttl": seconds * 1000,
        "x-dead-letter-exchange": RETURN.name,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    return RabbitQueue(f"video.delay.{seconds}s", queue_type=QueueType.QUORUM, arguments=arguments)


def broker(url: str, **options: Any) -> RabbitBroker:  # noqa: ANN401 - handed through
    """A connection of ours to RabbitMQ."""
    separator = "&" if "?" in url else "?"
    return RabbitBroker(
        f"{url}{separator}heartbeat=5",
        reconnect_interval=1.0,
        graceful_timeout=STOP_SECONDS,
        logger=None,
        # Handlers take the message itself; FastStream would look for a thread to find each of their arguments.
        apply_types=False,
        decoder=_whole,
        **options,
    )


async def _whole(message: RabbitMessage) -> RabbitMessage:
    return message


async def declare(publisher: RabbitBroker, service: str) -> None:
    """Make sure that all exchanges, the delay queues and a service's dead-letter queue exist."""
    for exchange in (EVENTS, DEAD, RETURN):
        await publisher.declare_exchange(exchange)
    for exchange, seconds in zip(DELAYS, LADDER_SECONDS, strict=True):
        entrance = await publisher.declare_exchange(exchange)
        # RabbitMQ checks the right to bind word by word: each service binds its own messages.
        await (await publisher.declare_queue(delay_queue(seconds))).bind(entrance, routing_key=f"{service}.#")
    dead = await publisher.declare_queue(dead_letter_queue(service))
    await dead.bind(await publisher.declare_exchange(DEAD), routing_key=f"{service}.#")


class Publisher:
    """Sends events, each confirmed by the broker and refused when no queue takes it.

    It has a connection of its own: under an alarm the server stops reading connections that publish, and acks of
    finished messages must still go through.
    """

    def __init__(self, url: str) -> None:
        self.broker = broker(url, default_channel=Channel(on_return_raises=True))
        self.connected = False

    async def start(self, service: str) -> None:
        """Connect and declare the topology."""
        await self.broker.connect()
        await declare(self.broker, service)
        await self.broker.start()
        self.connected = True

    async def stop(self) -> None:
        """Close the connection."""
        await self.broker.stop()

    async def send(self, item: Letter) -> None:
        """Send an outbox row's letter; returns when the broker has it. Raises when it has not."""
        with telemetry.following(item.headers, f"{item.name} send", SpanKind.PRODUCER):
            await self._publish(
                item.body.encode(),
                exchange=EVENTS,
                routing_key=item.name,
                headers=telemetry.trace_headers(),
                message_id=item.message_id,
                message_type=item.name,
                correlation_id=item.video_id,
            )

    async def hint(self, event: Event) -> None:
        """Tell an event to whoever listens now. Never raises."""
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
                    correlation_id=str(event.video_id),
                    content_type="application/json",
                )
        except (AMQPError, OSError, TimeoutError, RuntimeError) as error:
            log.debug("hint.lost", event_name=event.name, error=repr(error))

    async def send_back(self, message: RabbitMessage, delivery: Delivery, outcome: ComesBack) -> None:
        """Have a message delivered again to its own queue, later."""
        headers = _headers(message, delivery) | {ATTEMPT: outcome.attempt}
        await self._republish(message, DELAYS[outcome.step], delivery.consumer, headers)

    async def bury(self, message: RabbitMessage, delivery: Delivery, outcome: Dead) -> None:
        """Put a message to the dead letters, with the reason."""
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

    async def _publish(self, body: bytes, **options: Any) -> None:  # noqa: ANN401 - handed through
        async with asyncio.timeout(PUBLISH_SECONDS):
            await self.broker.publish(body, persist=True, mandatory=True, content_type="application/json", **options)


def _headers(message: RabbitMessage, delivery: Delivery) -> dict[str, Any]:
    """A message's own headers, without what brokers add on the way, and who published it."""
    kept = {
        key: value
        for key, value in message.headers.items()
        if not key.startswith(("x-death", "x-first-death", "x-last-death", "x-delivery-count", "x-opt-"))
    }
    return kept if delivery.user is None else kept | {USER: delivery.user}


class Consumer:
    """Takes the messages of one service, each subscription with its own limit, and settles what becomes of them."""

    def __init__(self, url: str, service: Service[Tools], publisher: Publisher) -> None:
        self.broker = broker(url)
        self.publisher = publisher
        self.subscriptions = tuple(service.story.subscriptions)
        for subscription in self.subscriptions:
            self._subscribe(service, subscription)

    def _subscribe(self, service: Service[Tools], subscription: Subscription[Tools]) -> None:
        async def consume(message: RabbitMessage) -> None:
            delivery = _delivery(subscription, message)
            outcome = await deliver(service, subscription, delivery, bytes(message.body))
            if subscription.counts_once:
                await self._settle(message, delivery, outcome)

        self.broker.subscriber(
            work_queue(subscription),
            EVENTS,
            channel=Channel(prefetch_count=subscription.at_once),
            ack_policy=AckPolicy.NACK_ON_ERROR,
            title=subscription.consumer,
        )(consume)

    async def _settle(self, message: RabbitMessage, delivery: Delivery, outcome: object) -> None:
        """Send the message on, confirmed, before it is acked: a crash between makes two of it, never none."""
        try:
            if isinstance(outcome, ComesBack):
                await self.publisher.send_back(message, delivery, outcome)
            elif isinstance(outcome, Dead):
                await self.publisher.bury(message, delivery, outcome)
        except Exception:
            # It goes back to its queue at once; without this pause it would spin up to the delivery limit.
            await asyncio.sleep(min(2.0**delivery.returns, LONGEST_PAUSE_SECONDS))
            raise

    async def start(self) -> None:
        """Connect and begin to take messages."""
        await self.broker.connect()
        await self.broker.declare_exchange(EVENTS)
        # Not by our own broker object: it would keep the queue, with its channel, for the subscriber.
        declaring = self.publisher.broker
        returning = await declaring.declare_exchange(RETURN)
        for subscription in self.subscriptions:
            if subscription.counts_once:
                queue = await declaring.declare_queue(work_queue(subscription))
                await queue.bind(returning, routing_key=subscription.consumer)
        await self.broker.start()

    async def stop(self) -> None:
        """Take no more messages, let those at hand end, and close the connection."""
        for subscriber in self.broker.subscribers:
            await _stop_taking(subscriber)
        await self.broker.stop()

    async def ping(self) -> bool:
        """Whether the connection is alive."""
        return await self.broker.ping(timeout=1.0)


def _delivery(subscription: Subscription[Tools], message: RabbitMessage) -> Delivery:
    # A publisher that gives its message no id gives all copies of it the same one.
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


async def _stop_taking(subscriber: Any) -> None:  # noqa: ANN401 - FastStream keeps these two names to itself
    """Cancel a consumer at the broker while its handlers go on.

    FastStream waits for the handlers first and cancels then; what the broker pushes in between would be swallowed and
    come back with its delivery count raised.
    """
    queue: AbstractRobustQueue | None = subscriber._queue_obj  # noqa: SLF001
    if queue is not None and subscriber._consumer_tag is not None and not queue.channel.is_closed:  # noqa: SLF001
        await queue.cancel(subscriber._consumer_tag)  # noqa: SLF001
        subscriber._consumer_tag = None  # noqa: SLF001
