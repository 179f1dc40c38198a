"""Looks things up for many callers at once: a page that hundreds watch costs no more than one."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Generic, TypeVar

Found = TypeVar("Found")


class Looks(Generic[Found]):
    """Looks up by key. Those who ask while a look is under way share the next one.

    Nobody is given what was looked up before they asked: whoever has changed something sees it.
    """

    def __init__(self, find: Callable[[Collection[str]], Awaitable[Mapping[str, Found]]]) -> None:
        self.find = find
        self.asked: dict[str, asyncio.Future[Found | None]] = {}
        self.looking: asyncio.Task[None] | None = None

    async def of(self, key: str) -> Found | None:
        """What there is under this key; everybody who shares the look is handed the same. Raises what `find` does."""
        asked = self.asked.get(key)
        if asked is None:
            asked = self.asked[key] = asyncio.get_running_loop().create_future()
            if self.looking is None:
                self.looking = asyncio.create_task(self._look())
        # One caller may go away; the others still wait.
        return await asyncio.shield(asked)

    async def _look(self) -> None:
        try:
            while self.asked:
                asked, self.asked = self.asked, {}
                try:
                    found = await self.find(asked.keys())
                except Exception as error:  # noqa: BLE001 - it is for those who asked
                    for future in asked.values():
                        future.set_exception(error)
                        future.exception()  # which nobody may be left to hear
                else:
                    for key, future in asked.items():
                        future.set_result(found.get(key))
        finally:
            self.looking = None
