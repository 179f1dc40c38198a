"""The web server of a process: reports a failed start in one line, and stops in time."""

import gc
import os
import sys
import threading
from types import FrameType

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.http.header_timeout import HeaderTimeoutProtocol

ANSWER_SECONDS = 4
"""How long a running call may continue after SIGTERM."""
FORCED_STOP_SECONDS = 9.5
"""How long after SIGTERM a process exits even if something still runs. No work is lost, as with a kill."""
MAX_WEBSOCKET_BYTES = 65_536


class NotStarted(Exception):
    """A process cannot start; the message names the setting to check."""


async def serve(app: ASGIApp, host: str, port: int) -> None:
    """Serve an ASGI app until SIGTERM or SIGINT; exit with an error when it cannot start."""
    server = _Server(_web_config(_OneLine(app), host, port))
    freeze_loaded_objects()
    await server.serve()
    if not server.started:
        sys.exit(1)


def freeze_loaded_objects() -> None:
    """Exclude loaded objects from garbage collection, where each full collection would take 0.2 s."""
    gc.collect()
    gc.freeze()


class _OneLine:
    """An ASGI app that reports a failed start in one line, without a traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI call."""

        async def shorten(message: Message) -> None:
            if message["type"] == "lifespan.startup.failed":
                last = message.get("message", "").strip().splitlines()[-1:]
                message = {**message, "message": "".join(last).removeprefix(f"{__name__}.{NotStarted.__name__}: ")}
            await send(message)

        await self.app(scope, receive, shorten if scope["type"] == "lifespan" else send)


class _Server(uvicorn.Server):
    """A web server that always exits in time after SIGTERM."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Start to stop, and force the exit after `FORCED_STOP_SECONDS`."""
        force = threading.Timer(FORCED_STOP_SECONDS, os._exit, [1])
        force.daemon = True
        force.start()
        super().handle_exit(sig, frame)


def web_server(app: object, host: str, port: int) -> uvicorn.Server:
    """Return the web server of a process, not started yet."""
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
        ws_max_size=MAX_WEBSOCKET_BYTES,
        # Compression would cost a third of the throughput, and double the memory of each connection.
        ws_per_message_deflate=False,
    )
