"""A tRPC server on one URL: single calls, batches, streamed answers, and subscriptions.

Source: the package @trpc/server 11.25, `http/resolveResponse.ts`.
"""

import secrets
from typing import Generic, TypeVar
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.trpc.request_handler import Config, RequestHandler
from gateway.trpc.responses import HEADERS

C = TypeVar("C")

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
"""The procedures decide which of them they accept."""


class Server(Generic[C]):
    """Answers the calls of a router."""

    def __init__(self, config: Config[C]) -> None:
        self.config = config

    def has_any(self, path: str, query: str) -> bool:
        """Return whether a request calls a procedure of this server. `path` is what follows the route's own."""
        batch = dict(parse_qsl(query)).get("batch") == "1"
        names = path.split(",") if batch else [path]
        return any(name in self.config.router.procedures for name in names)

    def route(self, path: str) -> Route:
        """Return the route that answers at this path, followed by the name of a procedure."""
        return Route(path.rstrip("/") + "/{path:path}", self.answer, methods=METHODS, include_in_schema=False)

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        if request.method == "HEAD":
            return Response(status_code=204, headers=HEADERS)
        state = request.scope.get("state") or {}
        handler = RequestHandler(self.config, request, str(state.get("request_id") or secrets.token_hex(12)))
        # An error that left from here would lose the CORS headers that let another origin's page read it.
        try:
            return await handler.run()
        except Exception as error:  # noqa: BLE001 - see above
            return handler.refuse(handler.explain(error))
