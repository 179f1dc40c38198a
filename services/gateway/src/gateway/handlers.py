"""The gateway's part of the story: whatever happens to a video is folded into its row and told to those who watch."""

from dataclasses import dataclass

from gateway.internal_messages import VideoUpdated, WebhookDue
from gateway.live.event_stream import EventStream
from gateway.storyboards.service import Storyboards
from gateway.videos.service import Videos
from gateway.webhooks.service import Webhooks
from gateway.webhooks.webhook_sender import EndpointBusy
from shared.contracts.events import (
    Event,
    SceneCharged,
    SceneDelayed,
    SceneFailed,
    SceneProgressed,
    SceneRendered,
    SceneStarted,
    StoryboardApproved,
    StoryboardCreated,
    StoryboardDrafted,
    StoryboardFailed,
    StoryboardRequested,
    StoryCharged,
    VideoCancelled,
    VideoComposed,
    VideoComposing,
    VideoFailed,
    VideoProgressed,
    VideoRequested,
    VideoResumed,
    VideoStoring,
)
from shared.messaging.event_router import Delivery, Story
from shared.persistence.database import Database
from shared.persistence.unit_of_work import handling, working


@dataclass(frozen=True)
class Tools:
    """What the handlers work with."""

    database: Database
    videos: Videos
    storyboards: Storyboards
    event_stream: EventStream
    webhooks: Webhooks


story: Story[Tools] = Story("gateway")


@story.on(VideoRequested)
async def record_request(event: VideoRequested, delivery: Delivery, tools: Tools) -> None:
    """A video was requested, here or by another service of the factory: it has a row from now on."""
    async with handling(tools.database, delivery) as work:
        await tools.videos.record_request(work, event)


@story.on(
    StoryboardCreated,
    StoryboardApproved,
    StoryCharged,
    SceneDelayed,
    SceneStarted,
    SceneCharged,
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


@story.on(StoryboardRequested, StoryboardDrafted, StoryboardFailed)
async def record_storyboard(event: Event, delivery: Delivery, tools: Tools) -> None:
    """A storyboard was requested alone, is written, or will not be: whoever asked finds it here."""
    async with handling(tools.database, delivery) as work:
        await tools.storyboards.record(work, event)


@story.on(SceneProgressed, VideoProgressed, VideoStoring)
async def note_progress(event: Event, _delivery: Delivery, tools: Tools) -> None:
    """A scene, or the film, has come further: the row shows it, the log does not keep it."""
    async with working(tools.database) as work:
        await tools.videos.record(work, event)


# The event stream keeps the order; handling one at a time would wait for an ack each time.
@story.on(VideoUpdated, at_once=100, every_replica=True)
async def tell_watchers(event: VideoUpdated, _delivery: Delivery, tools: Tools) -> None:
    """A change is saved: each replica tells the watchers connected to it."""
    await tools.event_stream.publish(event.video_id, event.owner, event.live)


@story.on(WebhookDue, at_once=64)
async def deliver_webhook(event: WebhookDue, delivery: Delivery, tools: Tools) -> None:
    """A webhook is due: post it, then save how that went. A crash in between has it posted again, under the same id."""
    parcel = await tools.webhooks.parcel(event)
    if parcel is None:
        return
    try:
        answer = await tools.webhooks.courier.post(parcel)
    except EndpointBusy:
        async with handling(tools.database, delivery) as work:
            await tools.webhooks.put_off(work, event)
        return
    async with handling(tools.database, delivery) as work:
        await tools.webhooks.record(work, event, parcel, answer)
