"""Live updates: what watchers are told about a video, and the Socket.IO rooms they are told it in.

Every stored event has a `seq`, gapless per video. A client that subscribes with its `lastSeq` gets what it missed,
then what comes, each once and in order.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import socketio
import structlog
from pydantic import ValidationError

from gateway.steps import LiveEvent
from gateway.videos import Videos
from shared.contracts.story import Contract

log = structlog.get_logger()

FEED = "feed"
REMEMBERED_VIDEOS = 10_000


class _Subscription(Contract):
    video_id: UUID
    last_seq: int | None = None


@dataclass
class _Joining:
    """A client between asking for a video and hearing it live: what comes meanwhile is kept for it."""

    waiting: list[LiveEvent]


class Live:
    """The Socket.IO server of one replica and its rooms: one per video, and the feed of all of them.

    A socket that never subscribes hears the feed.
    """

    def __init__(self, videos: Videos, cors_origins: Sequence[str]) -> None:
        self.videos = videos
        self.told: OrderedDict[UUID, int] = OrderedDict()
        self.joining: defaultdict[UUID, list[_Joining]] = defaultdict(list)
        self.server = socketio.AsyncServer(
            async_mode="asgi",
            # None: the page's own origin only.
            cors_allowed_origins=list(cors_origins) or None,
            max_http_buffer_size=16_384,
        )
        self.server.on("connect", self._connect)
        self.server.on("subscribe_video_updates", self._subscribe)
        self.server.on("unsubscribe_video_updates", self._unsubscribe)

    async def tell(self, video_id: UUID, event: LiveEvent) -> None:
        """Tell the watchers of this replica an event, and before it those that were passed over.

        Several relays may overtake each other; the log of the video has the order.
        """
        told = self.told.get(video_id, 0)
        if event.seq is None:
            if event.after == told:
                await self._emit(video_id, event)
            return
        if event.seq <= told:
            return
        missed = [event] if event.after == told else await self.videos.events_after(video_id, told)
        for one in missed:
            await self._emit(video_id, one)
            self.told[video_id] = one.seq or told
        self.told.move_to_end(video_id)
        while len(self.told) > REMEMBERED_VIDEOS:
            self.told.popitem(last=False)

    async def _emit(self, video_id: UUID, event: LiveEvent) -> None:
        for client in self.joining.get(video_id, ()):
            client.waiting.append(event)
        await self.server.emit(event.type, event.data, room=[_room(video_id), FEED])

    async def _connect(self, sid: str, _environ: dict[str, Any], _auth: object = None) -> None:
        await self.server.enter_room(sid, FEED)

    async def _subscribe(self, sid: str, asked: object = None) -> dict[str, object]:
        """A client names a video, by `{videoId, lastSeq?}` or by its bare id, or nothing for all videos."""
        if asked is None:
            await self.server.enter_room(sid, FEED)
            return {"ok": True}
        wish = _wish(asked)
        if wish is None:
            return {"ok": False, "error": "videoId must be a UUID, lastSeq a number"}
        if not await self.videos.exists(wish.video_id):
            return {"ok": False, "error": f"There is no video {wish.video_id}"}
        await self.server.leave_room(sid, FEED)
        await self._join(sid, wish.video_id, wish.last_seq)
        return {"ok": True}

    async def _join(self, sid: str, video_id: UUID, last_seq: int | None) -> None:
        """Replay what was missed while keeping what comes; enter the room in the moment nothing is left."""
        client = _Joining([])
        self.joining[video_id].append(client)
        try:
            if last_seq is None:
                missed = await self.videos.newest_event(video_id)
            else:
                missed = await self.videos.events_after(video_id, last_seq)
            told = last_seq or 0
            while missed:
                for event in missed:
                    if event.seq is None or event.seq > told:
                        await self.server.emit(event.type, event.data, to=sid)
                        told = event.seq or told
                missed, client.waiting = client.waiting, []
            await self.server.enter_room(sid, _room(video_id))
        finally:
            self.joining[video_id].remove(client)
            if not self.joining[video_id]:
                del self.joining[video_id]

    async def _unsubscribe(self, sid: str, asked: object = None) -> dict[str, object]:
        if asked is None:
            await self.server.leave_room(sid, FEED)
            return {"ok": True}
        wish = _wish(asked)
        if wish is None:
            return {"ok": False, "error": "videoId must be a UUID"}
        await self.server.leave_room(sid, _room(wish.video_id))
        return {"ok": True}


def _wish(asked: object) -> _Subscription | None:
    try:
        return _Subscription.model_validate({"videoId": asked} if isinstance(asked, str) else asked)
    except ValidationError:
        return None


def _room(video_id: UUID) -> str:
    return f"video:{video_id}"
