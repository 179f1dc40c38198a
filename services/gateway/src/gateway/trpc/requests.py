"""What a request asks for: which procedures, with what, and how the answer is to be written."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json
from starlette.requests import Request

from gateway.trpc import superjson
from gateway.trpc.errors import Refused
from gateway.trpc.superjson import UNDEFINED, Unreadable, is_payload
from shared.http.json_bounds import JsonTooDeep, JsonTooLong, check_json

SUPERJSON_BEGINS = re.compile(rb'\s*\{\s*(?:"\d+"\s*:\s*\{\s*)?"json"\s*:')
LIST_NEEDED = '"input" needs to be an object when doing a batch call'


@dataclass(frozen=True)
class Wire:
    """How values are written and read: by superjson, or as they are."""

    write: Callable[[object], object]
    read: Callable[[object], object]


SUPERJSON = Wire(superjson.dump, superjson.load)
PLAIN = Wire(superjson.plain, lambda value: value)


@dataclass(frozen=True)
class Asked:
    """A request, read as far as it can be. `inputs` are JSON still; `fault`: they are none, and why."""

    names: list[str]
    batch: bool
    lines: bool
    wire: Wire
    inputs: dict[int, object]
    fault: Refused | None = None

    def input(self, index: int) -> object:
        """The input of one call; undefined where there is none. Raises `Refused`."""
        if self.fault is not None:
            raise self.fault
        if index not in self.inputs:
            return UNDEFINED
        try:
            return self.wire.read(self.inputs[index])
        except Unreadable as error:
            raise Refused("BAD_REQUEST", f"The input cannot be read: {error}") from None


def content_type(request: Request) -> None:
    """Take JSON alone, which no form of a page elsewhere can send. Raises `Refused`."""
    if request.method == "GET":
        return
    given = request.headers.get("content-type")
    if given is None:
        raise Refused("UNSUPPORTED_MEDIA_TYPE", "Missing content-type header")
    if given.partition(";")[0].strip().lower() != "application/json":
        raise Refused("UNSUPPORTED_MEDIA_TYPE", f'Unsupported content-type "{given}"')


async def text_of(request: Request, limit: int) -> tuple[bytes, bool]:
    """The JSON of a request, and whether it was longer than so many bytes: then it is its beginning."""
    if request.method == "GET":
        return request.query_params.get("input", "").encode("utf-8", "surrogatepass"), False
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > limit:
            return bytes(read[:limit]), True
    return bytes(read), False


def read(request: Request, path: str, text: bytes) -> Asked:
    """Read a request whose JSON is `text`.

    superjson and plain JSON come to the same address. It is superjson where there are inputs and each of them is
    `{json, meta?}`, which clients with superjson send even for no input; so a call without any input is plain.
    """
    batch = request.query_params.get("batch") == "1"
    names = path.split(",") if batch else [path]
    lines = _wants_lines(request)
    try:
        check_json(text)
        payload: Any = from_json(text, allow_inf_nan=False) if text else UNDEFINED
    except (JsonTooDeep, JsonTooLong) as error:
        return Asked(names, batch, lines, wire_of_beginning(text), {}, Refused("BAD_REQUEST", str(error)))
    except ValueError as error:
        fault = Refused("BAD_REQUEST", f"Malformed JSON: {error}")
        return Asked(names, batch, lines, wire_of_beginning(text), {}, fault)
    if not batch:
        inputs = {} if payload is UNDEFINED else {0: payload}
    elif payload is UNDEFINED:
        inputs = {}
    elif isinstance(payload, dict):
        inputs = {index: payload[str(index)] for index in range(len(names)) if str(index) in payload}
    else:
        return Asked(names, batch, lines, PLAIN, {}, Refused("BAD_REQUEST", LIST_NEEDED))
    is_superjson = bool(inputs) and all(is_payload(one) for one in inputs.values())
    return Asked(names, batch, lines, SUPERJSON if is_superjson else PLAIN, inputs)


def wire_of_beginning(text: bytes) -> Wire:
    """How to answer a request of which only the beginning was read, or that is no JSON."""
    return SUPERJSON if SUPERJSON_BEGINS.match(text) else PLAIN


def _wants_lines(request: Request) -> bool:
    accepted = request.headers.get("trpc-accept")
    if accepted is None:
        return any(part.strip() == "application/jsonl" for part in request.headers.get("accept", "").split(","))
    return accepted == "application/jsonl"


def last_event_id(request: Request) -> str | None:
    """The last event that a client of a subscription knows."""
    query = request.query_params
    return request.headers.get("last-event-id") or query.get("lastEventId") or query.get("Last-Event-Id")
