"""A tRPC server on one address: single calls, batches, answers line by line, and subscriptions.

Source: the package @trpc/server 11.25, `http/resolveResponse.ts`. What is told about errors is what was meant for the
caller; of all others the log has the text.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl

import structlog
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from gateway.trpc import requests
from gateway.trpc.answers import HEADERS, server_sent, text, whole, with_silence, written
from gateway.trpc.errors import CODES, Refused, shape
from gateway.trpc.others import Ask, Others, line_of, status_of
from gateway.trpc.requests import PLAIN, Asked
from gateway.trpc.router import Call, Kind, Procedure, Router
from gateway.trpc.superjson import UNDEFINED

log = structlog.get_logger()

C = TypeVar("C")

METHODS: dict[Kind, tuple[str, ...]] = {
    # A query that is too long for an address is sent as POST; nothing is changed by GET, ever.
    "query": ("GET", "POST"),
    "mutation": ("POST",),
    "subscription": ("GET", "POST"),
}
STREAM_HEADERS = {"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}


@dataclass(frozen=True)
class Limits:
    """How much is taken: calls in a batch, bytes of a body, calls of a batch at once; seconds for a body, and a call.

    A subscription that is silent says so every `ping_seconds`; a client that hears nothing for `silent_seconds` comes
    again.
    """

    batch: int = 20
    body: int = 1024 * 1024
    call_seconds: float = 30.0
    at_once: int = 5
    ping_seconds: float = 10.0
    silent_seconds: float = 30.0


@dataclass(frozen=True)
class _Outcome:
    """What became of one call: what is written, and the error where there is one.

    The answer of another server `is_written` already.
    """

    answer: dict[str, Any]
    error: Refused | None = None
    is_written: bool = False

    @property
    def status(self) -> int:
        if self.is_written:
            return status_of(self.answer)
        return self.error.status if self.error else 200


class Server(Generic[C]):
    """Answers the calls of a router.

    `context` is asked once for each request, with the number of its calls, and may raise. `explain` says what an error
    means to the caller, or None where that is nobody's business. `observe` is told of each call: its procedure, the
    code of its error or `OK`, the seconds it took. `others` answers calls of procedures that the router has not, where
    they come together with some that it has.
    """

    def __init__(
        self,
        router: Router[C],
        context: Callable[[Request, int], Awaitable[C]],
        explain: Callable[[Exception], Refused | None] = lambda _error: None,
        observe: Callable[[str, str, float], None] = lambda *_: None,
        limits: Limits = Limits(),
        others: Ask | None = None,
    ) -> None:
        self.router = router
        self.others = others
        self.context = context
        self.explain = explain
        self.observe = observe
        self.limits = limits

    def has_any(self, path: str, query: str) -> bool:
        """Whether a request calls any procedure of ours. `path` is what comes after the route's own."""
        batch = dict(parse_qsl(query)).get("batch") == "1"
        names = path.split(",") if batch else [path]
        return any(name in self.router.procedures for name in names)

    def route(self, path: str) -> Route:
        """The route under which it answers: this path, and a name after it."""
        methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
        return Route(path.rstrip("/") + "/{path:path}", self.answer, methods=methods, include_in_schema=False)

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        if request.method == "HEAD":
            return Response(status_code=204, headers=HEADERS)
        state = request.scope.get("state") or {}
        idempotent_transaction = _Handling(self, request, str(state.get("request_id") or secrets.token_hex(12)))
        # An error that left from here would have lost the headers that let a page elsewhere read it.
        try:
            return await idempotent_transaction.run()
        except Exception as error:  # noqa: BLE001 - see above
            return idempotent_transaction.refuse(idempotent_transaction.meaning(error))


class _Handling(Generic[C]):
    """One request, while it is answered."""

    def __init__(self, server: Server[C], request: Request, request_id: str) -> None:
        self.server = server
        self.request = request
        self.request_id = request_id
        self.limits = server.limits
        self.wire = PLAIN
        self.at_once = asyncio.Semaphore(server.limits.at_once)
        self.context: C | None = None
        self.context_error: Exception | None = None
        self.others: Others | None = None

    async def run(self) -> Response:
        request, limits = self.request, self.limits
        try:
            async with asyncio.timeout(limits.call_seconds):
                text, too_long = await requests.text_of(request, limits.body)
        except TimeoutError:
            raise Refused("TIMEOUT", f"The body did not come within {limits.call_seconds:g} s") from None
        self.wire = requests.wire_of_beginning(text)
        requests.content_type(request)
        if too_long:
            raise Refused("PAYLOAD_TOO_LARGE", f"The body is longer than {limits.body} bytes")
        asked = requests.read(request, request.path_params["path"], text)
        self.wire = asked.wire
        if len(asked.names) > limits.batch:
            raise Refused("BAD_REQUEST", "Batch call exceeds maximum size")
        kinds = self._kinds(asked)
        if len(kinds) > 1:
            raise Refused("BAD_REQUEST", f"Cannot mix procedure types in call: {', '.join(kinds)}")
        if asked.lines and not asked.batch:
            raise Refused("BAD_REQUEST", "Streaming requests must be batched (you can do a batch of 1)")
        foreign = [index for index, name in enumerate(asked.names) if name not in self.server.router.procedures]
        if foreign and self.server.others is not None:
            self.others = Others(self.server.others, request, asked, foreign)
        own = len(asked.names) - (len(foreign) if self.others else 0)
        try:
            self.context = await self.server.context(request, own)
        except Exception as error:  # noqa: BLE001 - each call is refused for it, in its own form
            self.context_error = error
        if kinds == ["subscription"] and not asked.batch:
            return self._stream(self._events(asked), "text/event-stream", STREAM_HEADERS)
        if asked.batch and asked.lines:
            return self._stream(self._lines(asked), "application/json")
        outcomes = await asyncio.gather(*(self._call(asked, index) for index in range(len(asked.names))))
        return self._whole(asked, outcomes)

    def _kinds(self, asked: Asked) -> list[str]:
        found = (self.server.router.procedures.get(name) for name in asked.names)
        return list(dict.fromkeys(procedure.kind for procedure in found if procedure is not None))

    # --- one call

    async def _call(self, asked: Asked, index: int) -> _Outcome:
        name = asked.names[index]
        if self.others is not None and index in self.others.indexes:
            return await self._call_other(self.others, index, name)
        async with self.at_once:
            begun = time.perf_counter()
            try:
                data, error = await self._result(asked, index), None
            except Exception as raised:  # noqa: BLE001 - whatever it is, the caller hears no more than is meant for them
                data, error = None, self.meaning(raised, name)
            self._observe(name, error, begun)
        if error is not None:
            return _Outcome({"error": shape(error, name, self.request_id)}, error)
        return _Outcome({"result": {"data": data}})

    async def _call_other(self, others: Others, index: int, name: str) -> _Outcome:
        """A call that another server answers, in its own time: those of ours need not wait for it."""
        begun = time.perf_counter()
        try:
            outcome, error = _Outcome(await others.answer(index), is_written=True), None
        except Exception as raised:  # noqa: BLE001 - as for a call
            error = self.meaning(raised, name)
            outcome = _Outcome({"error": shape(error, name, self.request_id)}, error)
        self._observe(name, error, begun)
        return outcome

    async def _result(self, asked: Asked, index: int) -> object:
        procedure, call, value = self._prepare(asked, index)
        if procedure.kind == "subscription":
            raise Refused("BAD_REQUEST", "Cannot batch subscription calls")
        try:
            async with asyncio.timeout(self.limits.call_seconds) as limit:
                return procedure.write(await procedure.call(call, value))
        except TimeoutError:
            if limit.expired():
                raise Refused("TIMEOUT", f"No answer within {self.limits.call_seconds:g} s") from None
            raise

    def _prepare(self, asked: Asked, index: int) -> tuple[Procedure[C], Call[C], object]:
        name, method = asked.names[index], self.request.method
        procedure = self.server.router.procedures.get(name)
        if procedure is None:
            raise Refused("NOT_FOUND", f'No procedure found on path "{name}"')
        if method not in METHODS[procedure.kind]:
            message = f'Unsupported {method}-request to {procedure.kind} procedure at path "{name}"'
            raise Refused("METHOD_NOT_SUPPORTED", message, headers={"allow": ", ".join(METHODS[procedure.kind])})
        value = asked.input(index)
        if self.context_error is not None:
            raise self.context_error
        assert self.context is not None  # noqa: S101 - it is there, or its error
        return procedure, Call(self.context, index, self.request.headers), value

    def meaning(self, error: Exception, name: str = "") -> Refused:
        """What is told of an error; what is not is logged."""
        said = self.server.explain(error) or (error if isinstance(error, Refused) else None)
        if said is None or CODES[said.code][1] >= 500:
            log.error("trpc.failed", procedure=name, request_id=self.request_id, exc_info=error)
        return said or Refused("INTERNAL_SERVER_ERROR", "Internal server error")

    def _observe(self, name: str, error: Refused | None, begun: float) -> None:
        known = name if name in self.server.router.procedures else "unknown"
        self.server.observe(known, error.code if error else "OK", time.perf_counter() - begun)

    # --- answers

    def refuse(self, error: Refused) -> Response:
        """Refuse the whole request: one error, which clients take for each of their calls."""
        answer = {"error": self.wire.write(shape(error, None, self.request_id))}
        return whole(answer, error.status, error.headers)

    def _whole(self, asked: Asked, outcomes: list[_Outcome]) -> Response:
        answers = [one.answer if one.is_written else written(one.answer, self.wire) for one in outcomes]
        statuses = {outcome.status for outcome in outcomes}
        headers = {key: text for one in outcomes if one.error for key, text in one.error.headers.items()}
        status = statuses.pop() if len(statuses) == 1 else 207
        response = whole(answers if asked.batch else answers[0], status, headers)
        if self.others is not None and self.others.answers is not None:
            response.raw_headers.extend(self.others.answers.headers)
        return response

    def _stream(self, chunks: AsyncIterator[str], media_type: str, more: Mapping[str, str] | None = None) -> Response:
        return StreamingResponse(chunks, 200, HEADERS | dict(more or {}), media_type=media_type)

    async def _lines(self, asked: Asked) -> AsyncIterator[str]:
        """Each answer in a line of its own, as soon as it is there. The first line says which promise is whose."""
        count = range(len(asked.names))
        yield text(self.wire.write({str(index): [[0], [None, 0, index]] for index in count})) + "\n"

        async def numbered(index: int) -> tuple[int, _Outcome]:
            return index, await self._call(asked, index)

        tasks = [asyncio.create_task(numbered(index)) for index in count]
        try:
            for done in asyncio.as_completed(tasks):
                index, outcome = await done
                yield text(self._line(index, outcome)) + "\n"
        finally:
            for task in tasks:
                task.cancel()

    def _line(self, index: int, outcome: _Outcome) -> object:
        if outcome.is_written:
            return line_of(index, outcome.answer, self.wire)
        return self.wire.write([index, 0, [[outcome.answer]]])

    async def _events(self, asked: Asked) -> AsyncIterator[str]:
        name, begun = asked.names[0], time.perf_counter()
        yield server_sent({"reconnectAfterInactivityMs": round(self.limits.silent_seconds * 1000)}, "connected")
        error: Refused | None = None
        try:
            procedure, call, value = self._prepare(asked, 0)
            found = procedure.call(call, self._since(value))
            async with contextlib.aclosing(with_silence(found, self.limits.ping_seconds)) as events:
                async for event in events:
                    if event is None:
                        yield server_sent("", "ping")
                    else:
                        yield server_sent(self.wire.write(procedure.write(event.data)), id=event.id)
        except Exception as raised:  # noqa: BLE001 - as for a call
            error = self.meaning(raised, name)
        finally:
            self._observe(name, error, begun)
        if error is not None:
            yield server_sent(self.wire.write(shape(error, name, self.request_id)), "serialized-error")
        else:
            yield server_sent("", "return")

    def _since(self, value: object) -> object:
        """The input of a subscription, with the last event that the client knows."""
        last = requests.last_event_id(self.request)
        if last is None or not (value is UNDEFINED or isinstance(value, dict)):
            return value
        return {**(value if isinstance(value, dict) else {}), "lastEventId": last}
