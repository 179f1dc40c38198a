"""Concurrent look-ups share a query, and no caller gets a result that was read before it asked."""

import asyncio
from collections.abc import Collection

import pytest

from gateway.videos.batch_loader import BatchLoader


class Store:
    """Values by key, and the queries that were made. A query takes until `go` is set."""

    def __init__(self, **values: str) -> None:
        self.values = values
        self.queries: list[list[str]] = []
        self.go = asyncio.Event()
        self.fault: Exception | None = None

    async def find(self, keys: Collection[str]) -> dict[str, str]:
        self.queries.append(sorted(keys))
        found = {key: self.values[key] for key in keys if key in self.values}
        await self.go.wait()
        if self.fault is not None:
            raise self.fault
        return found


async def loading(loader: BatchLoader[str], *keys: str) -> list[asyncio.Task[str | None]]:
    tasks = [asyncio.create_task(loader.load(key)) for key in keys]
    await asyncio.sleep(0.01)
    return tasks


async def test_concurrent_calls_share_one_query_with_each_key_once() -> None:
    store = Store(a="fox", b="kite")
    store.go.set()
    tasks = await loading(BatchLoader(store.find), "a", "b", "a", "c")
    assert await asyncio.gather(*tasks) == ["fox", "kite", "fox", None]
    assert store.queries == [["a", "b", "c"]]


async def test_a_call_during_a_query_sees_what_changed_before_the_call() -> None:
    store = Store(a="fox")
    loader = BatchLoader(store.find)
    [early] = await loading(loader, "a")
    store.values["a"] = "hen"
    late = await loading(loader, "a", "a")
    store.go.set()
    assert await asyncio.gather(early, *late) == ["fox", "hen", "hen"]
    assert store.queries == [["a"], ["a"]]


async def test_a_cancelled_caller_does_not_disturb_the_others() -> None:
    store = Store(a="fox")
    cancelled, stays = await loading(BatchLoader(store.find), "a", "a")
    cancelled.cancel()
    store.go.set()
    assert await stays == "fox"
    assert cancelled.cancelled()


async def test_an_error_reaches_every_caller_of_the_batch_and_not_the_next_batch() -> None:
    store = Store(a="fox")
    loader = BatchLoader(store.find)
    tasks = await loading(loader, "a", "a")
    store.fault = ConnectionError("away")
    store.go.set()
    for task in tasks:
        with pytest.raises(ConnectionError, match="away"):
            await task
    store.fault = None
    assert await loader.load("a") == "fox"
