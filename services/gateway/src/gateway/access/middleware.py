"""Authorizes calls of routes that are no FastAPI routes."""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.access.dependencies import authorize
from shared.process.probes import METRICS_PATH


class AuthMiddleware:
    """Calls `check` before the app; `check` raises for callers that are not allowed."""

    def __init__(self, app: ASGIApp, check: Callable[[Request], Awaitable[object]]) -> None:
        self.app = app
        self.check = check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI call."""
        await self.check(Request(scope, receive))
        await self.app(scope, receive, send)


def protect_metrics(route: BaseRoute) -> BaseRoute:
    """Require the scope `read` for the metrics; leave the other routes of the process, its probes, open."""

    async def check(request: Request) -> None:
        await authorize(request, "read")

    if isinstance(route, Route) and route.path == METRICS_PATH:
        return Route(METRICS_PATH, AuthMiddleware(route.app, check), include_in_schema=False)
    return route
