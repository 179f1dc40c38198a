"""Waits until a video has ended, for callers that do not want to poll."""

import asyncio
from uuid import UUID

from gateway.eta.video_progress import AWAITING_STEPS
from gateway.models import Video
from gateway.videos.event_stream import EventStream
from gateway.videos.status import VideoStatus

LOOK_EVERY_SECONDS = 5.0
"""How often the row is read anyway, in case the event stream is late or broken."""


class Completion:
    """Waits for the end of videos."""

    def __init__(self, event_stream: EventStream) -> None:
        self.event_stream = event_stream

    async def wait(self, video_id: UUID, seconds: float, *, owner: str | None) -> Video:
        """Return a video once it has ended or waits for a review, or after `seconds`.

        Raises:
            VideoNotFound: there is no such video.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        with self.event_stream.subscribe(video_id) as buffer:
            while True:
                buffer.arrived.clear()
                buffer.events.clear()
                row = await self.event_stream.queries.get(video_id, owner=owner)
                left = end - loop.time()
                if VideoStatus.of(row.status).is_terminal or row.current_step in AWAITING_STEPS or left <= 0:
                    return row
                try:
                    async with asyncio.timeout(min(left, LOOK_EVERY_SECONDS)):
                        await buffer.arrived.wait()
                except TimeoutError:
                    continue
