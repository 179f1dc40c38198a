"""Looks that are shared: what many ask at once is looked up once, and nobody is told what was before they asked."""

import asyncio
from collections.abc import Collection

import pytest

from gateway.live.batch_loader import Looks


class Shelf:
    """Things under keys, and what was looked up of them; a look takes until it is let go."""

    def __init__(self, **things: str) -> None:
        self.things = things
        self.looks: list[list[str]] = []
        self.go = asyncio.Event()
        self.fault: Exception | None = None

    async def find(self, keys: Collection[str]) -> dict[str, str]:
        self.looks.append(sorted(keys))
        found = {key: self.things[key] for key in keys if key in self.things}
        await self.go.wait()
        if self.fault is not None:
            raise self.fault
        return found


async def asking(looks: Looks[str], *keys: str) -> list[asyncio.Task[str | None]]:
    tasks = [asyncio.create_task(looks.of(key)) for key in keys]
    await asyncio.sleep(0.01)
    return tasks


async def test_what_is_asked_at_once_is_looked_up_together_and_each_key_once() -> None:
    shelf = Shelf(a="fox", b="kite")
    shelf.go.set()
    assert await asyncio.gather(*await asking(Looks(shelf.find), "a", "b", "a", "c")) == ["fox", "kite", "fox", None]
    assert shelf.looks == [["a", "b", "c"]]


async def test_who_asks_while_a_look_is_under_way_is_told_what_was_changed_before() -> None:
    shelf = Shelf(a="fox")
    looks = Looks(shelf.find)
    [early] = await asking(looks, "a")
    shelf.things["a"] = "hen"
    late = await asking(looks, "a", "a")
    shelf.go.set()
    assert await asyncio.gather(early, *late) == ["fox", "hen", "hen"]
    assert shelf.looks == [["a"], ["a"]]


async def test_one_who_goes_away_takes_nothing_from_the_others() -> None:
    shelf = Shelf(a="fox")
    gone, stays = await asking(Looks(shelf.find), "a", "a")
    gone.cancel()
    shelf.go.set()
    assert await stays == "fox"
    assert gone.cancelled()


async def test_a_fault_is_for_those_who_asked_and_the_next_look_is_a_new_one() -> None:
    shelf = Shelf(a="fox")
    looks = Looks(shelf.find)
    asked = await asking(looks, "a", "a")
    shelf.fault = ConnectionError("away")
    shelf.go.set()
    for task in asked:
        with pytest.raises(ConnectionError, match="away"):
            await task
    shelf.fault = None
    assert await looks.of("a") == "fox"
