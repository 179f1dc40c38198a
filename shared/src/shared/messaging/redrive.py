"""Requeues dead letters: `python -m shared.messaging.redrive [service ...]`."""

import argparse
import asyncio
import sys
from datetime import UTC, datetime
from uuid import uuid4

from aio_pika import DeliveryMode, Message, connect_robust
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aiormq.exceptions import AMQPError

from shared.contracts.events import VideoResumed
from shared.messaging.message_processor import EPOCH, REDRIVEN, epoch_in, video_id_of
from shared.messaging.rabbitmq import ATTEMPT, USER
from shared.messaging.requeued import Requeued, report
from shared.messaging.topology import EVENTS, RETURN, dead_letter_queue
from shared.settings import BrokerSettings, read

SERVICES = ("storyboard", "scene-render", "composer", "gateway")


async def redrive(url: str, services: tuple[str, ...] = SERVICES) -> list[Requeued]:
    """Requeue all dead letters of these services and resume their videos. Return what was requeued."""
    connection = await connect_robust(url)
    async with connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        return [one for service in services for one in await _redrive(channel, service)]


async def _redrive(channel: AbstractChannel, service: str) -> list[Requeued]:
    queue = await channel.get_queue(dead_letter_queue(service).name)
    returning = await channel.get_exchange(RETURN.name)
    requeued = []
    # Only as many as there are now: one that fails again must not be requeued for ever.
    for _ in range(queue.declaration_result.message_count or 0):
        dead_letter = await queue.get(fail=False)
        if dead_letter is None:
            break
        await _resume_video(channel, dead_letter)
        await returning.publish(_again(dead_letter), routing_key=str(dead_letter.routing_key), timeout=5)
        await dead_letter.ack()
        requeued.append(_told(dead_letter))
    return requeued


async def _resume_video(channel: AbstractChannel, dead_letter: AbstractIncomingMessage) -> None:
    video_id = video_id_of(dead_letter.body)
    if video_id is None:
        return
    message = Message(
        VideoResumed(video_id=video_id, epoch=epoch_in(dead_letter.headers) + 1).model_dump_json().encode(),
        message_id=str(uuid4()),
        correlation_id=str(video_id),
        type=VideoResumed.name,
        content_type="application/json",
        delivery_mode=DeliveryMode.PERSISTENT,
    )
    exchange = await channel.get_exchange(EVENTS.name)
    await exchange.publish(message, routing_key=VideoResumed.name, timeout=5)


def _told(dead_letter: AbstractIncomingMessage) -> Requeued:
    return Requeued(
        message=dead_letter.type or "a message",
        consumer=str(dead_letter.headers.get("x-queue") or dead_letter.routing_key),
        video_id=video_id_of(dead_letter.body),
        reason=str(dead_letter.headers.get("x-reason") or "no reason is known"),
        again=REDRIVEN in dead_letter.headers,
    )


def _again(dead_letter: AbstractIncomingMessage) -> Message:
    """Return the message as it was before it was dead-lettered, marked as requeued."""
    added = (ATTEMPT, "x-kind", "x-reason", "x-queue", "x-attempts", "x-died-at", "x-death")
    headers = {
        key: value
        for key, value in dead_letter.headers.items()
        if key not in added and not key.startswith(("x-first-death", "x-last-death", "x-delivery-count"))
    }
    if dead_letter.user_id:
        headers[USER] = dead_letter.user_id
    return Message(
        dead_letter.body,
        headers={**headers, REDRIVEN: datetime.now(UTC).isoformat(), EPOCH: str(epoch_in(dead_letter.headers) + 1)},
        message_id=dead_letter.message_id,
        correlation_id=dead_letter.correlation_id,
        type=dead_letter.type,
        content_type=dead_letter.content_type,
        delivery_mode=DeliveryMode.PERSISTENT,
    )


def _service(name: str) -> str:
    if name not in SERVICES:
        raise argparse.ArgumentTypeError(f"{name!r} is not a service: {', '.join(SERVICES)}")
    return name


def main() -> None:
    """Requeue the dead letters of the given services, or of all."""
    parser = argparse.ArgumentParser(prog="redrive", description=main.__doc__)
    parser.add_argument("services", nargs="*", type=_service, metavar="SERVICE", help=", ".join(SERVICES))
    services = tuple(parser.parse_args().services) or SERVICES
    url = read(BrokerSettings).broker_url.get_secret_value()
    try:
        requeued = asyncio.run(redrive(url, services))
    except (AMQPError, OSError) as error:
        why = type(error).__name__
        sys.exit(f"BROKER_URL: RabbitMQ cannot be used ({why}). Check the address, the user and the password.")
    sys.stdout.write(report(requeued) + "\n")


if __name__ == "__main__":
    main()
