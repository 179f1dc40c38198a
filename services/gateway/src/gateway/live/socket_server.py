"""The Socket.IO server, with limits on what one client can have it do."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import socketio
import structlog
from socketio import packet

from gateway.upstream.sockets import RESERVED, Sockets

log = structlog.get_logger()

MOST_QUEUED = 500
"""Packets that wait for one client; a client that takes none is dropped then. It may come back and catch up."""
MOST_EVENTS_AT_ONCE = 8
"""Events of one client that are handled at once. The next one is read from the connection when one of them is done."""
MOST_ATTACHMENTS = 10
"""Binary parts of one event: they are kept until all are there."""
MOST_UNSIGNED = 1000
"""Connections that have not signed in. One more is refused, and may try again."""
SIGN_IN_SECONDS = 10.0
"""How long a connection may stay open without having signed in."""

Admit = Callable[[str], Awaitable[object | None]]
"""Counts an event of a client. Returns None, or what to acknowledge it with instead of handling it."""


class _SendQueue(asyncio.Queue[Any]):
    """What waits to be sent to one client: when it is full, it takes no more and the client is dropped."""

    def __init__(self, drop: Callable[["_SendQueue"], None]) -> None:
        super().__init__()
        self.drop = drop
        self.full_up = False

    async def put(self, packet: object) -> None:
        """Add a packet. `None`, which ends the sending, always fits."""
        if packet is not None and self.qsize() >= MOST_QUEUED:
            if not self.full_up:
                self.full_up = True
                self.drop(self)
            return
        self.put_nowait(packet)


class Server(socketio.AsyncServer):  # type: ignore[misc]  # it has no types
    """A Socket.IO server whose `others`, where there are any, hear the events that it has no handler for.

    The library dispatches by name, so a client that sent an event named `disconnect` would call our handler of
    disconnections: reserved names are dropped here. `admit` is asked about every other event.
    """

    others: Sockets | None = None

    def __init__(self, admit: Admit, **options: Any) -> None:  # noqa: ANN401 - the library's own
        super().__init__(**options)
        self.admit = admit
        self.eio.create_queue = lambda: _SendQueue(self._drop_slow)
        self.tasks: set[asyncio.Task[Any]] = set()
        self.unsigned: dict[str, asyncio.Task[None]] = {}
        """For each connection that has not signed in: what closes it when it takes too long."""
        self.slots: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(MOST_EVENTS_AT_ONCE))

    # --- connections

    async def _handle_eio_connect(self, eio_sid: str, environ: dict[str, Any]) -> bool | None:
        if len(self.unsigned) >= MOST_UNSIGNED:
            log.warning("socket.too_many_unsigned", most=MOST_UNSIGNED)
            return False
        self.unsigned[eio_sid] = asyncio.create_task(self._close_unsigned(eio_sid))
        await super()._handle_eio_connect(eio_sid, environ)
        return None

    async def _close_unsigned(self, eio_sid: str) -> None:
        await asyncio.sleep(SIGN_IN_SECONDS)
        del self.unsigned[eio_sid]
        if (socket := self.eio.sockets.get(eio_sid)) is not None:
            await self._drop(eio_sid, socket)

    async def _handle_connect(self, eio_sid: str, namespace: str | None, data: object) -> None:
        await super()._handle_connect(eio_sid, namespace, data)
        if self.manager.sid_from_eio_sid(eio_sid, "/") is not None:
            self._is_signed(eio_sid)

    def _is_signed(self, eio_sid: str) -> None:
        if (closing := self.unsigned.pop(eio_sid, None)) is not None:
            closing.cancel()

    async def _handle_eio_disconnect(self, eio_sid: str, reason: str) -> None:
        self._is_signed(eio_sid)
        self.slots.pop(eio_sid, None)
        self._binary_packet.pop(eio_sid, None)
        await super()._handle_eio_disconnect(eio_sid, reason)

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
        # Closing a connection politely would wait, maybe for ever, until the client has taken what was sent before.
        if environ.get("asgi.scope", {}).get("type") == "websocket":
            connection = getattr(environ["asgi.send"], "__self__", None)
            if transport := getattr(connection, "transport", None):
                transport.abort()

    async def cut(self, sid: str) -> None:
        """Cut off a client, which comes again by itself."""
        eio_sid = self.manager.eio_sid_from_sid(sid, "/")
        if (socket := self.eio.sockets.get(eio_sid)) is not None:
            await self._drop(eio_sid, socket)

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    # --- events

    async def _handle_eio_message(self, eio_sid: str, data: object) -> None:
        await super()._handle_eio_message(eio_sid, data)
        begun = self._binary_packet.get(eio_sid)
        if begun is not None and begun.attachment_count > MOST_ATTACHMENTS:
            del self._binary_packet[eio_sid]
            raise ValueError("too many attachments")  # as the library does: the connection ends

    async def _handle_event(self, eio_sid: str, namespace: str | None, id: int | None, data: Any) -> None:  # noqa: A002, ANN401 - the library's own
        sid = self.manager.sid_from_eio_sid(eio_sid, "/")
        is_event = isinstance(data, list) and data and isinstance(data[0], str)
        if (namespace or "/") != "/" or not is_event or data[0] in RESERVED:
            return
        if sid is None or not self.manager.is_connected(sid, "/"):
            return
        refused = await self.admit(sid)
        if refused is not None:
            if id is not None:
                await self._acknowledge(eio_sid, id, refused)
            return
        slots = self.slots[eio_sid]
        # Waiting here stops the reading of this connection, so nothing piles up on our side.
        await slots.acquire()
        handling = self._start(self._handle_event_internal(self, sid, eio_sid, data, "/", id))
        handling.add_done_callback(lambda _: slots.release())

    async def _handle_event_internal(
        self,
        server: Any,  # noqa: ANN401 - the library's own
        sid: str,
        eio_sid: str,
        data: list[Any],
        namespace: str,
        id: int | None,  # noqa: A002 - its name there
    ) -> None:
        event, *values = data
        if self.others is None or event in self.handlers.get("/", {}):
            await super()._handle_event_internal(server, sid, eio_sid, data, namespace, id)
            return

        async def acknowledge(*answer: object) -> None:
            if id is not None:
                await self._acknowledge(eio_sid, id, *answer)

        await self.others.say(sid, event, tuple(values), None if id is None else acknowledge)

    async def _acknowledge(self, eio_sid: str, id: int, *answer: object) -> None:  # noqa: A002 - as above
        await self._send_packet(eio_sid, self.packet_class(packet.ACK, namespace="/", id=id, data=list(answer)))
