"""Passes events between the sockets of browsers and the application's own Socket.IO server.

Each socket here has one there, with the same cookies and headers, so the application knows who listens. Where the
application is away, or has no more room, our own events are told all the same.
"""

import asyncio
import contextlib
import functools
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

import httpx
import socketio
import structlog
from socketio import packet
from socketio.exceptions import SocketIOError
from starlette.types import Scope

from gateway.upstream.headers import OUR_KEYS, to_application

log = structlog.get_logger()

MOST_SOCKETS = 1000
"""Of one replica. Who comes later hears our own events only."""
MOST_WAITING = 50
"""What one browser says before the application is there; more of it is lost."""
CONNECT_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
RESERVED = frozenset(
    (
        "connect",
        "connect_error",
        "disconnect",
        "disconnecting",
        "__disconnect_final",
        "newListener",
        "removeListener",
        "*",
    )
)
"""Names that a library of Socket.IO dispatches in its own way, on one side or the other."""
OF_THE_TRANSPORT = ("EIO", "transport", "sid", "t", "j", "b64", "token")
NOT_FOR_SOCKETS = (b"content-length", b"content-type", b"accept-encoding", b"host")

Tell = Callable[..., Awaitable[None]]
"""As `AsyncServer.emit`."""
Cut = Callable[[str], Awaitable[None]]
Said = tuple[str, tuple[Any, ...], Callable[..., Any] | None]
"""An event, its values, and who hears of its acknowledgement."""


@dataclass
class _Socket:
    """A browser's socket, its like at the application, and what it has said that is not passed on yet."""

    sid: str
    task: asyncio.Task[None] | None = None
    client: socketio.AsyncClient | None = None
    waiting: list[Said] = field(default_factory=list)
    has_spoken: bool = False


class _Client(socketio.AsyncClient):  # type: ignore[misc]  # it has no types
    """A Socket.IO client that passes on whatever is told, with the acknowledgement that was asked for."""

    def __init__(self, tell: Tell, **options: object) -> None:
        super().__init__(**options)
        self.tell = tell

    async def _handle_event(self, namespace: str, id: int | None, data: list[Any]) -> None:  # noqa: A002 - its name there
        event, *values = data

        async def acknowledge(*answer: object) -> None:
            with contextlib.suppress(SocketIOError):
                await self._send_packet(self.packet_class(packet.ACK, namespace=namespace, id=id, data=list(answer)))

        await self.tell(event, tuple(values), callback=None if id is None else acknowledge)


class Sockets:
    """The sockets at the application at `url`, one for each browser that comes.

    `ours` are the events that the gateway itself tells, which nobody else may; `keeps_tokens`: whether the token that
    a browser signs in with is for us alone.
    """

    def __init__(self, url: str, ours: Collection[str], *, keeps_tokens: bool) -> None:
        self.url = httpx.URL(url)
        self.ours = frozenset(ours)
        self.keeps_tokens = keeps_tokens
        self.sockets: dict[str, _Socket] = {}

    def serve(self, tell: Tell, cut: Cut) -> None:
        """Tell browsers by `tell` what the application says to them; `cut` has one come again by itself."""
        self.tell, self.cut = tell, cut

    # --- what browsers do

    def open(self, sid: str, environ: Mapping[str, Any], auth: object) -> None:
        """A browser has come. One that says `auth: {application: false}` wants nothing of the application."""
        if isinstance(auth, dict) and auth.get("application") is False:
            return
        if len(self.sockets) >= MOST_SOCKETS:
            log.warning("upstream.sockets_full", most=MOST_SOCKETS)
            return
        socket = self.sockets[sid] = _Socket(sid)
        socket.task = asyncio.create_task(self._keep_connected(socket, environ["asgi.scope"], self._auth(auth)))

    def close(self, sid: str) -> None:
        """A browser has gone."""
        socket = self.sockets.pop(sid, None)
        if socket is not None and socket.task is not None:
            socket.task.cancel()

    async def say(self, sid: str, event: str, values: tuple[Any, ...], heard: Callable[..., Any] | None) -> None:
        """A browser says something that is not for us. `heard` gets the application's acknowledgement."""
        socket = self.sockets.get(sid)
        if socket is None:
            return
        socket.has_spoken = True
        if socket.client is not None:
            with contextlib.suppress(SocketIOError):  # it has just gone; nobody acknowledges what it did not hear
                await socket.client.emit(event, values, callback=heard)
        elif len(socket.waiting) < MOST_WAITING:
            socket.waiting.append((event, values, heard))

    # --- what the application does

    async def _keep_connected(self, socket: _Socket, scope: Scope, auth: object) -> None:
        pause, was_connected = FIRST_PAUSE_SECONDS, False
        while True:
            client = _Client(
                functools.partial(self._tell, socket.sid),
                reconnection=False,
                handle_sigint=False,
                # Not as `headers`: those would have each cookie read and written anew.
                websocket_extra_options={"headers": self._headers(scope)},
            )
            begun = time.monotonic()
            try:
                await client.connect(
                    self._address(scope), auth=auth, transports=["websocket"], wait_timeout=CONNECT_SECONDS,
                    socketio_path=f"{self.url.path.rstrip('/')}/socket.io",
                )  # fmt: skip
                if was_connected and socket.has_spoken:
                    # The application has forgotten what this browser said to it; coming again, it says it once more.
                    await self.cut(socket.sid)
                    return
                was_connected = True
                await self._say_what_waited(socket, client)
                await client.eio.wait()
            except Exception as error:  # noqa: BLE001 - whatever ails the application, the browser goes on without it
                log.info("upstream.socket_away", error=repr(error))
            finally:
                socket.client = None
                await _closed(client)
            if time.monotonic() - begun > LONGEST_PAUSE_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _say_what_waited(self, socket: _Socket, client: socketio.AsyncClient) -> None:
        while socket.waiting:
            event, values, heard = socket.waiting.pop(0)
            await client.emit(event, values, callback=heard)
        socket.client = client

    async def _tell(self, sid: str, event: str, values: tuple[Any, ...], callback: Callable[..., Any] | None) -> None:
        if event not in self.ours and event not in RESERVED:
            await self.tell(event, values, to=sid, callback=callback)

    # --- how we come there

    def _address(self, scope: Scope) -> str:
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        passed = urlencode([(name, value) for name, value in query if name not in OF_THE_TRANSPORT])
        return str(self.url.copy_with(raw_path=b"/")) + (f"?{passed}" if passed else "")

    def _headers(self, scope: Scope) -> dict[str, str]:
        passed: dict[str, str] = {}
        for name, value in to_application(scope, b""):
            if name not in NOT_FOR_SOCKETS and not name.startswith(b"sec-websocket-"):
                passed[name.decode("latin-1")] = value.decode("latin-1")
        return passed

    def _auth(self, auth: object) -> object:
        if not isinstance(auth, dict):
            return auth
        token = auth.get("token")
        is_ours = self.keeps_tokens or (isinstance(token, str) and token.startswith(OUR_KEYS.decode()))
        dropped = {"feed", "application", *(("token",) if is_ours else ())}
        return {name: value for name, value in auth.items() if name not in dropped}


async def _closed(client: socketio.AsyncClient) -> None:
    """Close a client, however far it has come."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CONNECT_SECONDS):
            await client.shutdown()
    if client.eio.http is not None:
        await client.eio.http.close()
