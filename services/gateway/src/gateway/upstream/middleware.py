"""What stands before everything else where the gateway fronts a whole application: it parts ours from theirs."""

from collections.abc import Callable, Sequence

from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

OURS = ("/api/v1/", "/media/")
"""Everything below is ours, also what is not there."""
SOCKET = "/socket.io"
"""Shared by event, not by path. What is below it is the application's: its server may serve its client there."""


class UpstreamMiddleware:
    """An ASGI app: `app` for what is ours, `application` for every other call.

    Ours is the socket, what is below `OURS`, what a route of ours is for, and what calls a tRPC procedure of ours, as
    `is_called` tells by the path after `trpc_path` and the query.
    """

    def __init__(
        self,
        app: ASGIApp,
        application: ASGIApp,
        routes: Sequence[BaseRoute],
        trpc_path: str,
        is_called: Callable[[str, str], bool],
    ) -> None:
        self.app = app
        self.application = application
        self.routes = routes
        self.trpc_path = trpc_path
        self.is_called = is_called

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        is_ours = scope["type"] != "http" or self._is_ours(scope)
        await (self.app if is_ours else self.application)(scope, receive, send)

    def _is_ours(self, scope: Scope) -> bool:
        path: str = scope["path"]
        if path.startswith(f"{self.trpc_path}/"):
            return self.is_called(path.removeprefix(f"{self.trpc_path}/"), scope["query_string"].decode("latin-1"))
        if path.rstrip("/") == SOCKET or path.startswith(OURS):
            return True
        return any(route.matches(scope)[0] is not Match.NONE for route in self.routes)
