"""Forwards calls to the application behind the gateway: any path, any method, bodies streamed both ways."""

import asyncio
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self

import httpx
import structlog
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from gateway.upstream.errors import ApplicationAway, ApplicationSilent
from gateway.upstream.headers import Raw, to_application, to_caller

log = structlog.get_logger()

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 120.0
"""Until an answer begins: the application may write a text or draw a picture first. The rest has no limit."""
MAX_CALLS = 200
"""Concurrent calls; further ones wait up to `CONNECT_SECONDS`."""
MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""Size of an answer that is read as a whole."""

Refuse = Callable[[Exception, Scope], Response]


class Proxy:
    """The application at `url` as an ASGI app. `refuse` answers where the application does not."""

    def __init__(self, url: str, refuse: Refuse) -> None:
        self.url = httpx.URL(url.rstrip("/"))
        self.refuse = refuse
        # The bare transport: a client would follow redirects, and send one caller's cookies with the next call.
        self.transport = httpx.AsyncHTTPTransport(
            limits=httpx.Limits(max_connections=MAX_CALLS, max_keepalive_connections=MAX_CALLS // 4)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Disconnect."""
        await self.transport.aclose()

    def headers(self, scope: Scope) -> Raw:
        """Return the headers of a call for the application."""
        return to_application(scope, self.url.netloc)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI call."""
        caller = _Caller(scope, receive)
        tasks = [asyncio.create_task(self._pass_on(scope, caller, send)), asyncio.create_task(caller.gone())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            passed, _ = await asyncio.gather(*tasks, return_exceptions=True)
        if isinstance(passed, Exception):
            raise passed

    async def _pass_on(self, scope: Scope, caller: "_Caller", send: Send) -> None:
        target = scope["raw_path"] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        content = caller.body() if caller.has_body else None
        try:
            answer = await self.open(scope["method"], target, self.headers(scope), content)
        except (ApplicationAway, ApplicationSilent) as error:
            if not caller.is_gone:
                await self.refuse(error, scope)(scope, _nothing_more, send)
            return
        try:
            headers = self._here(to_caller(answer.headers.raw))
            await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
            async for chunk in answer.stream:  # type: ignore[union-attr]  # the transport is asynchronous
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except httpx.HTTPError as error:
            # Without its end the caller sees that the answer is not whole.
            log.warning("upstream.broke_off", error=repr(error))
        finally:
            await answer.aclose()

    async def open(
        self, method: str, target: bytes, headers: Raw, content: AsyncIterator[bytes] | bytes | None
    ) -> httpx.Response:
        """Call the application. Returns when the answer begins; the caller reads its body and closes it.

        Raises:
            ApplicationAway: it cannot be reached, or closed the connection.
            ApplicationSilent: no answer began in time.
        """
        timeouts = {"connect": CONNECT_SECONDS, "write": ANSWER_SECONDS, "read": None, "pool": CONNECT_SECONDS}
        # The target is forwarded byte for byte.
        extensions = {"timeout": timeouts, "target": self.url.raw_path.rstrip(b"/") + target}
        request = httpx.Request(method, self.url, headers=headers, content=content, extensions=extensions)
        try:
            async with asyncio.timeout(ANSWER_SECONDS) as limit:
                return await self.transport.handle_async_request(request)
        except TimeoutError:
            if not limit.expired():
                raise
            raise ApplicationSilent(ANSWER_SECONDS) from None
        except (httpx.PoolTimeout, httpx.WriteTimeout):
            raise ApplicationSilent(CONNECT_SECONDS) from None
        except httpx.HTTPError as error:
            log.warning("upstream.away", error=repr(error))
            raise ApplicationAway from None

    async def fetch(self, method: str, target: bytes, headers: Raw, content: bytes | None) -> tuple[bytes, Raw]:
        """Call the application as `open` does; return the whole body and the headers.

        Raises:
            ApplicationAway: also if the answer exceeds `MAX_ANSWER_BYTES`.
            ApplicationSilent: also if it does not end in time.
        """
        answer = await self.open(method, target, headers, content)
        read = bytearray()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                async for chunk in answer.aiter_bytes():
                    read += chunk
                    if len(read) > MAX_ANSWER_BYTES:
                        log.warning("upstream.answer_too_long", bytes=len(read))
                        raise ApplicationAway
        except TimeoutError:
            raise ApplicationSilent(ANSWER_SECONDS) from None
        except httpx.HTTPError as error:
            log.warning("upstream.broke_off", error=repr(error))
            raise ApplicationAway from None
        finally:
            await answer.aclose()
        return bytes(read), to_caller(answer.headers.raw)

    def _here(self, headers: Raw) -> Raw:
        """Return the headers, with redirects to the application's own URL pointing to ours."""
        own = str(self.url.copy_with(raw_path=b"/")).rstrip("/").encode()
        return [
            (name, value[len(own) :] or b"/") if name == b"location" and _is_below(value, own) else (name, value)
            for name, value in headers
        ]


class _Caller:
    """The caller: the body of its call, and whether it is still connected."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        names = dict(scope["headers"])
        self.has_body = b"transfer-encoding" in names or names.get(b"content-length", b"0") != b"0"
        self.receive = receive
        self.has_read = asyncio.Event()
        self.is_gone = False
        if not self.has_body:
            self.has_read.set()

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives."""
        try:
            more = True
            while more:
                message = await self.receive()
                if message["type"] == "http.disconnect":
                    self.is_gone = True
                    raise httpx.ReadError("the caller has gone")
                yield message.get("body", b"")
                more = message.get("more_body", False)
        finally:
            self.has_read.set()

    async def gone(self) -> None:
        """Wait until the caller disconnects."""
        await self.has_read.wait()
        while not self.is_gone:
            self.is_gone = (await self.receive())["type"] == "http.disconnect"


async def _nothing_more() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


def _is_below(url: bytes, origin: bytes) -> bool:
    return url == origin or url.startswith((origin + b"/", origin + b"?"))
