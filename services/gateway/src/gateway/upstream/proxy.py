"""Passes calls on to the application behind the gateway: any path, any method, bodies streamed both ways."""

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
"""Until an answer begins: the application may write a text meanwhile, or draw a picture. It may then take its time."""
MOST_CALLS = 200
"""Calls at once; others wait `CONNECT_SECONDS` for their turn."""
MOST_ANSWER_BYTES = 16 * 1024 * 1024
"""Of an answer that is read as a whole."""

Refuse = Callable[[Exception, Scope], Response]


class Proxy:
    """An ASGI app: the application at `url`. `refuse` answers for it where it gives no answer."""

    def __init__(self, url: str, refuse: Refuse) -> None:
        self.url = httpx.URL(url.rstrip("/"))
        self.refuse = refuse
        # The bare transport: a client would follow redirects, and keep one caller's cookies for the next.
        self.transport = httpx.AsyncHTTPTransport(
            limits=httpx.Limits(max_connections=MOST_CALLS, max_keepalive_connections=MOST_CALLS // 4)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Disconnect."""
        await self.transport.aclose()

    def headers(self, scope: Scope) -> Raw:
        """The headers of a call, as the application gets them."""
        return to_application(scope, self.url.netloc)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
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
        """Make a call of the application. The answer has begun; its body is to be read, and it is to be closed.

        Raises:
            ApplicationAway: it cannot be reached, or broke off.
            ApplicationSilent: no answer began in time.
        """
        timeouts = {"connect": CONNECT_SECONDS, "write": ANSWER_SECONDS, "read": None, "pool": CONNECT_SECONDS}
        # The target goes as it came, to the byte.
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
        """As `open`, with the whole body and the headers. An answer that is too long is none."""
        answer = await self.open(method, target, headers, content)
        read = bytearray()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                async for chunk in answer.aiter_bytes():
                    read += chunk
                    if len(read) > MOST_ANSWER_BYTES:
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
        """The headers, with redirects to the application's own address leading to ours."""
        own = str(self.url.copy_with(raw_path=b"/")).rstrip("/").encode()
        return [
            (name, value[len(own) :] or b"/") if name == b"location" and _is_below(value, own) else (name, value)
            for name, value in headers
        ]


class _Caller:
    """Who made a call: its body, and whether they are still there."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        names = dict(scope["headers"])
        self.has_body = b"transfer-encoding" in names or names.get(b"content-length", b"0") != b"0"
        self.receive = receive
        self.has_read = asyncio.Event()
        self.is_gone = False
        if not self.has_body:
            self.has_read.set()

    async def body(self) -> AsyncIterator[bytes]:
        """The body, as it comes."""
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
        """Wait until they have gone."""
        await self.has_read.wait()
        while not self.is_gone:
            self.is_gone = (await self.receive())["type"] == "http.disconnect"


async def _nothing_more() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


def _is_below(url: bytes, origin: bytes) -> bool:
    return url == origin or url.startswith((origin + b"/", origin + b"?"))
