"""Answers only for known hosts: a page whose DNS name was rebound to this address must not pass for our own."""

import ipaddress
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.http.errors import ApiError

LONGEST_SHOWN = 100


class HostNotAllowed(ApiError):
    """The call names a host that this gateway does not answer for."""

    http_status, problem_type, title = 421, "host-not-allowed", "Host not allowed"

    def __init__(self, host: str) -> None:
        shown = host[:LONGEST_SHOWN]
        super().__init__(
            f"This server does not answer for the host {shown!r}. "
            f'If it should, set PUBLIC_URL, or ALLOWED_HOSTS=["{shown}"] (`*.example.com` for all its subdomains).'
        )
        self.host = host


class AllowedHosts:
    """IP addresses, localhost, the host of `public_url`, and `allowed`.

    IP addresses are safe, because only names can be rebound. In `allowed`, `*.x` stands for all subdomains of `x`,
    and `*` for any host.
    """

    def __init__(self, public_url: str, allowed: Iterable[str]) -> None:
        own = urlsplit(public_url).hostname
        self.names = {name.lower() for name in ("localhost", "*.localhost", own, *allowed) if name}

    def allows(self, header: str) -> bool:
        """Return whether a Host header names an allowed host."""
        try:
            host = urlsplit(f"//{header.strip()}").hostname or ""
        except ValueError:
            return False
        if "@" in header or "/" in header:
            return False
        host = host.rstrip(".")
        return "*" in self.names or host in self.names or self._is_subdomain(host) or _is_address(host)

    def _is_subdomain(self, host: str) -> bool:
        return any(name.startswith("*.") and host.endswith(name[1:]) for name in self.names)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class AllowedHostsMiddleware:
    """Passes calls for allowed hosts on to the app; `refuse` answers the others.

    Calls without a Host header pass: no browser sends them.
    """

    def __init__(self, app: ASGIApp, hosts: AllowedHosts, refuse: Callable[[Exception, Scope], Response]) -> None:
        self.app = app
        self.hosts = hosts
        self.refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI call."""
        if scope["type"] in ("http", "websocket"):
            named = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
            unknown = [host for host in named if not self.hosts.allows(host)]
            if unknown and scope["type"] == "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1008})
                return
            if unknown:
                await self.refuse(HostNotAllowed(unknown[0]), scope)(scope, receive, send)
                return
        await self.app(scope, receive, send)
