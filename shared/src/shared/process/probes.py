"""The health, readiness and metrics endpoints of a process."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from prometheus_client import make_asgi_app
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

READY_SECONDS = 2.0
METRICS_PATH = "/metrics"

Check = Callable[[], Awaitable[bool | str]]
"""Returns whether something is ready; a text is the reason why it is not."""


class Metrics:
    """The metrics of this process, as an ASGI app that can be routed without a redirect."""

    def __init__(self) -> None:
        self.app = make_asgi_app()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        await self.app(scope, receive, send)


def routes(checks: Mapping[str, Check]) -> list[BaseRoute]:
    """Return `/healthz` (the event loop runs), `/readyz` (all checks pass) and `/metrics` (for Prometheus)."""

    async def alive(_request: Request) -> JSONResponse:
        return JSONResponse({"alive": True})

    async def ready(_request: Request) -> JSONResponse:
        results = await asyncio.gather(*map(_passes, checks.values()))
        passed, is_ready = dict(zip(checks, results, strict=True)), all(result is True for result in results)
        return JSONResponse({"ready": is_ready, **passed}, status_code=200 if is_ready else 503)

    return [Route("/healthz", alive), Route("/readyz", ready), Route(METRICS_PATH, Metrics(), include_in_schema=False)]


async def _passes(check: Check) -> bool | str:
    try:
        async with asyncio.timeout(READY_SECONDS):
            return await check()
    except Exception:  # noqa: BLE001 - any error means "not ready"
        return False
