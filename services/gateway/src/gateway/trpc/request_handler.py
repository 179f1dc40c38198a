"""Handles one tRPC request: runs its calls, and writes the answer in the form that the client asked for."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gateway.trpc import requests
from gateway.trpc.errors import CODES, TRPCError, shape
from gateway.trpc.fallback import Fallback, FallbackCalls, line_of, status_of
from gateway.trpc.requests import PLAIN, ParsedRequest
from gateway.trpc.responses import HEADERS, encoded, json_response, sse_event, to_json, with_pings
from gateway.trpc.router import Call, Kind, Procedure, Router
from gateway.trpc.superjson import UNDEFINED

log = structlog.get_logger()

C = TypeVar("C")

METHODS: dict[Kind, tuple[str, ...]] = {
    # A query that is too long for a URL is sent as POST. GET never changes anything.
    "query": ("GET", "POST"),
    "mutation": ("POST",),
    "subscription": ("GET", "POST"),
}
STREAM_HEADERS = {"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}


@dataclass(frozen=True)
class Limits:
    """The most calls in a batch, bytes of a body, and concurrent calls of a batch; seconds for a body, and for a call.

    An idle subscription sends a ping every `ping_seconds`; its client reconnects after `reconnect_seconds` without one.
    """

    batch: int = 20
    body: int = 1024 * 1024
    call_seconds: float = 30.0
    max_concurrency: int = 5
    ping_seconds: float = 10.0
    reconnect_seconds: float = 30.0


@dataclass(frozen=True)
class Config(Generic[C]):
    """The procedures of a server, and what it leaves to the application around it.

    `context` is called once per request with the number of its calls, and may raise. `explain` translates an error for
    the caller, or returns None for an internal one, which is logged. `observe` gets each call: its procedure, the code
    of its error or `OK`, and its seconds. `check_json` raises `ValueError` for JSON that is too deep or too long to
    parse. `fallback` answers calls of procedures that the router does not have, in batches with some that it has.
    """

    router: Router[C]
    context: Callable[[Request, int], Awaitable[C]]
    explain: Callable[[Exception], TRPCError | None] = lambda _error: None
    observe: Callable[[str, str, float], None] = lambda *_: None
    check_json: Callable[[bytes], None] = lambda _: None
    limits: Limits = Limits()
    fallback: Fallback | None = None


@dataclass(frozen=True)
class _Outcome:
    """The result of one call: the answer, and the error if there is one. A fallback's answer `is_encoded` already."""

    answer: dict[str, Any]
    error: TRPCError | None = None
    is_encoded: bool = False

    @property
    def status(self) -> int:
        if self.is_encoded:
            return status_of(self.answer)
        return self.error.status if self.error else 200


class RequestHandler(Generic[C]):
    """One request, while it is answered."""

    def __init__(self, config: Config[C], request: Request, request_id: str) -> None:
        self.config = config
        self.procedures = config.router.procedures
        self.limits = config.limits
        self.request = request
        self.request_id = request_id
        self.codec = PLAIN
        self.slots = asyncio.Semaphore(config.limits.max_concurrency)
        self.context: C | None = None
        self.context_error: Exception | None = None
        self.fallback: FallbackCalls | None = None

    async def run(self) -> Response:
        """Answer the request. Raises what refuses it as a whole."""
        parsed = await self._parse()
        kinds = self._kinds(parsed)
        if len(kinds) > 1:
            raise TRPCError("BAD_REQUEST", f"Cannot mix procedure types in call: {', '.join(kinds)}")
        if parsed.lines and not parsed.batch:
            raise TRPCError("BAD_REQUEST", "Streaming requests must be batched (you can do a batch of 1)")
        unknown = [index for index, name in enumerate(parsed.names) if name not in self.procedures]
        if unknown and self.config.fallback is not None:
            self.fallback = FallbackCalls(self.config.fallback, self.request, parsed, unknown)
        own = len(parsed.names) - (len(unknown) if self.fallback else 0)
        try:
            self.context = await self.config.context(self.request, own)
        except Exception as error:  # noqa: BLE001 - each call is refused for it, in its own form
            self.context_error = error
        if kinds == ["subscription"] and not parsed.batch:
            return self._stream(self._events(parsed), "text/event-stream", STREAM_HEADERS)
        if parsed.batch and parsed.lines:
            return self._stream(self._lines(parsed), "application/json")
        outcomes = await asyncio.gather(*(self._call(parsed, index) for index in range(len(parsed.names))))
        return self._whole(parsed, outcomes)

    async def _parse(self) -> ParsedRequest:
        request, limits = self.request, self.limits
        try:
            async with asyncio.timeout(limits.call_seconds):
                body, too_long = await requests.read_body(request, limits.body)
        except TimeoutError:
            raise TRPCError("TIMEOUT", f"The body did not arrive within {limits.call_seconds:g} s") from None
        self.codec = requests.codec_of_beginning(body)
        requests.require_json(request)
        if too_long:
            raise TRPCError("PAYLOAD_TOO_LARGE", f"The body is longer than {limits.body} bytes")
        parsed = requests.parse(request, request.path_params["path"], body, self.config.check_json)
        self.codec = parsed.codec
        if len(parsed.names) > limits.batch:
            raise TRPCError("BAD_REQUEST", "Batch call exceeds maximum size")
        return parsed

    def _kinds(self, parsed: ParsedRequest) -> list[str]:
        found = (self.procedures.get(name) for name in parsed.names)
        return list(dict.fromkeys(procedure.kind for procedure in found if procedure is not None))

    # --- one call

    async def _call(self, parsed: ParsedRequest, index: int) -> _Outcome:
        name = parsed.names[index]
        if self.fallback is not None and index in self.fallback.indexes:
            return await self._call_fallback(self.fallback, index, name)
        async with self.slots:
            start = time.perf_counter()
            try:
                data, error = await self._result(parsed, index), None
            except Exception as raised:  # noqa: BLE001 - `explain` decides what the caller sees of it
                data, error = None, self.explain(raised, name)
            self._observe(name, error, start)
        if error is not None:
            return _Outcome({"error": shape(error, name, self.request_id)}, error)
        return _Outcome({"result": {"data": data}})

    async def _call_fallback(self, fallback: FallbackCalls, index: int, name: str) -> _Outcome:
        """Call the other server, without a slot: our own calls need not wait for it."""
        start = time.perf_counter()
        try:
            outcome, error = _Outcome(await fallback.answer(index), is_encoded=True), None
        except Exception as raised:  # noqa: BLE001 - as for our own calls
            error = self.explain(raised, name)
            outcome = _Outcome({"error": shape(error, name, self.request_id)}, error)
        self._observe(name, error, start)
        return outcome

    async def _result(self, parsed: ParsedRequest, index: int) -> object:
        procedure, call, value = self._prepare(parsed, index)
        if procedure.kind == "subscription":
            raise TRPCError("BAD_REQUEST", "Cannot batch subscription calls")
        try:
            async with asyncio.timeout(self.limits.call_seconds) as limit:
                return procedure.write(await procedure.call(call, value))
        except TimeoutError:
            if limit.expired():
                raise TRPCError("TIMEOUT", f"No answer within {self.limits.call_seconds:g} s") from None
            raise

    def _prepare(self, parsed: ParsedRequest, index: int) -> tuple[Procedure[C], Call[C], object]:
        name, method = parsed.names[index], self.request.method
        procedure = self.procedures.get(name)
        if procedure is None:
            raise TRPCError("NOT_FOUND", f'No procedure found on path "{name}"')
        if method not in METHODS[procedure.kind]:
            message = f'Unsupported {method}-request to {procedure.kind} procedure at path "{name}"'
            raise TRPCError("METHOD_NOT_SUPPORTED", message, headers={"allow": ", ".join(METHODS[procedure.kind])})
        value = parsed.input(index)
        if self.context_error is not None:
            raise self.context_error
        assert self.context is not None  # noqa: S101 - it is there, or its error
        return procedure, Call(self.context, index, self.request.headers), value

    def explain(self, error: Exception, name: str = "") -> TRPCError:
        """Return what the caller sees of an error; log it unless it is the caller's own."""
        known = self.config.explain(error) or (error if isinstance(error, TRPCError) else None)
        if known is None or CODES[known.code][1] >= 500:
            log.error("trpc.failed", procedure=name, request_id=self.request_id, exc_info=error)
        return known or TRPCError("INTERNAL_SERVER_ERROR", "Internal server error")

    def _observe(self, name: str, error: TRPCError | None, start: float) -> None:
        known = name if name in self.procedures else "unknown"
        self.config.observe(known, error.code if error else "OK", time.perf_counter() - start)

    # --- answers

    def refuse(self, error: TRPCError) -> Response:
        """Refuse the whole request: clients take this one error for each of their calls."""
        answer = {"error": self.codec.dump(shape(error, None, self.request_id))}
        return json_response(answer, error.status, error.headers)

    def _whole(self, parsed: ParsedRequest, outcomes: list[_Outcome]) -> Response:
        answers = [one.answer if one.is_encoded else encoded(one.answer, self.codec) for one in outcomes]
        statuses = {outcome.status for outcome in outcomes}
        headers = {key: text for one in outcomes if one.error for key, text in one.error.headers.items()}
        status = statuses.pop() if len(statuses) == 1 else 207
        response = json_response(answers if parsed.batch else answers[0], status, headers)
        if self.fallback is not None and self.fallback.answers is not None:
            response.raw_headers.extend(self.fallback.answers.headers)
        return response

    def _stream(self, chunks: AsyncIterator[str], media_type: str, more: Mapping[str, str] | None = None) -> Response:
        return StreamingResponse(chunks, 200, HEADERS | dict(more or {}), media_type=media_type)

    async def _lines(self, parsed: ParsedRequest) -> AsyncIterator[str]:
        """Yield each answer as a line, as soon as it is there; the first line maps promises to calls."""
        count = range(len(parsed.names))
        yield to_json(self.codec.dump({str(index): [[0], [None, 0, index]] for index in count})) + "\n"

        async def numbered(index: int) -> tuple[int, _Outcome]:
            return index, await self._call(parsed, index)

        tasks = [asyncio.create_task(numbered(index)) for index in count]
        try:
            for done in asyncio.as_completed(tasks):
                index, outcome = await done
                yield to_json(self._line(index, outcome)) + "\n"
        finally:
            for task in tasks:
                task.cancel()

    def _line(self, index: int, outcome: _Outcome) -> object:
        if outcome.is_encoded:
            return line_of(index, outcome.answer, self.codec)
        return self.codec.dump([index, 0, [[outcome.answer]]])

    async def _events(self, parsed: ParsedRequest) -> AsyncIterator[str]:
        name, start = parsed.names[0], time.perf_counter()
        yield sse_event({"reconnectAfterInactivityMs": round(self.limits.reconnect_seconds * 1000)}, "connected")
        error: TRPCError | None = None
        try:
            procedure, call, value = self._prepare(parsed, 0)
            found = procedure.call(call, self._with_last_event_id(value))
            async with contextlib.aclosing(with_pings(found, self.limits.ping_seconds)) as events:
                async for event in events:
                    if event is None:
                        yield sse_event("", "ping")
                    else:
                        yield sse_event(self.codec.dump(procedure.write(event.data)), id=event.id)
        except Exception as raised:  # noqa: BLE001 - as for a call
            error = self.explain(raised, name)
        finally:
            self._observe(name, error, start)
        if error is not None:
            yield sse_event(self.codec.dump(shape(error, name, self.request_id)), "serialized-error")
        else:
            yield sse_event("", "return")

    def _with_last_event_id(self, value: object) -> object:
        """Add the id of the last event that the client has to the input of its subscription."""
        last = requests.last_event_id(self.request)
        if last is None or not (value is UNDEFINED or isinstance(value, dict)):
            return value
        return {**(value if isinstance(value, dict) else {}), "lastEventId": last}
