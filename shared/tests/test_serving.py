"""The web server of a process limits how long a client may keep a connection open."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from shared.http.serving import web_server
from shared_testing.servers import eventually

UPGRADE = (
    b"GET /socket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def echo(request: Request) -> Response:
    return PlainTextResponse(await request.body())


async def listen(websocket: WebSocket) -> None:
    await websocket.accept()
    with contextlib.suppress(Exception):
        await websocket.receive()


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """A server that waits half a second for headers; yields its port."""
    monkeypatch.setattr("shared.http.header_timeout.HEADER_SECONDS", 0.5)
    app = Starlette(routes=[Route("/", echo, methods=["GET", "POST"]), WebSocketRoute("/socket", listen)])
    listening = socket.create_server(("127.0.0.1", 0))
    server = web_server(app, "127.0.0.1", 0)
    task = asyncio.create_task(server.serve([listening]))
    await eventually(lambda: server.started, 20)
    yield listening.getsockname()[1]
    server.should_exit = True
    await task


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nX-a: "])
async def test_a_connection_with_unfinished_headers_is_closed(port: int, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()


async def test_a_second_request_and_one_sent_byte_by_byte_are_also_closed(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
    body = await reader.readexactly(0)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX-a: ")
    async with asyncio.timeout(30):
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(b"a")
                await writer.drain()
                with contextlib.suppress(TimeoutError):
                    body += await asyncio.wait_for(reader.read(100), 0.05)
    assert b"200" not in body


async def test_a_body_and_a_socket_may_take_their_time(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
    other, socket_writer = await asyncio.open_connection("127.0.0.1", port)
    socket_writer.write(UPGRADE)
    assert b" 101 " in await other.readuntil(b"\r\n\r\n")
    await asyncio.sleep(1.2)
    writer.write(b"cd")
    assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"abcd"), 30)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(other.read(1), 0.1)
    writer.close()
    socket_writer.close()
