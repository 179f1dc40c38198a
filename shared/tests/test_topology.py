"""Queues exist before the first event, so that a service that has not run yet loses no event."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import pytest

from shared.contracts.events import EVENTS, VideoRequested
from shared.messaging import topology
from shared.messaging.errors import QueuesMissing
from shared.messaging.event_router import consumer_of
from shared.messaging.message_processor import Service, fails_video
from shared.messaging.rabbitmq import Consumer, Publisher
from shared.persistence.database import Database
from shared.persistence.outbox import OutboxMessage
from shared_testing.broker import BrokerCorner
from shared_testing.servers import eventually

pytestmark = pytest.mark.connected

VIDEO = UUID("2f1c9b9e-8f57-4a3f-9f9d-0d2b1b7f0b11")
PERMISSIONS = Path(__file__).parents[2] / "deploy/rabbitmq/permissions.json"
QUEUES = {consumer_of(service, event): event for event in EVENTS for service in event.consumers}


@pytest.fixture
def corner(rabbitmq: Callable[[], BrokerCorner]) -> Iterator[BrokerCorner]:
    corner = rabbitmq()
    yield corner
    corner.remove()


def outbox_message(name: str, body: str = "{}") -> OutboxMessage:
    return OutboxMessage(str(uuid4()), name, str(VIDEO), {}, body)


async def counts(url: str, names: set[str]) -> dict[str, int | None]:
    """Return how many messages wait in each queue. Raises if one does not exist."""
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        declared = {name: await channel.declare_queue(name, passive=True) for name in names}
    return {name: queue.declaration_result.message_count for name, queue in declared.items()}


@pytest.mark.parametrize("first", ["gateway", "composer"])
async def test_the_service_that_starts_first_declares_the_queues_of_all(corner: BrokerCorner, first: str) -> None:
    publisher = Publisher(corner.url, EVENTS)
    others = {name for name, event in QUEUES.items() if not name.startswith(f"{first}.")}
    await publisher.start(first)
    try:
        for event in EVENTS:
            if set(event.consumers) - {first}:
                await publisher.send(outbox_message(event.name))
    finally:
        await publisher.stop()
    assert await counts(corner.url, others) == dict.fromkeys(others, 1)
    await counts(corner.url, {f"{service}.dead" for service in topology.consumers_in(EVENTS)})


async def test_an_event_waits_for_the_queue_of_a_service_that_may_alone_declare_it(
    corner: BrokerCorner, sqlite: Database, hearing: Any
) -> None:
    corner.add_users(json.loads(PERMISSIONS.read_text()))
    hearer = hearing(sqlite)

    async def started(name: str) -> tuple[Publisher, Consumer]:
        publisher = Publisher(corner.url_of(name), EVENTS)
        service = Service(hearer.router(name), hearer, sqlite, fails_video("composer"))
        consumer = Consumer(corner.url_of(name), service, publisher)
        await publisher.start(name)
        await consumer.start()
        return publisher, consumer

    event = VideoRequested(video_id=VIDEO, prompt="a fox")
    request = outbox_message(event.name, event.model_dump_json())
    gateway, heard_by_gateway = await started("gateway")
    with pytest.raises(QueuesMissing) as missing:
        await gateway.send(request)
    assert missing.value.queues == ["storyboard.video.requested"]
    assert hearer.calls == 0

    storyboard, heard_by_storyboard = await started("storyboard")

    async def is_sent() -> bool:
        try:
            await gateway.send(request)
        except QueuesMissing:
            return False
        return True

    await eventually(is_sent)
    await eventually(lambda: hearer.calls == 2)
    for one in (heard_by_gateway, heard_by_storyboard, gateway, storyboard):
        await one.stop()


async def test_definitions_that_the_broker_loads_hold_the_queues_of_all(corner: BrokerCorner) -> None:
    corner.add_users(json.loads(PERMISSIONS.read_text()))
    corner.load(topology.definitions(EVENTS, corner.vhost))
    publisher = Publisher(corner.url_of("gateway"), EVENTS)
    await publisher.start("gateway")
    try:
        assert publisher.awaited == set()
        for event in EVENTS:
            if "gateway" in event.publishers:
                await publisher.send(outbox_message(event.name))
    finally:
        await publisher.stop()
    sent = {name: 1 if "gateway" in event.publishers else 0 for name, event in QUEUES.items()}
    assert await counts(corner.url, set(sent)) == sent
    # A service with all permissions finds the queues with the arguments that it would declare.
    assert await topology.declare_for_others(corner.url, "composer", EVENTS) == set()
