"""Keeps the background tasks of a process running: a task that ends is counted, reported as down and restarted."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from shared import telemetry
from shared.persistence.database import is_outage

log = structlog.get_logger()

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
OUTAGE_PAUSE_SECONDS = 5.0
CANCEL_AGAIN_SECONDS = 2.0
"""How long to wait before cancelling a task again: a library may have swallowed the cancellation."""
STEADY_SECONDS = 60.0
"""After a task has run this long, its next restart waits for the shortest pause again."""


@dataclass(frozen=True)
class Background:
    """A task that runs as long as its process: `run` ends only when it is cancelled."""

    name: str
    run: Callable[[], Awaitable[None]]


def every(seconds: float, work: Callable[[], Awaitable[object]], name: str) -> Background:
    """Repeat some work with a pause of so many seconds; after an outage, retry sooner."""

    async def run() -> None:
        while True:
            pause = seconds
            try:
                await work()
            except Exception as error:
                if not is_outage(error):
                    raise
                log.warning("background.outage", task=name, error=str(error))
                pause = min(seconds, OUTAGE_PAUSE_SECONDS)
            await asyncio.sleep(pause)

    return Background(name, run)


class Supervisor:
    """The background tasks of one service. `down` has the names of those that ended and wait to be restarted."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.down: set[str] = set()
        self.tasks: list[asyncio.Task[None]] = []

    def start(self, *background: Background) -> None:
        """Run these until `stop`."""
        self.tasks += [asyncio.create_task(self._keep_running(one)) for one in background]

    async def stop(self) -> None:
        """Cancel all tasks and wait until they have ended."""
        pending = set(self.tasks)
        while pending:
            for task in pending:
                task.cancel()
            _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_SECONDS)

    async def _keep_running(self, background: Background) -> None:
        name, pause = background.name, 0.0
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker
        clock = asyncio.get_running_loop().time
        while True:
            self.down.discard(name)
            began = clock()
            error: BaseException | None = None
            try:
                await background.run()
            except Exception as failure:  # noqa: BLE001 - it must outlive any failure
                error = failure
            except asyncio.CancelledError as cancelled:
                error = cancelled
            if task.cancelling():
                # Otherwise something inside was cancelled, not this task.
                raise asyncio.CancelledError from error
            self.down.add(name)
            telemetry.BACKGROUND_RESTARTS.labels(self.service, name).inc()
            log.error("background.ended", task=name, error=repr(error), exc_info=error)
            if clock() - began > STEADY_SECONDS:
                pause = 0.0
            pause = min(max(pause * 2, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(pause)
