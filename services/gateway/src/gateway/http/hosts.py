"""Which hosts the gateway answers for, so that a page whose name was made to lead here is not taken for ours."""

import ipaddress
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

LONGEST_SHOWN = 100


class HostNotAllowed(Exception):
    """The call names a host that this gateway does not answer for."""

    def __init__(self, host: str) -> None:
        shown = host[:LONGEST_SHOWN]
        super().__init__(
            f"This server does not answer for the host {shown!r}. "
            f'If it should, set PUBLIC_URL, or ALLOWED_HOSTS=["{shown}"] (`*.example.com` for all below a name).'
        )
        self.host = host


class Hosts:
    """The hosts to answer for: addresses, this machine's own names, that of `public_url`, and `allowed`.

    An address is no name, and only names can be made to lead elsewhere. In `allowed`, `*.x` stands for all names below
    `x`, and `*` for all there are.
    """

    def __init__(self, public_url: str, allowed: Iterable[str]) -> None:
        own = urlsplit(public_url).hostname
        self.names = {name.lower() for name in ("localhost", "*.localhost", own, *allowed) if name}

    def take(self, header: str) -> bool:
        """Whether to answer for what a Host header says."""
        try:
            host = urlsplit(f"//{header.strip()}").hostname or ""
        except ValueError:
            return False
        if "@" in header or "/" in header:
            return False
        host = host.rstrip(".")
        return "*" in self.names or host in self.names or self._is_below(host) or _is_address(host)

    def _is_below(self, host: str) -> bool:
        return any(name.startswith("*.") and host.endswith(name[1:]) for name in self.names)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class ForKnownHosts:
    """An app that is entered only by calls that name one of `hosts`. `refuse` answers the others.

    A call without a host is none of a browser.
    """

    def __init__(self, app: ASGIApp, hosts: Hosts, refuse: Callable[[Exception, Scope], Response]) -> None:
        self.app = app
        self.hosts = hosts
        self.refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] in ("http", "websocket"):
            named = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
            unknown = [host for host in named if not self.hosts.take(host)]
            if unknown and scope["type"] == "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1008})
                return
            if unknown:
                await self.refuse(HostNotAllowed(unknown[0]), scope)(scope, receive, send)
                return
        await self.app(scope, receive, send)
