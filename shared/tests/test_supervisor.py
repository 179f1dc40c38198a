"""A background task that ends is restarted, counted, and reported as down meanwhile."""

import asyncio
import contextlib
from typing import Any

import pytest
from prometheus_client import REGISTRY

from shared.process.supervisor import Background, Supervisor, every
from shared_testing.servers import eventually


async def raises() -> None:
    raise ZeroDivisionError


async def returns() -> None:
    return


async def is_cancelled_inside() -> None:
    inner = asyncio.create_task(asyncio.sleep(60))
    inner.cancel()
    await inner


class Ending:
    """A task that first ends in the given way, and then keeps running."""

    def __init__(self, end: Any) -> None:
        self.end = end
        self.runs = 0

    async def run(self) -> None:
        self.runs += 1
        if self.runs == 1:
            await self.end()
        else:
            await asyncio.Event().wait()


def restarts(task: str) -> float:
    labels = {"service": "tested", "task": task}
    return REGISTRY.get_sample_value("multishot_background_restarts_total", labels) or 0.0


@pytest.mark.parametrize("end", [raises, returns, is_cancelled_inside])
async def test_a_task_that_ends_is_down_counted_and_restarted(end: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.process.supervisor.FIRST_PAUSE_SECONDS", 0.2)
    name, task = end.__name__, Ending(end)
    before = restarts(name)
    supervisor = Supervisor("tested")
    supervisor.start(Background(name, task.run))
    await eventually(lambda: supervisor.down == {name}, 5)
    await eventually(lambda: task.runs == 2 and not supervisor.down, 5)
    assert restarts(name) == before + 1
    await supervisor.stop()
    assert restarts(name) == before + 1
    assert all(one.done() for one in supervisor.tasks)


async def test_an_outage_does_not_end_repeated_work() -> None:
    outcomes: list[Exception | None] = [ConnectionError("away"), None, ConnectionError("away")]

    async def work() -> None:
        if outcomes and (error := outcomes.pop()) is not None:
            raise error

    before = restarts("work")
    supervisor = Supervisor("tested")
    supervisor.start(every(0.01, work, "work"))
    await eventually(lambda: not outcomes, 5)
    assert (supervisor.down, restarts("work")) == (set(), before)
    await supervisor.stop()


async def waits_on() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("answer", [raises, returns, waits_on])
async def test_a_task_that_swallows_its_cancellation_is_still_stopped(
    answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.process.supervisor.CANCEL_AGAIN_SECONDS", 0.1)
    started = asyncio.Event()

    async def run() -> None:
        started.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await answer()

    before = restarts("deaf")
    supervisor = Supervisor("tested")
    supervisor.start(Background("deaf", run))
    await started.wait()
    async with asyncio.timeout(10):
        await supervisor.stop()
    assert [task.cancelled() for task in supervisor.tasks] == [True]
    assert restarts("deaf") == before
