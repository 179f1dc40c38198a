"""The gateway's part of the story: whatever happens to a video is folded into its row and told to those who watch."""

from dataclasses import dataclass

from gateway.internal_messages import VideoUpdated, WebhookDue
from gateway.storyboards.service import Storyboards
from gateway.videos.event_stream import EventStream
from gateway.videos.projector import VideoProjector
from gateway.webhooks.deliveries import WebhookDeliveries
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
from shared.messaging.event_router import Delivery, EventRouter
from shared.persistence.database import Database
from shared.persistence.unit_of_work import idempotent_transaction, transaction


@dataclass(frozen=True)
class Dependencies:
    """What the handlers work with."""

    database: Database
    projector: VideoProjector
    storyboards: Storyboards
    event_stream: EventStream
    webhook_deliveries: WebhookDeliveries


router: EventRouter[Dependencies] = EventRouter("gateway")


@router.on(VideoRequested)
async def record_request(event: VideoRequested, delivery: Delivery, deps: Dependencies) -> None:
    """A video was requested, here or by another service of the factory: it has a row from now on."""
    async with idempotent_transaction(deps.database, delivery) as work:
        await deps.projector.record_request(work, event)


@router.on(
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
async def record(event: Event, delivery: Delivery, deps: Dependencies) -> None:
    """Something happened to a video: fold it into the row and the log of its events, in one transaction."""
    async with idempotent_transaction(deps.database, delivery) as work:
        await deps.projector.record(work, event)


@router.on(StoryboardRequested, StoryboardDrafted, StoryboardFailed)
async def record_storyboard(event: Event, delivery: Delivery, deps: Dependencies) -> None:
    """A storyboard was requested alone, is written, or will not be: whoever asked finds it here."""
    async with idempotent_transaction(deps.database, delivery) as work:
        await deps.storyboards.record(work, event)


@router.on(SceneProgressed, VideoProgressed, VideoStoring)
async def note_progress(event: Event, _delivery: Delivery, deps: Dependencies) -> None:
    """A scene, or the film, has come further: the row shows it, the log does not keep it."""
    async with transaction(deps.database) as work:
        await deps.projector.record(work, event)


# The event stream keeps the order; handling one at a time would wait for an ack each time.
@router.on(VideoUpdated, max_concurrency=100, broadcast=True)
async def tell_watchers(event: VideoUpdated, _delivery: Delivery, deps: Dependencies) -> None:
    """A change is saved: each replica tells the watchers connected to it."""
    await deps.event_stream.publish(event.video_id, event.owner, event.live)


@router.on(WebhookDue, max_concurrency=64)
async def deliver_webhook(event: WebhookDue, delivery: Delivery, deps: Dependencies) -> None:
    """A webhook is due: send it, then save the outcome. A crash in between sends it again, with the same id."""
    request = await deps.webhook_deliveries.prepare(event)
    if request is None:
        return
    try:
        response = await deps.webhook_deliveries.sender.send(request)
    except EndpointBusy:
        async with idempotent_transaction(deps.database, delivery) as work:
            await deps.webhook_deliveries.defer(work, event)
        return
    async with idempotent_transaction(deps.database, delivery) as work:
        await deps.webhook_deliveries.record(work, event, request, response)
