"""What every answer carries: the id of its request, headers that keep browsers careful, and who may read it."""

import re
import secrets
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, urlencode

import structlog
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.http.rate_limit import MINUTE, Allowance

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
CAREFUL = (
    (b"x-content-type-options", b"nosniff"),
    # Addresses may hold a token.
    (b"referrer-policy", b"same-origin"),
    (b"content-security-policy", b"frame-ancestors 'none'"),
    # What is told to one caller is kept by no proxy; a browser may keep it and asks each time whether it has changed.
    (b"cache-control", b"private, no-cache"),
)
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
SHOWN_HEADERS = (
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


class Labelled:
    """An app whose calls have an id: the caller's own, where it can be taken, or a new one.

    It is `scope["state"]["request_id"]`, stands in the log and in the header `x-request-id`. An `Allowance` that is
    left in `scope["state"]["allowance"]` becomes the `RateLimit` headers. A token in the address is moved from there to
    `scope["state"]["token"]`, so that nobody who tells of addresses tells of it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
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

        async def label(message: Message) -> None:
            nonlocal is_answered
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                told = {name.lower() for name, _ in headers}
                headers += [(name, value) for name, value in CAREFUL if name not in told]
                headers.append((b"x-request-id", request_id.encode()))
                if (allowance := state.get("allowance")) is not None:
                    headers += _rate_limit(allowance)
                message["headers"] = headers
            await send(message)
            is_answered = message["type"] == "http.response.body" and not message.get("more_body", False)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self.app(scope, receive, label)
            except Exception:
                # Logged and answered; the server would reset the connection, and with it maybe the answer.
                if not is_answered:
                    raise


def _rate_limit(allowance: Allowance) -> list[tuple[bytes, bytes]]:
    return [
        (b"ratelimit-policy", f'"calls";q={allowance.limit};w={MINUTE:.0f}'.encode()),
        (b"ratelimit", f'"calls";r={allowance.left};t={allowance.seconds:.0f}'.encode()),
    ]


class Cors(CORSMiddleware):
    """Lets the pages of these origins call and read, errors too. Other pages get no header of it at all.

    `refuse` answers a preflight that fails, with the text of why.
    """

    def __init__(self, app: ASGIApp, origins: tuple[str, ...], refuse: Callable[[str], Response]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            # Any page at all must not call with the cookie of whoever looks at it.
            allow_credentials="*" not in origins,
            allow_methods=ALLOWED_METHODS,
            allow_headers=ALLOWED_HEADERS,
            expose_headers=SHOWN_HEADERS,
            max_age=PREFLIGHT_SECONDS,
        )
        self.refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        is_foreign = scope["type"] == "http" and not self.is_allowed_origin(Headers(scope=scope).get("origin", ""))
        await super().__call__(scope, receive, _without_cors(send) if is_foreign else send)

    def preflight_response(self, request_headers: Headers) -> Response:
        """What a browser asks before it calls."""
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


class Guarded:
    """An app that is entered only past `guard`, which raises for whoever may not."""

    def __init__(self, app: ASGIApp, guard: Callable[[Request], Awaitable[object]]) -> None:
        self.app = app
        self.guard = guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        await self.guard(Request(scope, receive))
        await self.app(scope, receive, send)
