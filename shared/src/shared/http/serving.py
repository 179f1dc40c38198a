"""The web server of a process: it tells in one line why it cannot start, and ends in time."""

import asyncio
import gc
import os
import sys
import threading
from types import FrameType

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

ANSWER_SECONDS = 4
"""How long a call that is being answered may go on after SIGTERM."""
FORCED_STOP_SECONDS = 9.5
"""How long after SIGTERM a process ends even if it still waits for something. Nothing is lost: a kill loses nothing."""
MOST_WEBSOCKET_BYTES = 65_536
HEADER_SECONDS = 10.0
"""How long a client may take to send the first line and the headers of a request."""


class NotStarted(Exception):
    """A process cannot start; the message names the setting to look at."""


async def serve(app: ASGIApp, host: str, port: int) -> None:
    """Serve an ASGI app until SIGTERM or SIGINT; exit with an error when it cannot start."""
    server = _Server(_web_config(_OneLine(app), host, port))
    keep_what_is_loaded()
    await server.serve()
    if not server.started:
        sys.exit(1)


def keep_what_is_loaded() -> None:
    """Look for garbage in what comes, not again and again in what is here and stays, which would take 0.2 s a time."""
    gc.collect()
    gc.freeze()


class _OneLine:
    """An ASGI app whose failure to start is told in one line, without a traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""

        async def shorten(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                last = message.get("message", "").strip().splitlines()[-1:]
                message = {**message, "message": "".join(last).removeprefix(f"{__name__}.{NotStarted.__name__}: ")}
            await send(message)

        await self.app(scope, receive, shorten if scope["type"] == "lifespan" else send)


class _Server(uvicorn.Server):
    """A web server whose process ends in time after SIGTERM, whatever still waits in it."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop, and make sure that it ends."""
        force = threading.Timer(FORCED_STOP_SECONDS, os._exit, [1])
        force.daemon = True
        force.start()
        super().handle_exit(sig, frame)


class _Connection(HttpToolsProtocol):
    """An HTTP connection that is closed when its client does not send a request in time.

    uvicorn bounds the time between two requests, but not that of a request that never ends its headers.
    """

    header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Wait for the first request."""
        super().connection_made(transport)
        self._begin_waiting()

    def on_message_begin(self) -> None:
        """Wait for the headers of a request that has begun."""
        super().on_message_begin()
        self._begin_waiting()

    def on_headers_complete(self) -> None:
        """Wait no more: what takes time from now on has bounds of its own."""
        self._end_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._end_waiting()
        super().connection_lost(exc)

    def _begin_waiting(self) -> None:
        self._end_waiting()
        self.header_timer = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _end_waiting(self) -> None:
        if self.header_timer is not None:
            self.header_timer.cancel()


def web_server(app: object, host: str, port: int) -> uvicorn.Server:
    """The web server of a process, not started yet."""
    return uvicorn.Server(_web_config(app, host, port))


def _web_config(app: object, host: str, port: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        host=host,
        port=port,
        http=_Connection,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=ANSWER_SECONDS,
        ws_max_size=MOST_WEBSOCKET_BYTES,
        # It would cost a third of what one process can tell, and as much memory again for each who listens.
        ws_per_message_deflate=False,
    )
