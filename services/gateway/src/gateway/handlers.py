"""The gateway's part of the story: whatever happens to a video is folded into its row and told to those who watch."""

from dataclasses import dataclass

from gateway.live import Live
from gateway.steps import VideoProgressed, VideoUpdated
from gateway.videos import Videos
from shared.contracts.events import (
    Event,
    SceneFailed,
    SceneProgressed,
    SceneRendered,
    SceneStarted,
    StoryboardCreated,
    VideoCancelled,
    VideoComposed,
    VideoComposing,
    VideoFailed,
    VideoRequested,
    VideoResumed,
)
from shared.database import Database
from shared.handling import Delivery, Story
from shared.unit_of_work import handling, working


@dataclass(frozen=True)
class Tools:
    """What the handlers work with."""

    database: Database
    videos: Videos
    live: Live


story: Story[Tools] = Story("gateway")


@story.on(VideoRequested)
async def record_request(event: VideoRequested, delivery: Delivery, tools: Tools) -> None:
    """A video was requested, here or by another service of the factory: it has a row from now on."""
    async with handling(tools.database, delivery) as work:
        await tools.videos.record_request(work, event)


@story.on(
    StoryboardCreated,
    SceneStarted,
    SceneRendered,
    SceneFailed,
    VideoComposing,
    VideoComposed,
    VideoFailed,
    VideoResumed,
    VideoCancelled,
)
async def record(event: Event, delivery: Delivery, tools: Tools) -> None:
    """Something happened to a video: fold it into the row and the log of its events, in one transaction."""
    async with handling(tools.database, delivery) as work:
        await tools.videos.record(work, event)


@story.on(SceneProgressed)
async def note_progress(event: SceneProgressed, _delivery: Delivery, tools: Tools) -> None:
    """A scene has come further: the row shows it, the log does not keep it."""
    async with working(tools.database) as work:
        await tools.videos.record(work, event)


@story.on(VideoUpdated, VideoProgressed, at_once=1, every_replica=True)
async def tell_watchers(event: VideoUpdated, _delivery: Delivery, tools: Tools) -> None:
    """A change is saved: each replica tells the watchers connected to it."""
    await tools.live.tell(event.video_id, event.live)
