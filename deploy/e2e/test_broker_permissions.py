"""The permissions of each RabbitMQ user. A producer can only request videos."""

import ast
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from aiormq.exceptions import ChannelAccessRefused

from embedded.asyncapi import CONSUMED_BY
from embedded.broker_permissions import published_by, users
from shared.contracts.events import EVENTS
from shared_testing.servers import eventually, fetch_json

ROOT = Path(__file__).parents[2]
SERVICES = tuple(CONSUMED_BY)
USERS = {user["name"]: user for user in users()}
CLASSES = {event.__name__: event.name for event in EVENTS}


def may(user: str, right: str, key: str, exchange: str = "video") -> bool:
    patterns = [topics[right] for topics in USERS[user]["topics"] if topics["exchange"] == exchange]
    return any(re.search(pattern, key) for pattern in patterns)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_only_its_publishers_may_publish_an_event(event) -> None:
    assert event.publishers
    assert {user for user in USERS if may(user, "write", event.name)} == set(event.publishers)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_may_publish_every_event_that_it_emits(service: str) -> None:
    sources = (ROOT / "services" / service / "src").rglob("*.py")
    nodes = (node for path in sources for node in ast.walk(ast.parse(path.read_text())))
    called = (node.func for node in nodes if isinstance(node, ast.Call))
    made = {CLASSES[name.id] for name in called if isinstance(name, ast.Name) and name.id in CLASSES}
    assert made <= published_by(service)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_binds_its_events_and_reaches_no_queue_of_another(service: str) -> None:
    assert all(may(service, "read", name) for name in CONSUMED_BY[service])
    for other in set(SERVICES) - {service}:
        for right in ("configure", "write", "read"):
            assert not re.search(USERS[service][right], f"{other}.dead")
        for exchange in ("video.dead", "video.return", "video.delay.1s"):
            assert not may(service, "write", f"{other}.video.composed", exchange)


async def refused(url: str, act: Callable[[AbstractChannel], Awaitable[Any]]) -> bool:
    connection = await aio_pika.connect(url)
    async with connection:
        try:
            await act(await connection.channel(on_return_raises=True))
        except ChannelAccessRefused:
            return True
    return False


def publishing(exchange: str, key: str, body: bytes = b"{}", **properties: Any) -> Callable[[Any], Awaitable[Any]]:
    async def publish(channel: AbstractChannel) -> None:
        entrance = await channel.get_exchange(exchange, ensure=False)
        await entrance.publish(aio_pika.Message(body, **properties), routing_key=key)

    return publish


@pytest.mark.connected
@pytest.mark.parametrize("user", ["producer", "storyboard", "composer"])
async def test_a_forger_is_refused(stack, user: str) -> None:
    url, own = stack.broker.url_of(user), published_by(user)
    forged = {
        event.name: await refused(url, publishing("video", event.name)) for event in EVENTS if event.name not in own
    }
    assert forged == dict.fromkeys(forged, True)
    for exchange in ("", "video.return", "video.delay.1s", "video.dead"):
        assert await refused(url, publishing(exchange, "gateway.video.composed"))


@pytest.mark.connected
async def test_a_producer_has_no_queue_and_a_listener_gets_the_events_of_videos(stack) -> None:
    producer, listener = stack.broker.url_of("producer"), stack.broker.url_of("listener")
    assert await refused(producer, lambda channel: channel.declare_queue("producer.mine"))
    assert await refused(producer, lambda channel: channel.declare_queue(exclusive=True))

    async def consume(channel: AbstractChannel) -> None:
        await (await channel.get_queue("gateway.video.requested", ensure=False)).get(fail=False)

    async def bind(channel: AbstractChannel) -> None:
        queue = await channel.declare_queue("listener.requests", exclusive=True)
        await queue.bind("video", "video.requested")

    async def dead_letter(channel: AbstractChannel) -> None:
        arguments = {"x-dead-letter-exchange": "video", "x-dead-letter-routing-key": "video.cancelled"}
        await channel.declare_queue("listener.trap", exclusive=True, arguments=arguments)

    for act in (consume, bind, dead_letter, publishing("video", "video.requested")):
        assert await refused(listener, act)
    assert await refused(producer, consume)

    connection = await aio_pika.connect(listener)
    async with connection:
        queue = await (await connection.channel()).declare_queue("listener.ended", exclusive=True)
        await queue.bind("video", "video.cancelled")
        video_id = stack.ask(sceneCount=1)["videoId"]
        fetch_json(f"{stack.api}/{video_id}/cancel", {})
        heard = await eventually(lambda: queue.get(fail=False))
    assert json.loads(heard.body)["videoId"] == video_id
