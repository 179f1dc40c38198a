"""Parses a request: the procedures, their inputs, and the encoding of the answer."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json
from starlette.requests import Request

from gateway.trpc import superjson
from gateway.trpc.errors import TRPCError
from gateway.trpc.superjson import UNDEFINED, InvalidSuperjson, is_payload

SUPERJSON_BEGINS = re.compile(rb'\s*\{\s*(?:"\d+"\s*:\s*\{\s*)?"json"\s*:')
LIST_NEEDED = '"input" needs to be an object when doing a batch call'


@dataclass(frozen=True)
class Codec:
    """Encodes and decodes values: as superjson, or as plain JSON."""

    dump: Callable[[object], object]
    load: Callable[[object], object]


SUPERJSON = Codec(superjson.dump, superjson.load)
PLAIN = Codec(superjson.plain, lambda value: value)


@dataclass(frozen=True)
class ParsedRequest:
    """A request, parsed as far as possible. `inputs` are still encoded; `error` says why there are none."""

    names: list[str]
    batch: bool
    lines: bool
    codec: Codec
    inputs: dict[int, object]
    error: TRPCError | None = None

    def input(self, index: int) -> object:
        """Decode the input of one call; undefined if there is none. Raises `TRPCError`."""
        if self.error is not None:
            raise self.error
        if index not in self.inputs:
            return UNDEFINED
        try:
            return self.codec.load(self.inputs[index])
        except InvalidSuperjson as error:
            raise TRPCError("BAD_REQUEST", f"The input cannot be read: {error}") from None


def require_json(request: Request) -> None:
    """Require the content type JSON, which no HTML form of another site can send. Raises `TRPCError`."""
    if request.method == "GET":
        return
    given = request.headers.get("content-type")
    if given is None:
        raise TRPCError("UNSUPPORTED_MEDIA_TYPE", "Missing content-type header")
    if given.partition(";")[0].strip().lower() != "application/json":
        raise TRPCError("UNSUPPORTED_MEDIA_TYPE", f'Unsupported content-type "{given}"')


async def read_body(request: Request, limit: int) -> tuple[bytes, bool]:
    """Return the JSON of a request, and whether it exceeds `limit` bytes; then it is only the beginning."""
    if request.method == "GET":
        return request.query_params.get("input", "").encode("utf-8", "surrogatepass"), False
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > limit:
            return bytes(read[:limit]), True
    return bytes(read), False


def parse(request: Request, path: str, text: bytes, check_json: Callable[[bytes], None]) -> ParsedRequest:
    """Parse a request whose JSON is `text`; `check_json` raises `ValueError` for JSON that is too deep or too long.

    Clients with and without superjson use the same URL. It is superjson if there are inputs and each of them is
    `{json, meta?}`, which clients with superjson send even for no input; so a call without any input is plain.
    """
    batch = request.query_params.get("batch") == "1"
    names = path.split(",") if batch else [path]
    lines = _wants_lines(request)
    codec = codec_of_beginning(text)
    try:
        check_json(text)
    except ValueError as error:
        return ParsedRequest(names, batch, lines, codec, {}, TRPCError("BAD_REQUEST", str(error)))
    try:
        payload: Any = from_json(text, allow_inf_nan=False) if text else UNDEFINED
    except ValueError as error:
        malformed = TRPCError("BAD_REQUEST", f"Malformed JSON: {error}")
        return ParsedRequest(names, batch, lines, codec, {}, malformed)
    if not batch:
        inputs = {} if payload is UNDEFINED else {0: payload}
    elif payload is UNDEFINED:
        inputs = {}
    elif isinstance(payload, dict):
        inputs = {index: payload[str(index)] for index in range(len(names)) if str(index) in payload}
    else:
        return ParsedRequest(names, batch, lines, PLAIN, {}, TRPCError("BAD_REQUEST", LIST_NEEDED))
    is_superjson = bool(inputs) and all(is_payload(one) for one in inputs.values())
    return ParsedRequest(names, batch, lines, SUPERJSON if is_superjson else PLAIN, inputs)


def codec_of_beginning(text: bytes) -> Codec:
    """Guess the codec of a request of which only the beginning was read, or that is not JSON."""
    return SUPERJSON if SUPERJSON_BEGINS.match(text) else PLAIN


def _wants_lines(request: Request) -> bool:
    accepted = request.headers.get("trpc-accept")
    if accepted is None:
        return any(part.strip() == "application/jsonl" for part in request.headers.get("accept", "").split(","))
    return accepted == "application/jsonl"


def last_event_id(request: Request) -> str | None:
    """Return the id of the last event that a subscriber has."""
    query = request.query_params
    return request.headers.get("last-event-id") or query.get("lastEventId") or query.get("Last-Event-Id")
