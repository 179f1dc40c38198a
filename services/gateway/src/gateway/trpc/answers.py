"""Answers as they are written: whole, and as events of a stream."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from starlette.responses import Response

from gateway.trpc.requests import PLAIN, Wire
from gateway.trpc.router import Tracked
from gateway.trpc.superjson import UNDEFINED

HEADERS = {"vary": "trpc-accept, accept", "cache-control": "no-store"}


async def with_silence(events: AsyncGenerator[Tracked[Any]], seconds: float) -> AsyncGenerator[Tracked[Any] | None]:
    """The events, and None whenever there was none for so long."""
    coming: asyncio.Future[Tracked[Any]] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(events))
            done, _ = await asyncio.wait({coming}, timeout=seconds)
            if not done:
                yield None
                continue
            event, coming = coming, None
            try:
                yield event.result()
            except StopAsyncIteration:
                return
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.wait({coming})
        await events.aclose()


def written(answer: Mapping[str, Any], wire: Wire) -> dict[str, object]:
    """An answer whose envelope stays as it is; what is inside is written."""
    if "error" in answer:
        return {"error": wire.write(answer["error"])}
    data = answer["result"]["data"]
    if data is UNDEFINED and wire is PLAIN:
        return {"result": {}}
    return {"result": {"data": wire.write(data)}}


def server_sent(data: object, kind: str | None = None, id: str | None = None) -> str:  # noqa: A002 - SSE's own word
    """An event of a stream (server-sent events)."""
    name = f"event: {kind}\n" if kind else ""
    number = f"id: {id}\n" if id is not None else ""
    return f"{name}data: {text(data) if data != '' else ''}\n{number}\n"


def text(value: object) -> str:
    """A value as JSON."""
    # ASCII: half a surrogate pair has no UTF-8.
    return json.dumps(value, separators=(",", ":"))


def whole(value: object, status: int, headers: Mapping[str, str]) -> Response:
    """An answer that is there as a whole."""
    return Response(text(value), status, HEADERS | dict(headers), media_type="application/json")
