"""Connections go only to public addresses."""

import asyncio
from collections.abc import Sequence

import httpx
import pytest

from shared.http.public_address import GuardedNetwork, NotPublic, guarded_transport, is_neighbour, is_public

PUBLIC = "8.8.8.8 1.1.1.1 172.32.0.1 2606:4700::1111 ::ffff:8.8.8.8".split()
NEIGHBOURS = "127.0.0.1 127.9.9.9 10.0.0.1 172.16.0.1 192.168.1.1 ::1 fd00::1 ::ffff:10.0.0.1".split()
NOBODYS = (
    "0.0.0.0 169.254.169.254 100.64.0.1 100.100.100.200 168.63.129.16 192.0.0.192 224.0.0.1 240.0.0.1 255.255.255.255 "
    ":: fe80::1 fe80::1%eth0 ff02::1 ::7f00:1 2002:7f00:1:: 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe fec0::1 "
    "::ffff:169.254.169.254 2001::1 fd00:ec2::254 fd00:ec2::123 fd20:ce::254"
).split()


@pytest.mark.parametrize("address", PUBLIC)
def test_these_are_public(address: str) -> None:
    assert (is_public(address), is_neighbour(address)) == (True, False)


@pytest.mark.parametrize("address", NEIGHBOURS)
def test_these_are_neighbours(address: str) -> None:
    assert (is_public(address), is_neighbour(address)) == (False, True)


@pytest.mark.parametrize("address", NOBODYS)
def test_these_are_never_connected_to(address: str) -> None:
    assert (is_public(address), is_neighbour(address)) == (False, False)


class Names:
    """A resolver for these names that counts its calls."""

    def __init__(self, **names: Sequence[str]) -> None:
        self.names = names
        self.asked = 0

    async def __call__(self, host: str, _port: int) -> Sequence[str]:
        self.asked += 1
        return self.names[host]


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["169.254.169.254"], []])
async def test_a_name_with_a_private_address_is_refused_before_anything_is_sent(addresses: list[str]) -> None:
    network = GuardedNetwork(resolve=Names(somewhere=addresses))
    transport = guarded_transport(network)
    with pytest.raises(NotPublic) as refused:
        await transport.handle_async_request(httpx.Request("GET", "http://somewhere/"))
    assert refused.value.host == "somewhere"


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "localhost", "0"])
async def test_unusual_notations_of_this_machine_are_refused(host: str) -> None:
    with pytest.raises((NotPublic, OSError)):
        await GuardedNetwork().addresses(host, 80)


async def test_it_connects_to_the_address_that_it_checked() -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    # This machine cannot resolve the name, so a second look-up would fail.
    names = Names(**{"receiver.invalid": ["::1", "127.0.0.1"]})
    transport = guarded_transport(GuardedNetwork(["receiver.invalid"], names))
    async with server:
        answered = await transport.handle_async_request(httpx.Request("GET", f"http://receiver.invalid:{port}/"))
        await answered.aclose()
    assert (answered.status_code, names.asked) == (204, 1)
