"""Answers calls of procedures that the router does not have, by another tRPC server, within the same batch."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from gateway.trpc.errors import TRPCError
from gateway.trpc.requests import SUPERJSON, Codec, ParsedRequest
from gateway.trpc.superjson import is_payload


@dataclass(frozen=True)
class FallbackAnswers:
    """The other server's answers, call by call as it encoded them, and the headers to pass on."""

    items: list[dict[str, Any]]
    headers: list[tuple[bytes, bytes]]


Fallback = Callable[[Request, list[str], Mapping[int, object]], Awaitable[FallbackAnswers]]
"""Calls the other server with the original request, the names of the procedures, and their encoded inputs.

Raises `TRPCError`, or an error that the server's `explain` translates.
"""


class FallbackCalls:
    """The calls of one request that another server answers. They are sent together, when the first one is needed."""

    def __init__(self, fallback: Fallback, request: Request, parsed: ParsedRequest, indexes: list[int]) -> None:
        self.fallback = fallback
        self.request = request
        self.parsed = parsed
        self.indexes = indexes
        self.answers: FallbackAnswers | None = None
        self.error: Exception | None = None
        self.lock = asyncio.Lock()

    async def answer(self, index: int) -> dict[str, Any]:
        """Return the answer to a call of the batch, as the other server encoded it. Raises what `Fallback` raises."""
        if self.parsed.error is not None:
            raise self.parsed.error
        async with self.lock:
            if self.answers is None and self.error is None:
                await self._send()
        if self.error is not None:
            raise self.error
        assert self.answers is not None  # noqa: S101 - it is there, or the error
        return self.answers.items[self.indexes.index(index)]

    async def _send(self) -> None:
        names = [self.parsed.names[index] for index in self.indexes]
        given = self.parsed.inputs
        inputs = {place: given[index] for place, index in enumerate(self.indexes) if index in given}
        try:
            answers = await self.fallback(self.request, names, inputs)
        except Exception as error:  # noqa: BLE001 - raised for each of the calls
            self.error = error
            return
        if len(answers.items) == len(names):
            self.answers = answers
        else:
            self.error = TRPCError("BAD_GATEWAY", "The application sent a different number of answers than calls.")


def status_of(item: Mapping[str, Any]) -> int:
    """Return the HTTP status that an encoded answer stands for."""
    error = item.get("error")
    if error is None:
        return 200
    shape = error.get("json", error) if isinstance(error, dict) else {}
    data = shape.get("data") if isinstance(shape, dict) else None
    status = data.get("httpStatus") if isinstance(data, dict) else None
    return status if isinstance(status, int) and 100 <= status <= 599 else 500


def line_of(index: int, item: dict[str, Any], codec: Codec) -> object:
    """Return an encoded answer as a line of a stream, where superjson wraps the line instead of the answer."""
    if codec is not SUPERJSON:
        return [index, 0, [[item]]]
    place, payload = ("error", item.get("error")) if "error" in item else ("result.data", _data(item))
    if not isinstance(payload, dict) or not is_payload(payload):
        return {"json": [index, 0, [[item]]]}
    bare = {"error": payload["json"]} if place == "error" else {"result": {"data": payload["json"]}}
    line: dict[str, object] = {"json": [index, 0, [[bare]]]}
    meta = payload.get("meta")
    if isinstance(meta, dict) and meta.get("values"):
        # `referentialEqualities` are dropped: each of those values is in the JSON as well.
        line["meta"] = {"values": _moved(meta["values"], f"2.0.0.{place}"), "v": meta.get("v", 0)}
    return line


def _data(item: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON
    result = item.get("result")
    return result.get("data") if isinstance(result, dict) else None


def _moved(annotations: Any, place: str) -> dict[str, Any]:  # noqa: ANN401 - superjson's own tree
    """Move superjson's annotations of a value below a place in the value that contains it."""
    if isinstance(annotations, dict):
        return {f"{place}.{path}": annotation for path, annotation in annotations.items()}
    return {place: annotations}
