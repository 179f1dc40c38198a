"""Gives every call a request id, and every answer its security headers and rate limit."""

import re
import secrets
from urllib.parse import parse_qsl, urlencode

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.http.rate_limit import MINUTE, Allowance

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    # URLs may hold a token.
    (b"referrer-policy", b"same-origin"),
    (b"content-security-policy", b"frame-ancestors 'none'"),
    # Answers are for one caller, so no proxy may store them; a browser may, if it revalidates each time.
    (b"cache-control", b"private, no-cache"),
)


class RequestContextMiddleware:
    """Gives each call an id: the caller's own, if it is usable, or a new one.

    The id is `scope["state"]["request_id"]`, and stands in the log and in the header `x-request-id`. An `Allowance` in
    `scope["state"]["allowance"]` becomes the `RateLimit` headers. A token in the query moves to
    `scope["state"]["token"]`: never log the token in URLs.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI call."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        own = Headers(scope=scope).get("x-request-id", "")
        request_id = own if REQUEST_ID.fullmatch(own) else secrets.token_hex(12)
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        if b"token=" in scope["query_string"]:
            query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
            state["token"] = next((value for name, value in query if name == "token"), None)
            scope["query_string"] = urlencode([one for one in query if one[0] != "token"]).encode()
        is_answered = False

        async def send_with_headers(message: Message) -> None:
            nonlocal is_answered
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                present = {name.lower() for name, _ in headers}
                headers += [(name, value) for name, value in SECURITY_HEADERS if name not in present]
                headers.append((b"x-request-id", request_id.encode()))
                if (allowance := state.get("allowance")) is not None:
                    headers += _rate_limit(allowance)
                message["headers"] = headers
            await send(message)
            is_answered = message["type"] == "http.response.body" and not message.get("more_body", False)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, send_with_headers)
            except Exception:
                # Already logged and answered; raising would make the server reset the connection under the answer.
                if not is_answered:
                    raise


def _rate_limit(allowance: Allowance) -> list[tuple[bytes, bytes]]:
    return [
        (b"ratelimit-policy", f'"calls";q={allowance.limit};w={MINUTE:.0f}'.encode()),
        (b"ratelimit", f'"calls";r={allowance.left};t={allowance.seconds:.0f}'.encode()),
    ]
