"""Restricts connections to public addresses, so that a URL from outside cannot reach this machine or its network."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence

import httpcore
import httpx

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Finds the addresses of a host. Raises `OSError` if there are none."""

REFUSED = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata service is among them
        "168.63.129.16/32",  # Azure's platform service
        "2002::/16",  # 6to4: any IPv4 address within
        "fec0::/10",  # site-local
    )
)
"""Addresses that Python considers global but that lead to internal services."""

NEIGHBOURS = tuple(
    ipaddress.ip_network(network)
    for network in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")
)


METADATA = tuple(
    ipaddress.ip_network(network)
    for network in (
        "fd00:ec2::/32",  # AWS: metadata, time, names
        "fd20:ce::254/128",  # Google
        "fd00:c1::a9fe:a9fe/128",  # Oracle
    )
)
"""Private addresses of cloud services that give out credentials."""


class NotPublic(Exception):
    """A host has an address that is not public."""

    def __init__(self, host: str, addresses: Sequence[str]) -> None:
        leads = "" if [host] == list(addresses) else f" leads to {', '.join(addresses) or 'nowhere'}, which"
        super().__init__(f"{host}{leads} is not a public address.")
        self.host = host
        self.addresses = addresses


def is_public(address: str) -> bool:
    """Return whether this is the address of one machine on the internet."""
    ip = _ip(address)
    if any(ip in network for network in REFUSED):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)


def is_neighbour(address: str) -> bool:
    """Return whether this is an address of this machine or of its private network.

    Link-local addresses and `METADATA` are excluded: there, clouds give out the credentials of their machines.
    """
    ip = _ip(address)
    return any(ip in network for network in NEIGHBOURS) and not any(ip in network for network in METADATA)


def _ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    ip = ipaddress.ip_address(address.partition("%")[0])
    return getattr(ip, "ipv4_mapped", None) or ip


async def look_up(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host from this machine's resolver, the preferred one first."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to public addresses; for the configured hosts `inside` (`*`: all hosts) also to neighbours.

    It connects to exactly the address that it checked, so that a second DNS answer cannot bypass the check.
    """

    def __init__(self, inside: Iterable[str] = (), resolve: Resolve = look_up) -> None:
        self.network = httpcore.AnyIOBackend()
        self.inside = frozenset(inside)
        self.resolve = resolve

    def may_be_inside(self, host: str) -> bool:
        """Return whether this host is configured as a possible neighbour."""
        return host in self.inside or "*" in self.inside

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses of a host. Raises `NotPublic` if any is not allowed, `OSError` if there are none."""
        try:
            found = await self.resolve(host, port)
        except UnicodeError as error:
            raise OSError(f"{host} is no name of a host") from error
        neighbours = self.may_be_inside(host)
        refused = [one for one in found if not (is_public(one) or (neighbours and is_neighbour(one)))]
        if refused or not found:
            raise NotPublic(host, refused)
        return found

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address that answers. Raises `NotPublic` first if any is not allowed."""
        try:
            *others, last = await self.addresses(host, port)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        for address in others:
            try:
                return await self.network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self.network.connect_tcp(last, port, timeout, local_address, socket_options)


def guarded_transport(network: GuardedNetwork) -> httpx.AsyncHTTPTransport:
    """Return an httpx transport for this network, without keep-alive, so that every request is checked."""
    ssl_context = httpx.create_ssl_context(trust_env=False)
    transport = httpx.AsyncHTTPTransport(verify=ssl_context, trust_env=False)
    # httpx has no option for the network backend of its pool.
    transport._pool = httpcore.AsyncConnectionPool(  # noqa: SLF001
        ssl_context=ssl_context,
        max_connections=None,
        max_keepalive_connections=0,
        network_backend=network,
    )
    return transport
