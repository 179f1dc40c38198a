"""The REST API of a video's events: server-sent events, resumable with `Last-Event-ID`."""

import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, cast
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event

from gateway.access.dependencies import Reader
from gateway.access.service import Access
from gateway.internal_messages import LiveEvent
from gateway.trpc.responses import with_pings
from gateway.videos.event_payloads import LIVE_NAMES
from gateway.videos.event_stream import EventStream
from gateway.videos.status import VideoStatus

KEEP_ALIVE_SECONDS = 15.0
RETRY_MILLISECONDS = 3000
LARGEST_SEQ = 2**31 - 1

EXAMPLE = """retry: 3000

id: 3
event: video_scene_completed
data: {"videoId": "2f1c9b9e-8f57-4a3f-9f9d-0d2b1b7f0b11", "seq": 3, "status": "processing", "progress": 40.0}

"""


EVENT = {
    "type": "object",
    "description": "One event of the stream",
    "required": ["event", "data"],
    "properties": {
        "id": {"type": "string", "pattern": "^[0-9]+$", "description": "`seq`, without gaps; absent in a hint"},
        "event": {"type": "string", "enum": sorted(set(LIVE_NAMES.values()))},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "description": "The state of the video, and what this event adds",
        },
        "retry": {"type": "integer"},
    },
}


class SseResponse(StreamingResponse):
    """Server-sent events."""

    media_type = "text/event-stream"


def routes(event_stream: EventStream, access: Access) -> APIRouter:
    """Return the route of a video's events."""
    router = APIRouter(tags=["videos"])

    @router.get(
        "/api/v1/videos/{video_id}/events",
        response_class=SseResponse,
        responses={
            200: {
                "description": "The events as they happen. Progress hints have no id; they are not stored.",
                "content": {"text/event-stream": {"schema": EVENT, "example": EXAMPLE}},
            },
            204: {"description": "The video has ended, and you have its last event: do not reconnect"},
        },
    )
    async def follow_video(
        video_id: UUID,
        caller: Reader,
        header: Annotated[
            int | None,
            Header(alias="Last-Event-ID", ge=0, le=LARGEST_SEQ, description="The last `id` that you have received"),
        ] = None,
        query: Annotated[
            int | None,
            Query(alias="lastEventId", ge=0, le=LARGEST_SEQ, description="The same; 0 for all from the beginning"),
        ] = None,
    ) -> Response:
        """Follow a video: first the events you missed, or the latest one. The stream ends with the last event."""
        row = await event_stream.queries.get(video_id, owner=caller.visible_owner)
        # The header is newer: a browser that reconnects keeps the URL that it began with.
        last_seq = header if header is not None else query
        if last_seq is not None:
            last_seq = min(last_seq, row.last_seq)
        if VideoStatus.of(row.status).is_terminal and last_seq == row.last_seq:
            return Response(status_code=204)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

        async def may_continue() -> bool:
            return await access.is_valid(caller)

        events = event_stream.follow(video_id, last_seq, may_continue)
        return SseResponse(_stream(_until_end(event_stream, video_id, events)), headers=headers)

    return router


async def _stream(events: AsyncGenerator[LiveEvent, None]) -> AsyncGenerator[bytes, None]:
    yield format_sse_event(retry=RETRY_MILLISECONDS)
    async with contextlib.aclosing(with_pings(events, KEEP_ALIVE_SECONDS)) as pinged:
        async for event in pinged:
            yield KEEPALIVE_COMMENT if event is None else _encoded(event)


async def _until_end(
    event_stream: EventStream, video_id: UUID, events: AsyncIterator[LiveEvent]
) -> AsyncGenerator[LiveEvent, None]:
    """Yield the events of a video, until it has ended or the last known event is that it failed."""
    async with contextlib.aclosing(cast("AsyncGenerator[LiveEvent, None]", events)) as following:
        async for event in following:
            yield event
            has_failed = event.data.get("status") == "failed" and event.seq is not None
            # Scenes in progress may end after the failure, and the video may have been resumed since.
            if has_failed and await event_stream.log.last_seq(video_id) == event.seq:
                return


def _encoded(event: LiveEvent) -> bytes:
    seq = None if event.seq is None else str(event.seq)
    return format_sse_event(event=event.type, data_str=json.dumps(event.data, ensure_ascii=False), id=seq)
