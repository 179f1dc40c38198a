"""The web server of a process: it tells in one line why it cannot start, and ends in time."""

import gc
import os
import sys
import threading
from types import FrameType

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.http.header_timeout import HeaderTimeoutProtocol

ANSWER_SECONDS = 4
"""How long a call that is being answered may go on after SIGTERM."""
FORCED_STOP_SECONDS = 9.5
"""How long after SIGTERM a process ends even if it still waits for something. Nothing is lost: a kill loses nothing."""
MOST_WEBSOCKET_BYTES = 65_536


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


def web_server(app: object, host: str, port: int) -> uvicorn.Server:
    """The web server of a process, not started yet."""
    return uvicorn.Server(_web_config(app, host, port))


def _web_config(app: object, host: str, port: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        host=host,
        port=port,
        http=HeaderTimeoutProtocol,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=ANSWER_SECONDS,
        ws_max_size=MOST_WEBSOCKET_BYTES,
        # It would cost a third of what one process can tell, and as much memory again for each who listens.
        ws_per_message_deflate=False,
    )
