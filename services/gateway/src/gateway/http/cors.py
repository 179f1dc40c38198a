"""Lets pages of configured origins call the API (CORS)."""

from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ALLOWED_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ALLOWED_HEADERS = (
    "authorization",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "last-event-id",
    "prefer",
    "range",
    "trpc-accept",
    "x-request-id",
)
EXPOSED_HEADERS = (
    "accept-ranges",
    "content-disposition",
    "content-range",
    "etag",
    "idempotent-replayed",
    "link",
    "location",
    "preference-applied",
    "ratelimit",
    "ratelimit-policy",
    "retry-after",
    "x-request-id",
)
PREFLIGHT_SECONDS = 600


class CorsMiddleware(CORSMiddleware):
    """Lets pages of `origins` call and read, errors too. Pages of other origins get no CORS header at all.

    `refuse` answers a failed preflight request; it gets the reason.
    """

    def __init__(self, app: ASGIApp, origins: tuple[str, ...], refuse: Callable[[str], Response]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            # With `*`, every page on the web could call with its visitor's cookie.
            allow_credentials="*" not in origins,
            allow_methods=ALLOWED_METHODS,
            allow_headers=ALLOWED_HEADERS,
            expose_headers=EXPOSED_HEADERS,
            max_age=PREFLIGHT_SECONDS,
        )
        self.refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI call."""
        is_foreign = scope["type"] == "http" and not self.is_allowed_origin(Headers(scope=scope).get("origin", ""))
        await super().__call__(scope, receive, _without_cors(send) if is_foreign else send)

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer the preflight request of a browser."""
        answer = super().preflight_response(request_headers)
        if answer.status_code == 200:
            return answer
        refused = self.refuse(bytes(answer.body).decode())
        refused.headers["Vary"] = answer.headers["Vary"]
        return refused


def _without_cors(send: Send) -> Send:
    async def send_rest(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [(n, v) for n, v in message.get("headers", ()) if not n.lower().startswith(b"access-control-")]
            message["headers"] = kept
        await send(message)

    return send_rest
