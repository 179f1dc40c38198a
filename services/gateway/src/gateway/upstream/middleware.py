"""Routes each call to the gateway or to the application behind it."""

from collections.abc import Callable, Sequence

from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

OURS = ("/api/v1/", "/media/")
"""Everything below these paths is the gateway's, even what does not exist."""
SOCKET = "/socket.io"
"""Shared per event, not per path. Paths below it are the application's: its server may serve its client there."""


class UpstreamMiddleware:
    """Passes the gateway's own calls to `app`, and all others to `application`.

    Its own are the socket, paths below `OURS`, paths of its `routes`, and calls of its tRPC procedures, which
    `has_procedure` recognizes by the path after `trpc_path` and the query.
    """

    def __init__(
        self,
        app: ASGIApp,
        application: ASGIApp,
        routes: Sequence[BaseRoute],
        trpc_path: str,
        has_procedure: Callable[[str, str], bool],
    ) -> None:
        self.app = app
        self.application = application
        self.routes = routes
        self.trpc_path = trpc_path
        self.has_procedure = has_procedure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI call."""
        is_ours = scope["type"] != "http" or self._is_ours(scope)
        await (self.app if is_ours else self.application)(scope, receive, send)

    def _is_ours(self, scope: Scope) -> bool:
        path: str = scope["path"]
        if path.startswith(f"{self.trpc_path}/"):
            return self.has_procedure(path.removeprefix(f"{self.trpc_path}/"), scope["query_string"].decode("latin-1"))
        if path.rstrip("/") == SOCKET or path.startswith(OURS):
            return True
        return any(route.matches(scope)[0] is not Match.NONE for route in self.routes)
