"""Serves callbacks on a public port of their own, apart from probes and metrics."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.routing import BaseRoute

from shared.http.serving import web_server


@contextlib.asynccontextmanager
async def serving(route: BaseRoute, host: str, port: int) -> AsyncIterator[int]:
    """Serve only `route` until the block ends, and yield the port; port 0 selects any free one.

    Raises:
        OSError: the port is taken.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family) as listening:
        server = web_server(Starlette(routes=[route]), host, port)
        # The process's main server handles signals.
        server.capture_signals = contextlib.nullcontext  # type: ignore[assignment, method-assign]
        task = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            await asyncio.gather(task, return_exceptions=True)
