"""A client of Multishot: request videos, follow their progress, download them.

    async with Multishot("http://localhost:8000", key="...") as multishot:
        video = await multishot.make("A lighthouse keeper befriends a storm", scenes=4)
        async for video in multishot.watch(video["videoId"]):
            print(video["progress"], video["etaRangeSeconds"])
        await multishot.download(video, Path("films"))

It is asynchronous; a script wraps it in `asyncio.run(...)`.
"""

from multishot.client import Multishot
from multishot.errors import Field, NotReachable, Refused
from multishot.videos import Scene, Video, VideoEvent, has_ended

__all__ = ["Field", "Multishot", "NotReachable", "Refused", "Scene", "Video", "VideoEvent", "has_ended"]
