"""How large, how deep and how long a call may be, whichever face it is for."""

import asyncio
from collections.abc import Callable, Mapping

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.access.service import is_json
from shared.http.json_bounds import JsonTooDeep, JsonTooLong, check_json

MOST_BYTES = 1_048_576


class _Refused(HTTPException):
    def __str__(self) -> str:
        return self.detail


class BodyTooLarge(_Refused):
    """The body of a call is larger than any may be."""

    def __init__(self) -> None:
        super().__init__(413, f"A body has at most {MOST_BYTES:,} bytes.")


class BodyTooDeep(_Refused):
    """The JSON of a call is nested deeper than any may be."""


class BodyTooLong(_Refused):
    """The JSON of a call has more values than any may have."""


class TookTooLong(Exception):
    """There is no answer after all the time a call may take."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"There was no answer within {seconds:g} s. It may have been done; look before you try again.")
        self.seconds = seconds


class Bounded:
    """An app whose calls have bounds. Too much of a body is raised where it is read, for each face to say in its way.

    An answer must begin within `seconds`, and may then take its time, as streams and films do. Whoever wishes to wait
    has so much longer, as `wait_of` reads it from the header `Prefer`, and so have the calls to the paths of `longer`,
    by their beginnings. The paths of `careful` have bounds of their own. `refuse` answers what took too long.
    """

    def __init__(
        self,
        app: ASGIApp,
        seconds: float,
        longer: Mapping[str, float],
        wait_of: Callable[[str | None], int | None],
        careful: tuple[str, ...],
        refuse: Callable[[Exception, Scope], Response],
    ) -> None:
        self.app = app
        self.seconds = seconds
        self.longer = longer
        self.wait_of = wait_of
        self.careful = careful
        self.refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http" or scope["path"].startswith(self.careful):
            await self.app(scope, receive, send)
            return
        seconds = self._seconds_for(scope)
        receive_some = _within_bounds(scope, receive)
        try:
            async with asyncio.timeout(seconds) as limit:

                async def begin(message: Message) -> None:
                    if limit.expired():
                        return
                    limit.reschedule(None)
                    await send(message)

                await self.app(scope, receive_some, begin)
        except TimeoutError:
            if not limit.expired():
                raise
            await self.refuse(TookTooLong(seconds), scope)(scope, receive, send)

    def _seconds_for(self, scope: Scope) -> float:
        wait = self.wait_of(Headers(scope=scope).get("prefer")) or 0
        return self.seconds + wait + sum(more for path, more in self.longer.items() if scope["path"].startswith(path))


def _within_bounds(scope: Scope, receive: Receive) -> Receive:
    headers = Headers(scope=scope)
    told = headers.get("content-length", "0")
    chunks: list[bytes] = []
    size = 0

    async def receive_some() -> Message:
        nonlocal size
        if told.isdecimal() and int(told) > MOST_BYTES:
            raise BodyTooLarge
        message = await receive()
        if message["type"] == "http.request":
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > MOST_BYTES:
                raise BodyTooLarge
            chunks.append(chunk)
            if not message.get("more_body", False) and is_json(headers.get("content-type", "")):
                _check(b"".join(chunks))
        return message

    return receive_some


def _check(body: bytes) -> None:
    try:
        check_json(body)
    except JsonTooDeep as error:
        raise BodyTooDeep(400, str(error)) from error
    except JsonTooLong as error:
        raise BodyTooLong(400, str(error)) from error
