"""Runs work that must complete, even if the handler that started it is cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Self

GRACE_SECONDS = 4.0


class Shielded:
    """Tasks that outlive their handlers. The service enters it as a context, and waits for the tasks when it stops.

    A lost connection to RabbitMQ cancels every handler; a submission must still receive its response.
    """

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()

    async def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run to the end, even if the caller is cancelled."""
        await asyncio.shield(self.start(work))

    def start(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Start the work. Return its task, which must not be cancelled."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def __aenter__(self) -> Self:
        """Nothing to open."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Wait for running tasks, for a limited time."""
        if self.tasks:
            await asyncio.wait(self.tasks, timeout=GRACE_SECONDS)
