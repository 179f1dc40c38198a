"""Passes events between the sockets of browsers and the application's own Socket.IO server.

Each browser's socket has a counterpart at the application, with the same cookies and headers, so the application knows
who listens. Our own events arrive even while the application is away or has no room.
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
from socketio.exceptions import SocketIOError
from starlette.types import Scope

from gateway.socket_packets import PacketReader, Part, acknowledgement, event_of
from gateway.upstream.headers import OUR_KEYS, to_application

log = structlog.get_logger()

MAX_SOCKETS = 1000
"""Per replica. Browsers beyond that get only our own events."""
MAX_WAITING = 50
"""Events of one browser that wait for the connection to the application; further ones are lost."""
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
"""Names with a meaning of their own in a Socket.IO library, on either side."""
OF_THE_TRANSPORT = ("EIO", "transport", "sid", "t", "j", "b64", "token")
NOT_FOR_SOCKETS = (b"content-length", b"content-type", b"accept-encoding", b"host")

Emit = Callable[..., Awaitable[None]]
"""Has the signature of `AsyncServer.emit`."""
Cut = Callable[[str], Awaitable[None]]
Event = tuple[str, tuple[Any, ...], Callable[..., Any] | None]
"""The name of an event, its values, and the callback for its acknowledgement."""


@dataclass
class _Socket:
    """A browser's socket, its counterpart at the application, and the events that are not passed on yet."""

    sid: str
    task: asyncio.Task[None] | None = None
    client: socketio.AsyncClient | None = None
    waiting: list[Event] = field(default_factory=list)
    has_spoken: bool = False


class _Client(socketio.AsyncClient):  # type: ignore[misc]  # it has no types
    """A Socket.IO client that passes every event on, with the callback for its acknowledgement if one is expected."""

    def __init__(self, emit: Emit, **options: object) -> None:
        super().__init__(**options)
        self.emit_to_browser = emit
        self.reader = PacketReader()
        self.library_read = self.eio.handlers["message"]
        self.eio.on("message", self._read)

    async def _read(self, data: Part) -> None:
        parts = self.reader.read(data)
        if parts is None:
            return
        event = event_of(parts)
        if event is None:
            for part in parts:
                await self.library_read(part)
            return
        name, *values = event.data

        async def acknowledge(*answer: object) -> None:
            with contextlib.suppress(SocketIOError):
                for part in acknowledgement(event, answer):
                    await self.eio.send(part)

        await self.emit_to_browser(name, tuple(values), callback=None if event.id is None else acknowledge)


class UpstreamSockets:
    """The sockets at the application at `url`, one for each browser.

    `ours` are the gateway's own events, which the application may not send. `keeps_tokens`: the token that a browser
    signs in with is for the gateway only.
    """

    def __init__(self, url: str, ours: Collection[str], *, keeps_tokens: bool) -> None:
        self.url = httpx.URL(url)
        self.ours = frozenset(ours)
        self.keeps_tokens = keeps_tokens
        self.sockets: dict[str, _Socket] = {}

    def connect_to(self, emit: Emit, cut: Cut) -> None:
        """Send the application's events to browsers by `emit`; `cut` makes a browser reconnect."""
        self.emit, self.cut = emit, cut

    # --- events of browsers

    def open(self, sid: str, environ: Mapping[str, Any], auth: object) -> None:
        """Open the counterpart of a browser's socket, unless it says `auth: {application: false}`."""
        if isinstance(auth, dict) and auth.get("application") is False:
            return
        if len(self.sockets) >= MAX_SOCKETS:
            log.warning("upstream.sockets_full", most=MAX_SOCKETS)
            return
        socket = self.sockets[sid] = _Socket(sid)
        socket.task = asyncio.create_task(self._keep_connected(socket, environ["asgi.scope"], self._auth(auth)))

    def close(self, sid: str) -> None:
        """Close the counterpart of a browser's socket."""
        socket = self.sockets.pop(sid, None)
        if socket is not None and socket.task is not None:
            socket.task.cancel()

    async def say(self, sid: str, event: str, values: tuple[Any, ...], callback: Callable[..., Any] | None) -> None:
        """Send a browser's event to the application; `callback` gets the acknowledgement."""
        socket = self.sockets.get(sid)
        if socket is None:
            return
        socket.has_spoken = True
        if socket.client is not None:
            with contextlib.suppress(SocketIOError):  # it has just disconnected: there will be no acknowledgement
                await socket.client.emit(event, values, callback=callback)
        elif len(socket.waiting) < MAX_WAITING:
            socket.waiting.append((event, values, callback))

    # --- events of the application

    async def _keep_connected(self, socket: _Socket, scope: Scope, auth: object) -> None:
        pause, was_connected = FIRST_PAUSE_SECONDS, False
        while True:
            client = _Client(
                functools.partial(self._emit, socket.sid),
                reconnection=False,
                handle_sigint=False,
                # Not as `headers`: the library would parse and rewrite the cookies.
                websocket_extra_options={"headers": self._headers(scope)},
            )
            begun = time.monotonic()
            try:
                await client.connect(
                    self._address(scope), auth=auth, transports=["websocket"], wait_timeout=CONNECT_SECONDS,
                    socketio_path=f"{self.url.path.rstrip('/')}/socket.io",
                )  # fmt: skip
                if was_connected and socket.has_spoken:
                    # The application has lost what this browser sent; when it reconnects, it sends that again.
                    await self.cut(socket.sid)
                    return
                was_connected = True
                await self._send_waiting(socket, client)
                await client.eio.wait()
            except Exception as error:  # noqa: BLE001 - without the application, the browser still gets our events
                log.info("upstream.socket_away", error=repr(error))
            finally:
                socket.client = None
                await _closed(client)
            if time.monotonic() - begun > LONGEST_PAUSE_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _send_waiting(self, socket: _Socket, client: socketio.AsyncClient) -> None:
        while socket.waiting:
            event, values, callback = socket.waiting.pop(0)
            await client.emit(event, values, callback=callback)
        socket.client = client

    async def _emit(self, sid: str, event: str, values: tuple[Any, ...], callback: Callable[..., Any] | None) -> None:
        if event not in self.ours and event not in RESERVED:
            await self.emit(event, values, to=sid, callback=callback)

    # --- the connection to the application

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
    """Close a client, however far it is connected."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CONNECT_SECONDS):
            await client.shutdown()
    if client.eio.http is not None:
        await client.eio.http.close()
