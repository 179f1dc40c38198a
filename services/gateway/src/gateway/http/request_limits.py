"""Limits the size, depth and duration of every call, whichever API it is for."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.http.errors import RETRY_AFTER_SECONDS, ApiError, Problem
from gateway.http.json_body import is_json
from shared.http.json_bounds import JsonTooDeep, JsonTooLong, check_json

MAX_BYTES = 1_048_576


class _BodyRefused(ApiError, HTTPException):
    """FastAPI replaces errors that are raised while it reads a body, unless they are an `HTTPException`."""

    def __init__(self, detail: str) -> None:
        HTTPException.__init__(self, self.http_status, detail)

    def __str__(self) -> str:
        return self.detail


class BodyTooLarge(_BodyRefused):
    """A body has more bytes than allowed."""

    http_status, problem_type, title = 413, "too-large", "Too large"

    def __init__(self, limit: int = MAX_BYTES) -> None:
        super().__init__(f"A body has at most {limit:,} bytes.")


class BodyTooDeep(_BodyRefused):
    """The JSON of a body is nested deeper than allowed."""

    http_status, problem_type, title = 400, "too-deep", "Too deep"


class BodyTooLong(_BodyRefused):
    """The JSON of a body has more values than allowed."""

    http_status, problem_type, title = 400, "too-long", "Too many values"


class TookTooLong(ApiError):
    """No answer began within the time limit of the call."""

    http_status, problem_type, title = 503, "took-too-long", "Took too long"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"There was no answer within {seconds:g} s. It may have been done; check before you retry.")
        self.seconds = seconds

    def problem(self) -> Problem:
        """Return the problem, with the time to wait."""
        return replace(super().problem(), headers={"Retry-After": RETRY_AFTER_SECONDS})


class RequestLimitMiddleware:
    """Limits the calls of an app. A body beyond its limit raises where it is read, so that each API answers in its way.

    An answer must begin within `seconds`, and may then take its time, as streams and films do. A call that asks to
    wait (`Prefer`, read by `wait_of`) has as much longer, and so have calls to paths that begin with a key of
    `extra_seconds`. Bodies for a path in `max_bytes` may be that large. Paths in `exempt` have limits of their own.
    `refuse` answers calls that took too long.
    """

    def __init__(
        self,
        app: ASGIApp,
        seconds: float,
        extra_seconds: Mapping[str, float],
        wait_of: Callable[[str | None], int | None],
        exempt: tuple[str, ...],
        refuse: Callable[[Exception, Scope], Response],
        max_bytes: Mapping[str, int] | None = None,
    ) -> None:
        self.app = app
        self.seconds = seconds
        self.extra_seconds = extra_seconds
        self.wait_of = wait_of
        self.exempt = exempt
        self.refuse = refuse
        self.max_bytes = max_bytes or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI call."""
        if scope["type"] != "http" or scope["path"].startswith(self.exempt):
            await self.app(scope, receive, send)
            return
        seconds = self._seconds_for(scope)
        receive_limited = _limited(scope, receive, self.max_bytes.get(scope["path"], MAX_BYTES))
        try:
            async with asyncio.timeout(seconds) as limit:

                async def send_in_time(message: Message) -> None:
                    if limit.expired():
                        return
                    limit.reschedule(None)
                    await send(message)

                await self.app(scope, receive_limited, send_in_time)
        except TimeoutError:
            if not limit.expired():
                raise
            await self.refuse(TookTooLong(seconds), scope)(scope, receive, send)

    def _seconds_for(self, scope: Scope) -> float:
        wait = self.wait_of(Headers(scope=scope).get("prefer")) or 0
        extra = sum(more for path, more in self.extra_seconds.items() if scope["path"].startswith(path))
        return self.seconds + wait + extra


def _limited(scope: Scope, receive: Receive, limit: int) -> Receive:
    headers = Headers(scope=scope)
    declared = headers.get("content-length", "0")
    checks_json = is_json(headers.get("content-type", ""))
    chunks: list[bytes] = []
    size = 0

    async def receive_limited() -> Message:
        nonlocal size
        if declared.isdecimal() and int(declared) > limit:
            raise BodyTooLarge(limit)
        message = await receive()
        if message["type"] == "http.request":
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise BodyTooLarge(limit)
            if checks_json:
                chunks.append(chunk)
                if not message.get("more_body", False):
                    _check(b"".join(chunks))
        return message

    return receive_limited


def _check(body: bytes) -> None:
    try:
        check_json(body)
    except JsonTooDeep as error:
        raise BodyTooDeep(str(error)) from error
    except JsonTooLong as error:
        raise BodyTooLong(str(error)) from error
