"""Publishing and consuming on a real RabbitMQ."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import aio_pika
import pytest
from aiormq.exceptions import PublishError
from faststream.rabbit.subscriber.usecase import RabbitSubscriber

from shared.contracts.events import SceneProgressed, VideoComposing, VideoFailed, VideoRequested, VideoResumed
from shared.contracts.messages import InternalMessage
from shared.messaging.errors import StepFailed
from shared.messaging.message_processor import Service, fails_video
from shared.messaging.rabbitmq import Consumer, Publisher
from shared.messaging.redrive import redrive
from shared.messaging.requeued import Requeued, report
from shared.persistence.database import Database
from shared.persistence.outbox import Batch, OutboxMessage, Relay
from shared.persistence.unit_of_work import transaction
from shared_testing.servers import eventually, published

pytestmark = pytest.mark.connected

VIDEO = UUID("2f1c9b9e-8f57-4a3f-9f9d-0d2b1b7f0b11")


def outbox_message(event: Any, message_id: str | None = None) -> OutboxMessage:
    return OutboxMessage(message_id or str(uuid4()), event.name, str(event.video_id), {}, event.model_dump_json())


def request(prompt: str = "a fox") -> VideoRequested:
    return VideoRequested(video_id=VIDEO, prompt=prompt)


class Bench:
    """A service on its own vhost, and a plain client."""

    def __init__(self, url: str, hearer: Any, event: type = VideoRequested) -> None:
        self.url = url
        self.hearer = hearer
        self.publisher = Publisher(url)
        self.service = Service(hearer.router("hearer", event), hearer, hearer.database, fails_video("composer"))
        self.consumer = Consumer(url, self.service, self.publisher)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
        await self.publisher.start("hearer")
        await self.consumer.start()
        connection = await aio_pika.connect(self.url)
        try:
            yield await connection.channel()
        finally:
            await connection.close()
            await self.consumer.stop()
            await self.publisher.stop()

    async def counts(self, channel: aio_pika.abc.AbstractChannel, queue: str) -> int:
        declared = await channel.declare_queue(queue, passive=True)
        return declared.declaration_result.message_count or 0


async def test_an_event_reaches_its_handler(broker_url: str, sqlite: Database, hearing: Any) -> None:
    bench = Bench(broker_url, hearing(sqlite))
    async with bench.running():
        await bench.publisher.send(outbox_message(request()))
        await eventually(bench.hearer.effects)
    assert await bench.hearer.effects() == ["a fox"]


async def test_an_event_without_a_queue_is_refused_and_kept(broker_url: str, sqlite: Database, hearing: Any) -> None:
    event = VideoComposing(video_id=VIDEO)
    bench = Bench(broker_url, hearing(sqlite))
    async with bench.running():
        with pytest.raises(PublishError):
            await bench.publisher.send(outbox_message(event))
        async with transaction(sqlite) as work:
            await work.emit(event)
        assert await Relay(sqlite, bench.publisher.send).send_due() == Batch(due=1)
    assert await published(sqlite) == [event]


async def test_an_ephemeral_message_without_a_queue_is_lost_and_later_messages_are_not(
    broker_url: str, sqlite: Database, hearing: Any
) -> None:
    hint = SceneProgressed(video_id=VIDEO, scene_number=1, provider="p", percent=5, eta_seconds=1)
    bench = Bench(broker_url, hearing(sqlite))
    await bench.publisher.publish(hint)  # not even connected
    async with bench.running():
        await bench.publisher.publish(hint)
        await bench.publisher.send(outbox_message(request()))
        await eventually(bench.hearer.effects)
    late = Bench(broker_url, hearing(sqlite), SceneProgressed)
    async with late.running():
        await late.publisher.publish(hint)
        await eventually(lambda: late.hearer.calls)
    assert (bench.hearer.calls, late.hearer.calls) == (1, 1)


class ReportDue(InternalMessage):
    """A message about no video."""

    name = "hearer.report.due"

    report_id: str

    @property
    def ordering_key(self) -> str:
        return self.report_id


async def test_an_internal_message_has_its_own_routing_key_and_fails_no_video(
    broker_url: str, sqlite: Database, hearing: Any
) -> None:
    bench = Bench(broker_url, hearing(sqlite, [StepFailed("refused", "Not today.")]), ReportDue)
    async with transaction(sqlite) as work:
        await work.emit(ReportDue(report_id="r-1"))
    async with bench.running() as channel:
        assert await Relay(sqlite, bench.publisher.send).send_due() == Batch(due=1, sent=1)
        dead = await _later(await channel.get_queue("hearer.dead"))
        assert (dead.routing_key, dead.correlation_id) == ("hearer.report.due", "r-1")
        await dead.ack()
    assert await published(sqlite) == []


async def test_a_failure_is_retried_after_growing_delays(broker_url: str, sqlite: Database, hearing: Any) -> None:
    bench = Bench(broker_url, hearing(sqlite, [ValueError("boom")]))
    async with bench.running() as channel:
        await bench.publisher.send(outbox_message(request()))
        await eventually(bench.hearer.effects, seconds=10)
        assert bench.hearer.calls == 2
        assert await bench.counts(channel, "hearer.dead") == 0


async def test_an_invalid_message_is_dead_lettered_with_its_reason(
    broker_url: str, sqlite: Database, hearing: Any
) -> None:
    bench = Bench(broker_url, hearing(sqlite))
    async with bench.running() as channel:
        exchange = await channel.get_exchange("video")
        bodies = [b"{", b'{"videoId": "nope", "prompt": "x"}', b"\xff"]
        for n, body in enumerate(bodies):
            message = aio_pika.Message(body, message_id=str(n), content_type="application/json")
            await exchange.publish(message, routing_key="video.requested")
        await bench.publisher.send(outbox_message(request("a good one")))
        await eventually(bench.hearer.effects)

        dead = await channel.get_queue("hearer.dead")
        found = {}
        while len(found) < 3:
            message = await _later(dead)
            found[message.body] = message.headers
            await message.ack()
    assert found[bodies[1]]["x-kind"] == "malformed"
    assert "videoId" in found[bodies[1]]["x-reason"]
    assert found[bodies[1]]["x-queue"] == "hearer.video.requested"
    assert await bench.hearer.effects() == ["a good one"]


async def test_a_dead_letter_can_be_redriven_and_its_video_continues(
    broker_url: str, sqlite: Database, hearing: Any
) -> None:
    bench = Bench(broker_url, hearing(sqlite, [StepFailed("refused", "Not today."), StepFailed("refused", "Nor now.")]))
    async with bench.running() as channel:
        resumed = await channel.declare_queue("listener", auto_delete=True)
        await resumed.bind("video", VideoResumed.name)
        await bench.publisher.send(outbox_message(request()))
        await eventually(lambda: _count(bench, channel, 1))

        first = await redrive(broker_url, ("hearer",))
        await eventually(lambda: bench.hearer.calls == 2)
        await eventually(lambda: _count(bench, channel, 1))
        second = await redrive(broker_url, ("hearer",))

        await eventually(bench.hearer.effects)
        await eventually(lambda: _count(bench, channel, 0))
        resumes = [json.loads((await _later(resumed)).body) for _ in range(2)]
    assert [(one["videoId"], one["epoch"]) for one in resumes] == [(str(VIDEO), 1), (str(VIDEO), 2)]
    queue = "hearer.video.requested"
    assert first == [Requeued(VideoRequested.name, queue, VIDEO, "Not today.", again=False)]
    assert second == [Requeued(VideoRequested.name, queue, VIDEO, "Nor now.", again=True)]
    lines = report(second).splitlines()
    assert lines[0] == "Requeued 1 message, 1 of which had failed again after an earlier requeue:"
    assert lines[1] == f"  video.requested of video {VIDEO} to {queue}; it failed again: Nor now."


async def _count(bench: Bench, channel: aio_pika.abc.AbstractChannel, wanted: int) -> bool:
    return await bench.counts(channel, "hearer.dead") == wanted


async def test_a_dead_letter_publishes_that_its_video_failed(broker_url: str, sqlite: Database, hearing: Any) -> None:
    bench = Bench(broker_url, hearing(sqlite, [StepFailed("refused", "Not today.")]))
    async with bench.running() as channel:
        heard = await channel.declare_queue("listener", auto_delete=True)
        await heard.bind("video", VideoFailed.name)
        relay = asyncio.create_task(Relay(sqlite, bench.publisher.send).run())
        await bench.publisher.send(outbox_message(request()))
        message = await _later(heard)
        relay.cancel()
    assert json.loads(message.body)["reason"] == "Not today."


async def test_a_message_that_kills_its_handlers_is_dead_lettered_with_its_reason(
    broker_url: str, sqlite: Database, hearing: Any
) -> None:
    bench = Bench(broker_url, hearing(sqlite))
    async with bench.running():
        pass  # its queues are there from now on
    sender = Publisher(broker_url)
    await sender.start("hearer")
    await sender.send(outbox_message(request()))
    await sender.stop()
    connection = await aio_pika.connect(broker_url)
    async with connection:
        for _ in range(15):
            channel = await connection.channel()
            await _later(await channel.get_queue("hearer.video.requested"))
            await channel.close()
    bench = Bench(broker_url, bench.hearer)
    async with bench.running() as channel:
        letter_of_it = await _later(await channel.get_queue("hearer.dead"))
    assert letter_of_it.headers["x-kind"] == "crashed"
    assert bench.hearer.calls == 0


async def test_long_ids_with_the_same_beginning_are_two_messages(
    broker_url: str, sqlite: Database, hearing: Any
) -> None:
    bench = Bench(broker_url, hearing(sqlite))
    async with bench.running():
        for n, prompt in enumerate(("a fox", "a hen", "a hen")):
            await bench.publisher.send(
                outbox_message(request(prompt), "https://factory.example/" + "x" * 64 + str(min(n, 1)))
            )
        await eventually(lambda: bench.hearer.calls >= 2)
        await asyncio.sleep(0.3)
    assert sorted(await bench.hearer.effects()) == ["a fox", "a hen"]


async def test_the_owner_of_a_request_is_its_publisher_also_after_a_retry(
    broker_url: str, sqlite: Database, hearing: Any
) -> None:
    user = str(urlsplit(broker_url).username)
    owners: list[tuple[str, str]] = []
    bench = Bench(broker_url, hearing(sqlite, [ValueError("boom")]))

    [heard] = bench.service.router.subscriptions

    async def note(event: VideoRequested, delivery: Any, deps: Any) -> None:
        await heard.handler(event, delivery, deps)
        owners.append((event.prompt, event.owner))

    bench.service.router.subscriptions.clear()
    bench.service.router.on(VideoRequested, max_concurrency=1)(note)
    bench.consumer = Consumer(broker_url, bench.service, bench.publisher)
    wishes = [("mine", {}), ("named", {"owner": user}), ("forged", {"owner": "anna"})]
    async with bench.running() as channel:
        exchange = await channel.get_exchange("video")
        for n, (prompt, more) in enumerate(wishes):
            body = json.dumps({"videoId": str(VIDEO), "prompt": prompt, **more}).encode()
            message = aio_pika.Message(body, message_id=str(n), user_id=user)
            await exchange.publish(message, routing_key="video.requested")
        dead = await _later(await channel.get_queue("hearer.dead"))
        await eventually(lambda: len(owners) == 2)
    assert sorted(owners) == [("mine", user), ("named", user)]
    assert (dead.headers["x-kind"], json.loads(dead.body)["prompt"]) == ("malformed", "forged")


async def _later(queue: aio_pika.abc.AbstractQueue) -> aio_pika.abc.AbstractIncomingMessage:
    async def get() -> aio_pika.abc.AbstractIncomingMessage | None:
        return await queue.get(fail=False)

    found: aio_pika.abc.AbstractIncomingMessage = await eventually(get)
    return found


def test_the_private_names_of_faststream_exist() -> None:
    """`shared.messaging.consumer_cancellation` uses them."""
    assert {"_queue_obj", "_consumer_tag"} <= set(RabbitSubscriber.__slots__)


async def test_stopping_finishes_the_current_message_and_loses_none(
    broker_url: str, sqlite: Database, hearing: Any
) -> None:
    """A message that was delivered but not started goes to another replica, with a delivery count of zero."""
    hearer = hearing(sqlite)
    began, go_on = asyncio.Event(), asyncio.Event()

    async def slow(event: VideoRequested, _delivery: object, deps: Any) -> None:
        deps.calls += 1
        began.set()
        await go_on.wait()

    bench = Bench(broker_url, hearer)
    bench.service.router.subscriptions.clear()
    bench.service.router.on(VideoRequested, max_concurrency=1)(slow)
    bench.consumer = Consumer(broker_url, bench.service, bench.publisher)
    async with bench.running() as channel:
        for n in range(3):
            await bench.publisher.send(outbox_message(request(), f"m{n}"))
        await began.wait()
        stopping = asyncio.create_task(bench.consumer.stop())
        await asyncio.sleep(0.5)
        go_on.set()
        await stopping
        queue = await channel.get_queue("hearer.video.requested")
        left = [await _later(queue) for _ in range(2)]
        assert await queue.get(fail=False) is None
        assert [message.headers.get("x-delivery-count", 0) for message in left] == [0, 0]
        for message in left:
            await message.ack()
    assert hearer.calls == 1
