"""Puts dead letters back to the queues they died at: `python -m shared.redrive [service ...]`."""

import asyncio
import sys
from datetime import UTC, datetime
from uuid import uuid4

from aio_pika import DeliveryMode, Message, connect_robust
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from shared.contracts.events import VideoResumed
from shared.frame import EPOCH, REDRIVEN, epoch_in, video_id_of
from shared.messaging import ATTEMPT, EVENTS, RETURN, USER, dead_letter_queue
from shared.settings import BrokerSettings

SERVICES = ("storyboard", "scene-render", "composer", "gateway")


async def redrive(url: str, services: tuple[str, ...] = SERVICES) -> int:
    """Put all dead letters of these services back, and say of each video that it goes on. Returns how many."""
    connection = await connect_robust(url)
    async with connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        return sum([await _redrive(channel, service) for service in services])


async def _redrive(channel: AbstractChannel, service: str) -> int:
    queue = await channel.get_queue(dead_letter_queue(service).name)
    returning = await channel.get_exchange(RETURN.name)
    count = 0
    # As many as there are now: one that dies again must not be put back for ever.
    for _ in range(queue.declaration_result.message_count or 0):
        letter = await queue.get(fail=False)
        if letter is None:
            break
        await _resume_video(channel, letter)
        await returning.publish(_again(letter), routing_key=str(letter.routing_key), timeout=5)
        await letter.ack()
        count += 1
    return count


async def _resume_video(channel: AbstractChannel, letter: AbstractIncomingMessage) -> None:
    video_id = video_id_of(letter.body)
    if video_id is None:
        return
    message = Message(
        VideoResumed(video_id=video_id, epoch=epoch_in(letter.headers) + 1).model_dump_json().encode(),
        message_id=str(uuid4()),
        correlation_id=str(video_id),
        type=VideoResumed.name,
        content_type="application/json",
        delivery_mode=DeliveryMode.PERSISTENT,
    )
    exchange = await channel.get_exchange(EVENTS.name)
    await exchange.publish(message, routing_key=VideoResumed.name, timeout=5)


def _again(letter: AbstractIncomingMessage) -> Message:
    """The message as it was before it died, with a mark of its return."""
    added = (ATTEMPT, "x-kind", "x-reason", "x-queue", "x-attempts", "x-died-at", "x-death")
    headers = {
        key: value
        for key, value in letter.headers.items()
        if key not in added and not key.startswith(("x-first-death", "x-last-death", "x-delivery-count"))
    }
    if letter.user_id:
        headers[USER] = letter.user_id
    return Message(
        letter.body,
        headers={**headers, REDRIVEN: datetime.now(UTC).isoformat(), EPOCH: str(epoch_in(letter.headers) + 1)},
        message_id=letter.message_id,
        correlation_id=letter.correlation_id,
        type=letter.type,
        content_type=letter.content_type,
        delivery_mode=DeliveryMode.PERSISTENT,
    )


def main() -> None:
    """The command."""
    services = tuple(sys.argv[1:]) or SERVICES
    url = BrokerSettings().broker_url.get_secret_value()
    count = asyncio.run(redrive(url, services))
    sys.stdout.write(f"{count} dead letters are put back.\n")


if __name__ == "__main__":
    main()
