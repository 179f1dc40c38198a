"""Sends video events to Socket.IO clients: one room per video, one per owner, and one for all videos."""

import asyncio
import math
from collections import defaultdict
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import UUID

import socketio
import structlog
from pydantic import Field, ValidationError

from gateway.access.keys import CACHE_SECONDS
from gateway.access.service import Access, Caller
from gateway.http.errors import problem_of
from gateway.http.rate_limit import TooManyCalls
from gateway.internal_messages import LiveEvent
from gateway.live.socket_server import MAX_QUEUED, SocketServer
from gateway.settings import Settings
from gateway.upstream.sockets import UpstreamSockets
from gateway.videos.event_stream import EventStream, is_news
from shared.contracts.base import Contract

log = structlog.get_logger()

MAX_MESSAGE_BYTES = 16_384
"""Of one message from a client; a subscription needs 200."""
DRAIN_SECONDS = 0.02
SILENT_SECONDS = 2.0
"""A new socket that says nothing for so long is taken for one that never subscribes."""


class _Subscription(Contract):
    video_id: UUID
    last_seq: Annotated[int, Field(ge=0)] | None = None


@dataclass
class _Client:
    """A connected client. `held` are the events since it connected, until it subscribes or has been silent."""

    caller: Caller
    wants_all: bool = False
    held: list[LiveEvent] = field(default_factory=list)


class Rooms:
    """Sends events to sockets. A socket that never subscribes gets all videos that its caller may see.

    Subscribing to a video ends that, unless the client has asked for all videos explicitly: a page about one video
    gets that video, and a page with a list gets all and catches up on each. A page that subscribes late connects with
    `auth: {feed: false}`. Events that the gateway does not know go to `upstream`, and the upstream's events come back.
    """

    def __init__(
        self, event_stream: EventStream, access: Access, settings: Settings, upstream: UpstreamSockets | None = None
    ) -> None:
        self.event_stream = event_stream
        self.upstream = upstream
        self.access = access
        self.sends_all = settings.socket_feed
        self.origins = settings.cors_origins
        self.server = SocketServer(
            self._count,
            async_mode="asgi",
            # None: the page's own origin only.
            cors_allowed_origins=self._allows_origin if settings.cors_origins else None,
            # With `*`, every page on the web could connect with its visitor's cookie.
            cors_credentials="*" not in settings.cors_origins,
            max_http_buffer_size=MAX_MESSAGE_BYTES,
            ping_interval=settings.socket_ping_seconds,
            ping_timeout=settings.socket_pong_seconds,
        )
        self.server.upstream = upstream
        if upstream is not None:
            upstream.connect_to(self.server.emit, self.server.cut)
        self.server.on("connect", self._connect)
        self.server.on("disconnect", self._disconnect)
        self.server.on("subscribe_video_updates", self._subscribe)
        self.server.on("unsubscribe_video_updates", self._unsubscribe)
        self.key_checks: dict[str, asyncio.Task[None]] = {}
        """For each socket of a key: the task that disconnects it when the key is no longer valid."""
        self.ahead: defaultdict[UUID, dict[str, float]] = defaultdict(dict)
        """Sockets that got more of a video than its room, and up to which `seq`; infinity while they catch up."""
        self.new: dict[str, _Client] = {}
        """Sockets that have connected and said nothing yet."""
        self.tasks: set[asyncio.Task[None]] = set()
        event_stream.listeners.append(self._emit)

    # --- events for sockets

    async def _emit(self, video_id: UUID, owner: str, event: LiveEvent) -> None:
        # One emit for all rooms: the event is encoded once, and a socket in several rooms gets it once.
        for client in self.new.values():
            if client.caller.visible_owner in (None, owner):
                client.held.append(event)
        rooms = [_video_room(video_id), _owner_room(owner), _owner_room(None)]
        await self.server.emit(event.type, event.data, room=rooms, skip_sid=self._up_to_date(video_id, event))

    def _up_to_date(self, video_id: UUID, event: LiveEvent) -> list[str]:
        """Return the sockets that have this event already."""
        if video_id not in self.ahead:
            return []
        ahead = self.ahead[video_id]
        up_to_date = [sid for sid, seq in ahead.items() if seq == math.inf or not is_news(event, int(seq))]
        for sid in [sid for sid, seq in ahead.items() if seq <= (event.seq or 0)]:
            self._no_longer_ahead(video_id, sid)
        return up_to_date

    def _no_longer_ahead(self, video_id: UUID, sid: str) -> None:
        self.ahead[video_id].pop(sid, None)
        if not self.ahead[video_id]:
            del self.ahead[video_id]

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    # --- connections

    def _allows_origin(self, origin: str | None, environ: Mapping[str, Any]) -> bool:
        """Return whether a page of this origin may open a socket: a configured origin, or our own."""
        return "*" in self.origins or self._is_named(origin, environ)

    def _is_named(self, origin: str | None, environ: Mapping[str, Any]) -> bool:
        if origin is None or origin in self.origins:
            return True
        # An opaque origin ("null", of a sandboxed frame) and a file have no host; any page can create one.
        host = urlsplit(origin).netloc
        hosts = (environ.get("HTTP_HOST", ""), environ.get("HTTP_X_FORWARDED_HOST", "").split(",")[0].strip())
        return bool(host) and host in hosts

    async def _connect(self, sid: str, environ: dict[str, Any], auth: object = None) -> None:
        try:
            if not self._is_named(environ.get("HTTP_ORIGIN"), environ):
                # Any page on the web: CORS does not keep browsers from adding the cookie to a WebSocket.
                environ = {**environ, "HTTP_COOKIE": ""}
            caller = await self.access.identify_socket(environ, auth)
            caller.require("read")
            await self.access.count(caller)
        except Exception as error:
            raise socketio.exceptions.ConnectionRefusedError(_reason(error)) from error
        client = _Client(caller)
        await self.server.save_session(sid, client)
        if caller.key_id is not None:
            self.key_checks[sid] = asyncio.create_task(self._disconnect_with_key(sid, caller))
        if self.sends_all and not (isinstance(auth, dict) and auth.get("feed") is False):
            # A client that reconnects and subscribes must get what it missed before it gets new events.
            self.new[sid] = client
            self._start(self._wait_until_silent(sid))
        if self.upstream is not None:
            self.upstream.open(sid, environ, auth)

    async def _count(self, sid: str) -> dict[str, object] | None:
        """Count an event of a client; return its refusal when the client exceeds its rate limit."""
        client: _Client = await self.server.get_session(sid)
        try:
            await self.access.count(client.caller)
        except TooManyCalls as error:
            return {"ok": False, "error": _reason(error)}
        return None

    async def _disconnect_with_key(self, sid: str, caller: Caller) -> None:
        is_valid = True
        while is_valid:
            await asyncio.sleep(CACHE_SECONDS)
            try:
                is_valid = await self.access.is_valid(caller)
            except Exception as error:  # noqa: BLE001 - checked again in a few seconds
                log.warning("socket.key_not_checked", error=repr(error))
        await self.server.disconnect(sid)

    async def _wait_until_silent(self, sid: str) -> None:
        await asyncio.sleep(SILENT_SECONDS)
        await self._send_all(sid)

    async def _send_all(self, sid: str) -> None:
        """Send a new socket what was held back, and from now on all videos, unless it has said what it wants."""
        while (client := self.new.get(sid)) is not None and client.held:
            await self._send(sid, client.held.pop(0))
        if client is not None:
            del self.new[sid]
            await self.server.enter_room(sid, _owner_room(client.caller.visible_owner))

    async def _disconnect(self, sid: str, _reason: str) -> None:
        if (check := self.key_checks.pop(sid, None)) is not None and check is not asyncio.current_task():
            check.cancel()
        self.new.pop(sid, None)
        if self.upstream is not None:
            self.upstream.close(sid)
        for video_id in [video_id for video_id, ahead in self.ahead.items() if sid in ahead]:
            self._no_longer_ahead(video_id, sid)

    # --- subscriptions

    async def _subscribe(self, sid: str, target: object = None) -> dict[str, object]:
        """Subscribe to a video, by `{videoId, lastSeq?}` or its bare id, or without argument to all videos."""
        client: _Client = await self.server.get_session(sid)
        caller = client.caller
        try:
            if target is None:
                client.wants_all = True
                await self._send_all(sid)
                await self.server.enter_room(sid, _owner_room(caller.visible_owner))
                return {"ok": True}
            subscription = _subscription(target)
            row = await self.event_stream.queries.get(subscription.video_id, owner=caller.visible_owner)
            if not client.wants_all:
                self.new.pop(sid, None)
                await self.server.leave_room(sid, _owner_room(caller.visible_owner))
            # A client that claims more events than there are would get nothing until then.
            last_seq = None if subscription.last_seq is None else min(subscription.last_seq, row.last_seq)
            await self._join(sid, subscription.video_id, last_seq)
        except Exception as error:  # noqa: BLE001 - `_reason` raises internal errors again
            return {"ok": False, "error": _reason(error)}
        return {"ok": True}

    async def _join(self, sid: str, video_id: UUID, last_seq: int | None) -> None:
        """Replay missed events while buffering new ones; enter the room once nothing is left to replay."""
        self.ahead[video_id][sid] = math.inf
        seen = last_seq or 0
        try:
            with self.event_stream.subscribe(video_id) as buffer:
                missed = await self.event_stream.missed(video_id, last_seq)
                while missed:
                    for event in missed:
                        if is_news(event, seen):
                            await self._send(sid, event)
                            seen = event.seq or seen
                    missed = list(buffer.events)
                    buffer.events.clear()
                if buffer.too_slow:
                    await self.server.disconnect(sid)
                elif self.server.manager.is_connected(sid, "/"):
                    await self.server.enter_room(sid, _video_room(video_id))
        finally:
            if sid in self.ahead.get(video_id, {}):
                self.ahead[video_id][sid] = seen

    async def _send(self, sid: str, event: LiveEvent) -> None:
        """Send an event to one client, and wait while its queue is long."""
        await self.server.emit(event.type, event.data, to=sid)
        socket = self.server.eio.sockets.get(self.server.manager.eio_sid_from_sid(sid, "/"))
        # engineio's queue has no signal for getting shorter.
        while socket is not None and not socket.closed and socket.queue.qsize() > MAX_QUEUED // 2:  # noqa: ASYNC110
            await asyncio.sleep(DRAIN_SECONDS)

    async def _unsubscribe(self, sid: str, target: object = None) -> dict[str, object]:
        client: _Client = await self.server.get_session(sid)
        if target is None:
            client.wants_all = False
            self.new.pop(sid, None)
            await self.server.leave_room(sid, _owner_room(client.caller.visible_owner))
            return {"ok": True}
        try:
            subscription = _subscription(target)
        except ValidationError as error:
            return {"ok": False, "error": _reason(error)}
        await self.server.leave_room(sid, _video_room(subscription.video_id))
        return {"ok": True}


def _subscription(target: object) -> _Subscription:
    return _Subscription.model_validate({"videoId": target} if isinstance(target, str) else target)


def _reason(error: Exception) -> str:
    """Return the text of an error for people. Raises internal errors again."""
    if isinstance(error, ValidationError):
        return "videoId must be a UUID, lastSeq a number"
    problem = problem_of(error)
    if problem is None:
        raise error
    return problem.detail or problem.title


def _video_room(video_id: UUID) -> str:
    return f"video:{video_id}"


def _owner_room(owner: str | None) -> str:
    return "all" if owner is None else f"owner:{owner}"
