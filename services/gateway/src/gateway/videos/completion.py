"""Waits for the end of a video, for those who do not want to look again and again."""

import asyncio
from uuid import UUID

from gateway.billing.service import ENDED
from gateway.live.event_stream import Feed
from gateway.models import Video

LOOK_EVERY_SECONDS = 5.0
"""The feed wakes us at once; the row has the truth, also where the feed is late or broken."""


class Ending:
    """Knows when a video has ended."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed

    async def wait(self, video_id: UUID, seconds: float, *, owner: str | None) -> Video:
        """The video, once nothing happens to it by itself any more, or else as it is after so many seconds.

        Raises:
            VideoNotFound: there is none.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        with self.feed.keeping(video_id) as kept:
            while True:
                kept.arrived.clear()
                kept.events.clear()
                row = await self.feed.videos.get(video_id, owner=owner)
                left = end - loop.time()
                if row.status in ENDED or row.current_step == "review" or left <= 0:
                    return row
                try:
                    async with asyncio.timeout(min(left, LOOK_EVERY_SECONDS)):
                        await kept.arrived.wait()
                except TimeoutError:
                    continue
