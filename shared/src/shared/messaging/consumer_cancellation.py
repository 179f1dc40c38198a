"""Cancels a consumer while its handlers go on. FastStream has no public way to do that.

It waits for the handlers first and cancels the consumer then. What RabbitMQ delivers in between would be returned with
a raised delivery count. The two private attributes are pinned by a test.
"""

from typing import Any

from aio_pika.abc import AbstractRobustQueue


async def cancel_consumer(subscriber: Any) -> None:  # noqa: ANN401 - the type is not public either
    """Take no more messages from the queue of a subscriber."""
    queue: AbstractRobustQueue | None = subscriber._queue_obj  # noqa: SLF001 - see above
    if queue is not None and subscriber._consumer_tag is not None and not queue.channel.is_closed:  # noqa: SLF001
        await queue.cancel(subscriber._consumer_tag)  # noqa: SLF001
        subscriber._consumer_tag = None  # noqa: SLF001
