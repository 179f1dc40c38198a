"""A Socket.IO server that limits what one client can make it do."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import socketio
import structlog
from socketio import packet

from gateway.socket_packets import PacketReader, Part, acknowledgement, event_of
from gateway.upstream.sockets import RESERVED, UpstreamSockets

log = structlog.get_logger()

MAX_QUEUED = 500
"""Packets that wait for one client. Beyond that the slow client is dropped; it may reconnect and catch up."""
MAX_CONCURRENT_EVENTS = 8
"""Events of one client that are handled concurrently. The connection is not read while all of them run."""
MAX_ATTACHMENTS = 10
"""Binary attachments of one event; they stay in memory until all have arrived."""
MAX_UNSIGNED = 1000
"""Connections that have not signed in. Further ones are refused, and may retry."""
SIGN_IN_SECONDS = 10.0
"""How long a connection may stay open before it signs in."""

CountEvent = Callable[[str], Awaitable[object | None]]
"""Counts an event of a client. Returns None, or the acknowledgement that refuses the event."""


class _SendQueue(asyncio.Queue[Any]):
    """The packets that wait for one client. When it is full, it takes no more, and the client is dropped."""

    def __init__(self, drop: Callable[["_SendQueue"], None]) -> None:
        super().__init__()
        self.drop = drop
        self.is_full = False

    async def put(self, packet: object) -> None:
        """Add a packet. `None`, which ends the sending, always fits."""
        if packet is not None and self.qsize() >= MAX_QUEUED:
            if not self.is_full:
                self.is_full = True
                self.drop(self)
            return
        self.put_nowait(packet)


class SocketServer(socketio.AsyncServer):  # type: ignore[misc]  # it has no types
    """A Socket.IO server that passes events without a handler on to `upstream`, if there is one.

    The library dispatches by name, so a client's event named `disconnect` would call our disconnect handler: reserved
    names are dropped. `count_event` is asked about every other event.
    """

    upstream: UpstreamSockets | None = None

    def __init__(self, count_event: CountEvent, **options: Any) -> None:  # noqa: ANN401 - the library's own
        super().__init__(**options)
        self.count_event = count_event
        self.library = dict(self.eio.handlers)
        """python-socketio's own handlers of Engine.IO's events."""
        self.eio.on("connect", self._open)
        self.eio.on("message", self._read)
        self.eio.on("disconnect", self._close)
        self.eio.create_queue = lambda: _SendQueue(self._drop_slow)
        self.tasks: set[asyncio.Task[Any]] = set()
        self.readers: dict[str, PacketReader] = {}
        self.unsigned: dict[str, asyncio.Task[None]] = {}
        """For each connection that has not signed in: the task that closes it after `SIGN_IN_SECONDS`."""
        self.slots: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(MAX_CONCURRENT_EVENTS))

    # --- connections

    async def _open(self, eio_sid: str, environ: dict[str, Any]) -> bool | None:
        if len(self.unsigned) >= MAX_UNSIGNED:
            log.warning("socket.too_many_unsigned", most=MAX_UNSIGNED)
            return False
        self.readers[eio_sid] = PacketReader(MAX_ATTACHMENTS)
        self.unsigned[eio_sid] = asyncio.create_task(self._close_unsigned(eio_sid))
        await self.library["connect"](eio_sid, environ)
        return None

    async def _close_unsigned(self, eio_sid: str) -> None:
        await asyncio.sleep(SIGN_IN_SECONDS)
        del self.unsigned[eio_sid]
        if (socket := self.eio.sockets.get(eio_sid)) is not None:
            await self._drop(eio_sid, socket)

    def _note_sign_in(self, eio_sid: str) -> None:
        if (closing := self.unsigned.pop(eio_sid, None)) is not None:
            closing.cancel()

    async def _close(self, eio_sid: str, reason: str) -> None:
        self._note_sign_in(eio_sid)
        self.slots.pop(eio_sid, None)
        self.readers.pop(eio_sid, None)
        await self.library["disconnect"](eio_sid, reason)

    def _drop_slow(self, queue: _SendQueue) -> None:
        for eio_sid, socket in self.eio.sockets.items():
            if socket.queue is queue:
                self._start(self._drop(eio_sid, socket))

    async def _drop(self, eio_sid: str, socket: Any) -> None:  # noqa: ANN401 - engineio has no types
        log.warning("socket.dropped", queued=socket.queue.qsize())
        environ = self.environ.get(eio_sid, {})
        while not socket.queue.empty():
            socket.queue.get_nowait()
        await socket.close(wait=False, abort=True, reason=self.reason.SERVER_DISCONNECT)
        await socket.queue.put(None)
        # A clean close would wait, maybe forever, until the client has taken what was sent before.
        if environ.get("asgi.scope", {}).get("type") == "websocket":
            connection = getattr(environ["asgi.send"], "__self__", None)
            if transport := getattr(connection, "transport", None):
                transport.abort()

    async def cut(self, sid: str) -> None:
        """Cut a client's connection; it reconnects by itself."""
        eio_sid = self.manager.eio_sid_from_sid(sid, "/")
        if (socket := self.eio.sockets.get(eio_sid)) is not None:
            await self._drop(eio_sid, socket)

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    # --- events

    async def _read(self, eio_sid: str, data: Part) -> None:
        reader = self.readers.get(eio_sid)
        if reader is None:
            return
        parts = reader.read(data)
        sid = self.manager.sid_from_eio_sid(eio_sid, "/")
        if parts is None:
            if sid is None:
                raise ValueError("a binary packet before the sign-in")  # as the library does: the connection ends
            return
        event = event_of(parts)
        if event is None:
            for part in parts:
                await self.library["message"](eio_sid, part)
            if self.manager.sid_from_eio_sid(eio_sid, "/") is not None:
                self._note_sign_in(eio_sid)
        elif sid is not None and self.manager.is_connected(sid, "/") and _is_ours(event):
            await self._receive(sid, eio_sid, event)

    async def _receive(self, sid: str, eio_sid: str, event: packet.Packet) -> None:
        refused = await self.count_event(sid)
        if refused is not None:
            await self._acknowledge(eio_sid, event, refused)
            return
        slots = self.slots[eio_sid]
        # Waiting here stops the reading of this connection, so nothing piles up on our side.
        await slots.acquire()
        handling = self._start(self._handle(sid, eio_sid, event))
        handling.add_done_callback(lambda _: slots.release())

    async def _handle(self, sid: str, eio_sid: str, event: packet.Packet) -> None:
        name, *values = event.data
        handler = self.handlers["/"].get(name)
        if handler is not None:
            try:
                answer = await handler(sid, *values)
            except Exception:  # nobody awaits this task
                log.exception("socket.event_failed", name=name)
                return
            await self._acknowledge(eio_sid, event, answer)
            return

        async def acknowledge(*answer: object) -> None:
            await self._acknowledge(eio_sid, event, *answer)

        if self.upstream is not None:
            await self.upstream.say(sid, name, tuple(values), None if event.id is None else acknowledge)

    async def _acknowledge(self, eio_sid: str, event: packet.Packet, *answer: object) -> None:
        if event.id is None:
            return
        for part in acknowledgement(event, answer):
            await self.eio.send(eio_sid, part)


def _is_ours(event: packet.Packet) -> bool:
    data = event.data
    is_named = isinstance(data, list) and data and isinstance(data[0], str)
    return (event.namespace or "/") == "/" and bool(is_named) and data[0] not in RESERVED
