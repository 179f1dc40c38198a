"""The REST API of what happens to a video: server-sent events, that go on where they broke off."""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, cast
from uuid import UUID

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from gateway.access.dependencies import Reader
from gateway.access.service import Access
from gateway.internal_messages import LiveEvent
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
            "description": "How the video stands, and what this event adds",
        },
        "retry": {"type": "integer"},
    },
}


class SseResponse(StreamingResponse):
    """Server-sent events."""

    media_type = "text/event-stream"


def routes(event_stream: EventStream, access: Access) -> APIRouter:
    """The route of a video's events, on this event stream, for callers whose key is valid."""
    router = APIRouter(tags=["videos"])

    @router.get(
        "/api/v1/videos/{video_id}/events",
        response_class=SseResponse,
        responses={
            200: {
                "description": "What happens, as it happens. Hints of progress have no id; they are not kept.",
                "content": {"text/event-stream": {"schema": EVENT, "example": EXAMPLE}},
            },
            204: {"description": "The video has ended, and you know it: do not come again"},
        },
    )
    async def follow_video(
        video_id: UUID,
        caller: Reader,
        header: Annotated[
            int | None,
            Header(alias="Last-Event-ID", ge=0, le=LARGEST_SEQ, description="The last `id` that you have seen"),
        ] = None,
        query: Annotated[
            int | None,
            Query(alias="lastEventId", ge=0, le=LARGEST_SEQ, description="The same; 0 for all from the beginning"),
        ] = None,
    ) -> Response:
        """Follow a video. First comes what you have missed, or the latest event; after the last one the stream ends."""
        row = await event_stream.videos.get(video_id, owner=caller.visible_owner)
        # The header is newer: a browser that comes back keeps the address it began with.
        last_seq = header if header is not None else query
        if last_seq is not None:
            last_seq = min(last_seq, row.last_seq)
        if VideoStatus.of(row.status).is_terminal and last_seq == row.last_seq:
            return Response(status_code=204)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

        async def may_continue() -> bool:
            return await access.is_valid(caller)

        happening = event_stream.follow(video_id, last_seq, may_continue)
        return SseResponse(_stream(_until_the_end(event_stream, video_id, happening)), headers=headers)

    return router


async def _stream(happening: AsyncGenerator[LiveEvent, None]) -> AsyncGenerator[str, None]:
    yield f"retry: {RETRY_MILLISECONDS}\n\n"
    async with contextlib.aclosing(happening) as events:
        coming = asyncio.ensure_future(anext(events))
        try:
            while True:
                await asyncio.wait({coming}, timeout=KEEP_ALIVE_SECONDS)
                if not coming.done():
                    yield ": still here\n\n"
                    continue
                try:
                    event = coming.result()
                except StopAsyncIteration:
                    return
                yield _frame(event)
                coming = asyncio.ensure_future(anext(events))
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


async def _until_the_end(
    event_stream: EventStream, video_id: UUID, happening: AsyncIterator[LiveEvent]
) -> AsyncGenerator[LiveEvent, None]:
    """What happens to a video; the last thing that is known of one that has failed is the end as well."""
    async with contextlib.aclosing(cast("AsyncGenerator[LiveEvent, None]", happening)) as events:
        async for event in events:
            yield event
            has_failed = event.data.get("status") == "failed" and event.seq is not None
            # Scenes that were being rendered may end after it has failed; somebody may have resumed it since.
            if has_failed and await event_stream.videos.last_seq(video_id) == event.seq:
                return


def _frame(event: LiveEvent) -> str:
    number = f"id: {event.seq}\n" if event.seq is not None else ""
    return f"{number}event: {event.type}\ndata: {json.dumps(event.data, ensure_ascii=False)}\n\n"
