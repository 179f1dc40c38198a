"""The Socket.IO server of one replica: rooms for each video, for each owner, and for all."""

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

from gateway.access.keys import KEPT_SECONDS
from gateway.access.service import Access, Caller
from gateway.http.errors import problem_of
from gateway.http.rate_limit import TooManyCalls
from gateway.internal_messages import LiveEvent
from gateway.live.socket_server import MOST_QUEUED, Server
from gateway.settings import Settings
from gateway.upstream.sockets import Sockets
from gateway.videos.event_stream import EventStream, is_news
from shared.contracts.story import Contract

log = structlog.get_logger()

MOST_BYTES = 16_384
"""Of what a client says at once; a subscription needs 200."""
CATCH_BREATH_SECONDS = 0.02
SILENT_SECONDS = 2.0
"""After so long without a word, a new socket is taken for one that never subscribes."""


class _Subscription(Contract):
    video_id: UUID
    last_seq: Annotated[int, Field(ge=0)] | None = None


@dataclass
class _Listening:
    """Who listens at a socket, and whether they have said that they want all their videos.

    `held` is what happened since they came, until they say what they want to hear, or have been silent for a while.
    """

    caller: Caller
    wants_all: bool = False
    held: list[LiveEvent] = field(default_factory=list)


class Live:
    """Tells sockets what happens. A socket that never subscribed hears all videos that its caller sees.

    Subscribing to a video ends that, unless all were asked for in so many words; so a page about one video hears of
    that one, and a page with a list hears of all and catches up on each. A page that takes its time to subscribe says
    `auth: {feed: false}` when it connects. What is not for us goes to `others`, and what they tell comes from there.
    """

    def __init__(
        self, event_stream: EventStream, access: Access, settings: Settings, others: Sockets | None = None
    ) -> None:
        self.event_stream = event_stream
        self.others = others
        self.access = access
        self.tells_all = settings.socket_feed
        self.origins = settings.cors_origins
        self.server = Server(
            self._admit,
            async_mode="asgi",
            # None: the page's own origin only.
            cors_allowed_origins=self._takes_page if settings.cors_origins else None,
            # Any page at all must not call with the cookie of whoever looks at it.
            cors_credentials="*" not in settings.cors_origins,
            max_http_buffer_size=MOST_BYTES,
            ping_interval=settings.socket_ping_seconds,
            ping_timeout=settings.socket_pong_seconds,
        )
        self.server.others = others
        if others is not None:
            others.serve(self.server.emit, self.server.cut)
        self.server.on("connect", self._connect)
        self.server.on("disconnect", self._disconnect)
        self.server.on("subscribe_video_updates", self._subscribe)
        self.server.on("unsubscribe_video_updates", self._unsubscribe)
        self.guarding: dict[str, asyncio.Task[None]] = {}
        """For each socket of a key: who ends it when the key holds no more."""
        self.ahead: defaultdict[UUID, dict[str, float]] = defaultdict(dict)
        """Sockets that know more of a video than its room was told, and up to which event; without end: they are
        catching up."""
        self.new: dict[str, _Listening] = {}
        """Sockets that have just come."""
        self.tasks: set[asyncio.Task[None]] = set()
        event_stream.listeners.append(self._emit)

    # --- what sockets hear

    async def _emit(self, video_id: UUID, owner: str, event: LiveEvent) -> None:
        # One emit for all rooms: it is encoded once, and a socket in several of them hears it once.
        for listening in self.new.values():
            if listening.caller.visible_owner in (None, owner):
                listening.held.append(event)
        rooms = [_room(video_id), _feed_of(owner), _feed_of(None)]
        await self.server.emit(event.type, event.data, room=rooms, skip_sid=self._who_know(video_id, event))

    def _who_know(self, video_id: UUID, event: LiveEvent) -> list[str]:
        """The sockets to which this event is no news."""
        if video_id not in self.ahead:
            return []
        ahead = self.ahead[video_id]
        know = [sid for sid, seq in ahead.items() if seq == math.inf or not is_news(event, int(seq))]
        for sid in [sid for sid, seq in ahead.items() if seq <= (event.seq or 0)]:
            self._is_level(video_id, sid)
        return know

    def _is_level(self, video_id: UUID, sid: str) -> None:
        self.ahead[video_id].pop(sid, None)
        if not self.ahead[video_id]:
            del self.ahead[video_id]

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    # --- what sockets say

    def _takes_page(self, origin: str | None, environ: Mapping[str, Any]) -> bool:
        """Whether a page of this origin may open a socket: one that was named, or our own."""
        return "*" in self.origins or self._is_named(origin, environ)

    def _is_named(self, origin: str | None, environ: Mapping[str, Any]) -> bool:
        if origin is None or origin in self.origins:
            return True
        # An opaque origin ("null", of a sandboxed frame) and a file have no host; any page can make one.
        host = urlsplit(origin).netloc
        hosts = (environ.get("HTTP_HOST", ""), environ.get("HTTP_X_FORWARDED_HOST", "").split(",")[0].strip())
        return bool(host) and host in hosts

    async def _connect(self, sid: str, environ: dict[str, Any], auth: object = None) -> None:
        try:
            if not self._is_named(environ.get("HTTP_ORIGIN"), environ):
                # The page is any page at all; a browser adds the cookie to a WebSocket whatever CORS says.
                environ = {**environ, "HTTP_COOKIE": ""}
            caller = await self.access.identify_socket(environ, auth)
            caller.require("read")
            await self.access.count(caller)
        except Exception as error:
            raise socketio.exceptions.ConnectionRefusedError(_reason(error)) from error
        listening = _Listening(caller)
        await self.server.save_session(sid, listening)
        if caller.key_id is not None:
            self.guarding[sid] = asyncio.create_task(self._end_with_key(sid, caller))
        if self.tells_all and not (isinstance(auth, dict) and auth.get("feed") is False):
            # Who comes back and subscribes must not hear of what comes before they hear of what they missed.
            self.new[sid] = listening
            self._start(self._wait_for_a_word(sid))
        if self.others is not None:
            self.others.open(sid, environ, auth)

    async def _admit(self, sid: str) -> dict[str, object] | None:
        """Count what a client says; returns what it is answered where that is too much."""
        listening: _Listening = await self.server.get_session(sid)
        try:
            await self.access.count(listening.caller)
        except TooManyCalls as error:
            return {"ok": False, "error": _reason(error)}
        return None

    async def _end_with_key(self, sid: str, caller: Caller) -> None:
        holds = True
        while holds:
            await asyncio.sleep(KEPT_SECONDS)
            try:
                holds = await self.access.still_holds(caller)
            except Exception as error:  # noqa: BLE001 - the check must outlive any failure; the next one will tell
                log.warning("socket.key_not_checked", error=repr(error))
        await self.server.disconnect(sid)

    async def _wait_for_a_word(self, sid: str) -> None:
        await asyncio.sleep(SILENT_SECONDS)
        await self._hear_all(sid)

    async def _hear_all(self, sid: str) -> None:
        """Hear what was held back, and from now on all videos, unless they have said already what they want."""
        while (listening := self.new.get(sid)) is not None and listening.held:
            await self._send(sid, listening.held.pop(0))
        if listening is not None:
            del self.new[sid]
            await self.server.enter_room(sid, _feed_of(listening.caller.visible_owner))

    async def _disconnect(self, sid: str, _reason: str) -> None:
        if (guard := self.guarding.pop(sid, None)) is not None and guard is not asyncio.current_task():
            guard.cancel()
        self.new.pop(sid, None)
        if self.others is not None:
            self.others.close(sid)
        for video_id in [video_id for video_id, ahead in self.ahead.items() if sid in ahead]:
            self._is_level(video_id, sid)

    async def _subscribe(self, sid: str, asked: object = None) -> dict[str, object]:
        """A client names a video, by `{videoId, lastSeq?}` or by its bare id, or nothing for all videos."""
        listening: _Listening = await self.server.get_session(sid)
        caller = listening.caller
        try:
            if asked is None:
                listening.wants_all = True
                await self._hear_all(sid)
                await self.server.enter_room(sid, _feed_of(caller.visible_owner))
                return {"ok": True}
            wish = _Subscription.model_validate({"videoId": asked} if isinstance(asked, str) else asked)
            row = await self.event_stream.videos.get(wish.video_id, owner=caller.visible_owner)
            if not listening.wants_all:
                self.new.pop(sid, None)
                await self.server.leave_room(sid, _feed_of(caller.visible_owner))
            # A client that knows more than has happened would hear nothing until then.
            last_seq = None if wish.last_seq is None else min(wish.last_seq, row.last_seq)
            await self._join(sid, wish.video_id, last_seq)
        except Exception as error:  # noqa: BLE001 - the table knows which are ours; the others go on
            return {"ok": False, "error": _reason(error)}
        return {"ok": True}

    async def _join(self, sid: str, video_id: UUID, last_seq: int | None) -> None:
        """Replay what was missed while keeping what comes; hear what all hear from the moment nothing is left."""
        self.ahead[video_id][sid] = math.inf
        told = last_seq or 0
        try:
            with self.event_stream.subscribe(video_id) as buffer:
                missed = await self.event_stream.missed(video_id, last_seq)
                while missed:
                    for event in missed:
                        if is_news(event, told):
                            await self._send(sid, event)
                            told = event.seq or told
                    missed = list(buffer.events)
                    buffer.events.clear()
                if buffer.too_slow:
                    await self.server.disconnect(sid)
                elif self.server.manager.is_connected(sid, "/"):
                    await self.server.enter_room(sid, _room(video_id))
        finally:
            if sid in self.ahead.get(video_id, {}):
                self.ahead[video_id][sid] = told

    async def _send(self, sid: str, event: LiveEvent) -> None:
        """Send an event to one client, which has time to take it."""
        await self.server.emit(event.type, event.data, to=sid)
        socket = self.server.eio.sockets.get(self.server.manager.eio_sid_from_sid(sid, "/"))
        # engineio's queue tells nobody that it shrinks.
        while socket is not None and not socket.closed and socket.queue.qsize() > MOST_QUEUED // 2:  # noqa: ASYNC110
            await asyncio.sleep(CATCH_BREATH_SECONDS)

    async def _unsubscribe(self, sid: str, asked: object = None) -> dict[str, object]:
        listening: _Listening = await self.server.get_session(sid)
        if asked is None:
            listening.wants_all = False
            self.new.pop(sid, None)
            await self.server.leave_room(sid, _feed_of(listening.caller.visible_owner))
            return {"ok": True}
        try:
            wish = _Subscription.model_validate({"videoId": asked} if isinstance(asked, str) else asked)
        except ValidationError as error:
            return {"ok": False, "error": _reason(error)}
        await self.server.leave_room(sid, _room(wish.video_id))
        return {"ok": True}


def _reason(error: Exception) -> str:
    """Why not, for people. Raises what is none of our errors."""
    if isinstance(error, ValidationError):
        return "videoId must be a UUID, lastSeq a number"
    problem = problem_of(error)
    if problem is None:
        raise error
    return problem.detail or problem.title


def _room(video_id: UUID) -> str:
    return f"video:{video_id}"


def _feed_of(owner: str | None) -> str:
    return "all" if owner is None else f"owner:{owner}"
