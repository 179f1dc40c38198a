"""Filters the headers between a caller and the application behind the gateway.

Hop-by-hop headers do not pass, nor the gateway's own session cookie and API keys. The application's own cookies and its
own `Authorization` do.
"""

from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.types import Scope

from gateway.access.service import SESSION_COOKIE

OUR_KEYS = b"msk_"
Raw = list[tuple[bytes, bytes]]

HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
"""Headers of one connection, not of the message: RFC 9110, section 7.6.1."""
REPLACED = frozenset((b"host", b"expect", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"))


def to_application(scope: Scope, host: bytes) -> Raw:
    """Return the headers of a call for the application at `host`."""
    given: Raw = scope["headers"]
    dropped = REPLACED | _of_the_connection(given)
    passed = [(name, value) for name, value in given if name not in dropped]
    passed = [(name, _without_session(value) if name == b"cookie" else value) for name, value in passed]
    passed = [(name, value) for name, value in passed if value or name != b"cookie"]
    passed = [(name, value) for name, value in passed if not (name == b"authorization" and _is_our_key(value))]
    return [(b"host", host), *passed, *_forwarded(scope)]


def to_caller(given: Iterable[tuple[bytes, bytes]]) -> Raw:
    """Return the headers of an answer for the caller. Our own web server adds the date."""
    lower = [(name.lower(), value) for name, value in given]
    dropped = _of_the_connection(lower) | {b"date"}
    return [(name, value) for name, value in lower if name not in dropped]


def _of_the_connection(headers: Raw) -> frozenset[bytes]:
    named = b",".join(value for name, value in headers if name == b"connection")
    return HOP_BY_HOP | {name.strip().lower() for name in named.split(b",")}


def _forwarded(scope: Scope) -> Raw:
    """Return the `X-Forwarded` headers; a proxy in front of us may have set some already."""
    headers = Headers(scope=scope)
    way = [one.strip() for one in ",".join(headers.getlist("x-forwarded-for")).split(",") if one.strip()]
    peer = scope["client"][0] if scope.get("client") else ""
    # uvicorn takes the client address from this header where it trusts the proxy in front of it.
    way += [peer] if peer and peer not in way else []
    scheme = {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])
    forwarded = {
        "x-forwarded-for": ", ".join(way),
        "x-forwarded-host": headers.get("x-forwarded-host") or headers.get("host", ""),
        "x-forwarded-proto": headers.get("x-forwarded-proto") or scheme,
    }
    return [(name.encode(), value.encode("latin-1")) for name, value in forwarded.items() if value]


def _without_session(cookies: bytes) -> bytes:
    ours = SESSION_COOKIE.encode()
    return b";".join(one for one in cookies.split(b";") if one.partition(b"=")[0].strip() != ours).strip()


def _is_our_key(authorization: bytes) -> bool:
    kind, _, key = authorization.partition(b" ")
    return kind.lower() == b"bearer" and key.strip().startswith(OUR_KEYS)
