"""Encodes answers: as a whole, and as events of a stream."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any, TypeVar

from starlette.responses import Response

from gateway.trpc.requests import PLAIN, Codec
from gateway.trpc.superjson import UNDEFINED

T = TypeVar("T")

HEADERS = {"vary": "trpc-accept, accept", "cache-control": "no-store"}


async def with_pings(events: AsyncGenerator[T, None], seconds: float) -> AsyncGenerator[T | None, None]:
    """Yield the events, and None after every `seconds` without one."""
    pending: asyncio.Future[T] | None = None
    try:
        while True:
            pending = pending or asyncio.ensure_future(anext(events))
            done, _ = await asyncio.wait({pending}, timeout=seconds)
            if not done:
                yield None
                continue
            event, pending = pending, None
            try:
                yield event.result()
            except StopAsyncIteration:
                return
    finally:
        if pending is not None:
            pending.cancel()
            await asyncio.wait({pending})
        await events.aclose()


def encoded(answer: Mapping[str, Any], codec: Codec) -> dict[str, object]:
    """Return an answer with its content encoded; its envelope stays plain JSON."""
    if "error" in answer:
        return {"error": codec.dump(answer["error"])}
    data = answer["result"]["data"]
    if data is UNDEFINED and codec is PLAIN:
        return {"result": {}}
    return {"result": {"data": codec.dump(data)}}


def sse_event(data: object, kind: str | None = None, id: str | None = None) -> str:  # noqa: A002 - SSE's own word
    """Return a server-sent event."""
    name = f"event: {kind}\n" if kind else ""
    number = f"id: {id}\n" if id is not None else ""
    return f"{name}data: {to_json(data) if data != '' else ''}\n{number}\n"


def to_json(value: object) -> str:
    """Return a value as JSON, in ASCII because a lone surrogate has no UTF-8 encoding."""
    return json.dumps(value, separators=(",", ":"))


def json_response(value: object, status: int, headers: Mapping[str, str]) -> Response:
    """Return a response with a JSON body."""
    return Response(to_json(value), status, HEADERS | dict(headers), media_type="application/json")
