"""Calls of procedures that another server has, in one batch with calls of ours."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from gateway.trpc.errors import Refused
from gateway.trpc.requests import SUPERJSON, Asked, Wire
from gateway.trpc.superjson import is_payload


@dataclass(frozen=True)
class Answers:
    """What another server answered, call by call, as it wrote it; and its cookies."""

    items: list[dict[str, Any]]
    headers: list[tuple[bytes, bytes]]


Ask = Callable[[Request, list[str], Mapping[int, object]], Awaitable[Answers]]
"""Ask another server: the request that the calls came with, their names, and their inputs as they were sent.

Raises `Refused`, or what the server's `explain` explains.
"""


class Others:
    """The calls of one request that another server answers. They go there together, when the first is asked for."""

    def __init__(self, ask: Ask, request: Request, asked: Asked, indexes: list[int]) -> None:
        self.ask = ask
        self.request = request
        self.asked = asked
        self.indexes = indexes
        self.answers: Answers | None = None
        self.error: Exception | None = None
        self.turn = asyncio.Lock()

    async def answer(self, index: int) -> dict[str, Any]:
        """The answer to a call of the batch, as the other server wrote it. Raises what `Ask` raises."""
        if self.asked.fault is not None:
            raise self.asked.fault
        async with self.turn:
            if self.answers is None and self.error is None:
                await self._ask()
        if self.error is not None:
            raise self.error
        assert self.answers is not None  # noqa: S101 - it is there, or the error
        return self.answers.items[self.indexes.index(index)]

    async def _ask(self) -> None:
        names = [self.asked.names[index] for index in self.indexes]
        given = self.asked.inputs
        inputs = {place: given[index] for place, index in enumerate(self.indexes) if index in given}
        try:
            answers = await self.ask(self.request, names, inputs)
        except Exception as error:  # noqa: BLE001 - each call is told of it
            self.error = error
            return
        if len(answers.items) == len(names):
            self.answers = answers
        else:
            self.error = Refused("BAD_GATEWAY", "The application answered another number of calls than it was asked.")


def status_of(item: Mapping[str, Any]) -> int:
    """The HTTP status that an answer stands for."""
    error = item.get("error")
    if error is None:
        return 200
    shape = error.get("json", error) if isinstance(error, dict) else {}
    data = shape.get("data") if isinstance(shape, dict) else None
    status = data.get("httpStatus") if isinstance(data, dict) else None
    return status if isinstance(status, int) and 100 <= status <= 599 else 500


def line_of(index: int, item: dict[str, Any], wire: Wire) -> object:
    """An answer as a line of a stream, in which superjson is about the line, not about what is inside."""
    if wire is not SUPERJSON:
        return [index, 0, [[item]]]
    place, payload = ("error", item.get("error")) if "error" in item else ("result.data", _data(item))
    if not isinstance(payload, dict) or not is_payload(payload):
        return {"json": [index, 0, [[item]]]}
    bare = {"error": payload["json"]} if place == "error" else {"result": {"data": payload["json"]}}
    line: dict[str, object] = {"json": [index, 0, [[bare]]]}
    meta = payload.get("meta")
    if isinstance(meta, dict) and meta.get("values"):
        # Without what refers to what: each of those values is there as well.
        line["meta"] = {"values": _moved(meta["values"], f"2.0.0.{place}"), "v": meta.get("v", 0)}
    return line


def _data(item: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON
    result = item.get("result")
    return result.get("data") if isinstance(result, dict) else None


def _moved(notes: Any, place: str) -> dict[str, Any]:  # noqa: ANN401 - superjson's own tree
    """Notes on a value, as notes on what it is a part of."""
    if isinstance(notes, dict):
        return {f"{place}.{path}": note for path, note in notes.items()}
    return {place: notes}
