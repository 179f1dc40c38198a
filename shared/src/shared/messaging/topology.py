"""The exchanges, queues and bindings on RabbitMQ, derived from the contracts.

video                  topic exchange; an event's routing key is its name
<service>.<event>      quorum queue, one per subscription
video.delay.<n>s       topic exchange and queue of messages that wait n seconds
video.return           topic exchange; returns delayed messages to the queue named by their routing key
video.dead             topic exchange; <service>.dead holds a service's dead letters, with the reason in the headers

Each service declares the queues of all services when it starts, so that an event that is published before its consumer
has ever run waits in the consumer's queue. A user without that permission relies on the loaded definitions.
"""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel
from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity, ChannelPreconditionFailed
from faststream.rabbit import ExchangeType, QueueType, RabbitBroker, RabbitExchange, RabbitQueue
from faststream.rabbit.schemas.queue import ClassicQueueArgs, QuorumQueueArgs

from shared.contracts.events import Event
from shared.contracts.messages import Message
from shared.messaging.event_router import Dependencies, Subscription, consumer_of
from shared.messaging.message_processor import RETRY_DELAYS_SECONDS

EVENTS = RabbitExchange("video", type=ExchangeType.TOPIC, durable=True)
DEAD = RabbitExchange("video.dead", type=ExchangeType.TOPIC, durable=True)
RETURN = RabbitExchange("video.return", type=ExchangeType.TOPIC, durable=True)
# Topic exchanges too, because topic permissions restrict who may write to the queue of a service.
DELAYS = tuple(RabbitExchange(f"video.delay.{n}s", type=ExchangeType.TOPIC, durable=True) for n in RETRY_DELAYS_SECONDS)
EXCHANGES = (EVENTS, DEAD, RETURN, *DELAYS)

DELIVERY_LIMIT = 20
"""A net against crash loops; restarts of the broker and killed processes count too."""
EPHEMERAL_QUEUE: ClassicQueueArgs = {"x-max-length": 10_000, "x-message-ttl": 10_000}
DECLARE_SECONDS = 30.0


@dataclass(frozen=True)
class BoundQueue:
    """A queue, and the exchanges and routing keys that it is bound to."""

    queue: RabbitQueue
    bindings: tuple[tuple[RabbitExchange, str], ...]


def work_queue(consumer: str, event: type[Message]) -> RabbitQueue:
    """Return the queue of a subscription: a quorum queue, or a classic one for messages that are not stored."""
    if not event.stored:
        return RabbitQueue(consumer, routing_key=event.name, durable=True, arguments=EPHEMERAL_QUEUE)
    return RabbitQueue(
        consumer,
        routing_key=event.name,
        queue_type=QueueType.QUORUM,
        arguments={
            "x-dead-letter-exchange": DEAD.name,
            "x-dead-letter-routing-key": consumer,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            "x-delivery-limit": DELIVERY_LIMIT,
        },
    )


def queue_of(subscription: Subscription[Dependencies]) -> RabbitQueue:
    """Return the queue that a subscription consumes: its work queue, or an exclusive one of this replica."""
    if not subscription.broadcast:
        return work_queue(subscription.consumer, subscription.event)
    # It is deleted with its connection. We name it, because FastStream treats two server-named queues as one.
    name, key = f"{subscription.consumer}.{uuid.uuid4().hex[:12]}", subscription.event.name
    return RabbitQueue(name, routing_key=key, exclusive=True, auto_delete=True, arguments={"x-max-length": 10_000})


def dead_letter_queue(service: str) -> RabbitQueue:
    """Return the dead-letter queue of a service."""
    return RabbitQueue(f"{service}.dead", routing_key=f"{service}.#", queue_type=QueueType.QUORUM)


def delay_queue(seconds: int) -> RabbitQueue:
    """Return the queue where messages wait before they return to their own queue."""
    arguments: QuorumQueueArgs = {
        "x-message-ttl": seconds * 1000,
        "x-dead-letter-exchange": RETURN.name,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    return RabbitQueue(f"video.delay.{seconds}s", queue_type=QueueType.QUORUM, arguments=arguments)


def waiting_queues(service: str) -> list[BoundQueue]:
    """Return the delay queues and the dead-letter queue, with the bindings of a service."""
    # Topic permissions allow a service to bind only its own routing keys.
    own = f"{service}.#"
    delays = zip(DELAYS, RETRY_DELAYS_SECONDS, strict=True)
    return [
        *(BoundQueue(delay_queue(seconds), ((exchange, own),)) for exchange, seconds in delays),
        BoundQueue(dead_letter_queue(service), ((DEAD, own),)),
    ]


def event_queues(service: str, contracts: Sequence[type[Event]]) -> list[BoundQueue]:
    """Return the queues of the events that a service consumes."""
    consumed = ((consumer_of(service, event), event) for event in contracts if service in event.consumers)
    return [
        BoundQueue(work_queue(consumer, event), ((EVENTS, event.name), *([(RETURN, consumer)] if event.stored else [])))
        for consumer, event in consumed
    ]


def consumers_in(contracts: Sequence[type[Event]]) -> list[str]:
    """Return the services that consume these events."""
    return sorted({service for event in contracts for service in event.consumers})


def definitions(contracts: Sequence[type[Event]], vhost: str) -> dict[str, Any]:
    """Return RabbitMQ's definitions of all exchanges, queues and bindings."""
    services = consumers_in(contracts)
    bound = [one for name in services for one in (*waiting_queues(name), *event_queues(name, contracts))]
    queues = {one.queue.name: one.queue for one in bound}
    return {
        "exchanges": [
            {
                "name": exchange.name,
                "vhost": vhost,
                "type": exchange.type.value,
                "durable": True,
                "auto_delete": False,
                "internal": False,
                "arguments": {},
            }
            for exchange in EXCHANGES
        ],
        "queues": [
            {"name": name, "vhost": vhost, "durable": True, "auto_delete": False, "arguments": dict(queue.arguments)}
            for name, queue in queues.items()
        ],
        "bindings": [
            {
                "source": exchange.name,
                "vhost": vhost,
                "destination": one.queue.name,
                "destination_type": "queue",
                "routing_key": key,
                "arguments": {},
            }
            for one in bound
            for exchange, key in one.bindings
        ],
    }


async def declare(broker: RabbitBroker, service: str) -> None:
    """Declare all exchanges, and the delay and dead-letter queues of a service; again after each reconnect."""
    for exchange in EXCHANGES:
        await broker.declare_exchange(exchange)
    for one in waiting_queues(service):
        queue = await broker.declare_queue(one.queue)
        for exchange, key in one.bindings:
            await queue.bind(await broker.declare_exchange(exchange), routing_key=key)


async def declare_for_others(url: str, service: str, contracts: Sequence[type[Event]]) -> set[str]:
    """Declare the queues of all other services. Return the names of those that are missing and must not be declared.

    A robust connection would repeat these declarations when it recovers, and fail at the queues of others: this plain
    connection is used once.
    """
    others = [name for name in consumers_in(contracts) if name != service]
    bound = [one for name in others for one in (*waiting_queues(name), *event_queues(name, contracts))]
    async with asyncio.timeout(DECLARE_SECONDS), await aio_pika.connect(url) as connection:
        for number, one in enumerate(bound):
            try:
                await _declare(await connection.channel(), one)
            except ChannelAccessRefused:
                return {left.queue.name for left in bound[number:] if not await _exists(connection, left.queue.name)}
            except ChannelPreconditionFailed:
                # Another version of its service has declared it with other arguments.
                continue
    return set()


async def _declare(channel: AbstractChannel, one: BoundQueue) -> None:
    async with channel:
        queue = await channel.declare_queue(one.queue.name, durable=True, arguments=one.queue.arguments)
        for exchange, key in one.bindings:
            await queue.bind(exchange.name, routing_key=key)


async def _exists(connection: aio_pika.abc.AbstractConnection, queue: str) -> bool:
    """Return whether a queue exists; that needs no permission."""
    try:
        async with await connection.channel() as channel:
            await channel.declare_queue(queue, passive=True)
    except ChannelNotFoundEntity:
        return False
    return True


def queues_of(service: str, subscriptions: Sequence[Subscription[Dependencies]]) -> list[BoundQueue]:
    """Return all durable queues of a service: those it consumes, the delay queues and the dead-letter queue."""
    consumed = [one for one in subscriptions if not one.broadcast]
    bound = [
        BoundQueue(
            work_queue(one.consumer, one.event),
            ((EVENTS, one.event.name), *([(RETURN, one.consumer)] if one.event.stored else [])),
        )
        for one in consumed
    ]
    return [*waiting_queues(service), *bound]


async def declare_again(connection: aio_pika.abc.AbstractConnection, queues: Sequence[BoundQueue]) -> None:
    """Declare all exchanges, and these queues with their bindings. Existing ones do not change."""
    async with await connection.channel() as channel:
        for exchange in EXCHANGES:
            await channel.declare_exchange(exchange.name, exchange.type.value, durable=True)
    for one in queues:
        await _declare(await connection.channel(), one)
