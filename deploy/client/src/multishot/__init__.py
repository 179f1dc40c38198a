"""A client of Multishot: ask for videos, follow them, take them home.

    async with Multishot("http://localhost:8000", key="...") as multishot:
        video = await multishot.make("A lighthouse keeper befriends a storm", scenes=4)
        async for video in multishot.watch(video["videoId"]):
            print(video["progress"], video["etaRangeSeconds"])
        await multishot.download(video, Path("films"))

It is asynchronous, as the services are that use it; a script says `asyncio.run(...)` around it.
"""

from multishot.client import Multishot
from multishot.errors import Field, NotReachable, Refused
from multishot.videos import Scene, Video, VideoEvent, has_ended

__all__ = ["Field", "Multishot", "NotReachable", "Refused", "Scene", "Video", "VideoEvent", "has_ended"]
