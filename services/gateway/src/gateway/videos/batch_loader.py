"""Batches concurrent look-ups of the same kind (the DataLoader pattern), so that a crowd of callers costs one query."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Generic, TypeVar

Found = TypeVar("Found")


class BatchLoader(Generic[Found]):
    """Looks up by key. Callers that arrive while a query runs share the next one.

    No caller gets a result that was read before it asked, so one that has just changed a row sees its change.
    """

    def __init__(self, find: Callable[[Collection[str]], Awaitable[Mapping[str, Found]]]) -> None:
        self.find = find
        self.requested: dict[str, asyncio.Future[Found | None]] = {}
        self.running: asyncio.Task[None] | None = None

    async def load(self, key: str) -> Found | None:
        """Return what is stored under this key; callers of one batch share the object. Raises what `find` raises."""
        future = self.requested.get(key)
        if future is None:
            future = self.requested[key] = asyncio.get_running_loop().create_future()
            if self.running is None:
                self.running = asyncio.create_task(self._run())
        # One caller may be cancelled while others still wait.
        return await asyncio.shield(future)

    async def _run(self) -> None:
        try:
            while self.requested:
                requested, self.requested = self.requested, {}
                try:
                    found = await self.find(requested.keys())
                except Exception as error:  # noqa: BLE001 - passed on to the callers
                    for future in requested.values():
                        future.set_exception(error)
                        future.exception()  # marks it as retrieved, in case every caller is gone
                else:
                    for key, future in requested.items():
                        future.set_result(found.get(key))
        finally:
            self.running = None
