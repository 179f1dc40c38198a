"""The check of a service's queues on RabbitMQ.

Over AMQP a queue can be looked up, but a binding cannot: a fix declares the bindings of every queue again, which
changes nothing where they exist.
"""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence

import aio_pika
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelNotFoundEntity

from shared.consistency import Examined, Finding, found
from shared.messaging.topology import BoundQueue, dead_letter_queue, declare_again

CONNECT_SECONDS = 10.0


class Queues:
    """The queues of one service. `consumed`: the names of those that its processes consume."""

    def __init__(
        self, connection: AbstractConnection, service: str, queues: Sequence[BoundQueue], consumed: Sequence[str]
    ) -> None:
        self.connection = connection
        self.service = service
        self.queues = queues
        self.consumed = consumed
        self.messages: dict[str, int] = {}
        self.consumers: dict[str, int] = {}

    async def look(self) -> Mapping[str, int]:
        """Look at all queues. Return how many messages are ready in each that exists."""
        for one in self.queues:
            name = one.queue.name
            with contextlib.suppress(ChannelNotFoundEntity):
                async with await self.connection.channel() as channel:
                    result = (await channel.declare_queue(name, passive=True)).declaration_result
                self.messages[name], self.consumers[name] = result.message_count or 0, result.consumer_count or 0
        return self.messages

    async def find(self, _examined: Examined) -> AsyncIterator[Finding]:
        """Yield the findings: queues that are missing or not consumed, dead letters."""
        missing = [one.queue.name for one in self.queues if one.queue.name not in self.messages]
        for finding in found("queues missing on RabbitMQ", missing, "declare and bind them", self.declare):
            yield finding
        deserted = [name for name in self.consumed if self.consumers.get(name) == 0]
        for finding in found("queues that no process consumes", deserted, f"start {self.service}"):
            yield finding
        if dead := self.messages.get(dead_letter_queue(self.service).name):
            yield Finding("dead letters", dead, "`make redrive` requeues them once their cause is repaired")

    async def declare(self) -> int:
        """Declare and bind all queues. Return how many were missing."""
        await declare_again(self.connection, self.queues)
        return sum(one.queue.name not in self.messages for one in self.queues)


@contextlib.asynccontextmanager
async def connected(
    url: str, service: str, queues: Sequence[BoundQueue], consumed: Sequence[str]
) -> AsyncIterator[Queues]:
    """Connect to RabbitMQ while the block runs."""
    async with await aio_pika.connect(url, timeout=CONNECT_SECONDS) as connection:
        yield Queues(connection, service, queues, consumed)
