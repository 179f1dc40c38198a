"""The handlers of the gateway: which messages it takes, and what it does with each."""

from dataclasses import dataclass

from gateway.internal_messages import VideoUpdated, WebhookDue
from gateway.storyboards.service import Storyboards
from gateway.videos.event_stream import EventStream
from gateway.videos.projector import VideoProjector
from gateway.webhooks.deliveries import WebhookDeliveries
from gateway.webhooks.webhook_sender import EndpointBusy
from shared.contracts.events import (
    Event,
    FramesRendered,
    PictureRendered,
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
    StreamExtended,
    VideoCancelled,
    VideoComposed,
    VideoComposing,
    VideoFailed,
    VideoPreviewed,
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
    """The dependencies of the handlers."""

    database: Database
    projector: VideoProjector
    storyboards: Storyboards
    event_stream: EventStream
    webhook_deliveries: WebhookDeliveries


router: EventRouter[Dependencies] = EventRouter("gateway")


@router.on(VideoRequested)
async def record_request(event: VideoRequested, delivery: Delivery, deps: Dependencies) -> None:
    """Save a requested video, whether the request came through this API or from another service."""
    async with idempotent_transaction(deps.database, delivery) as work:
        await deps.projector.record_request(work, event)


@router.on(
    StoryboardCreated,
    StoryboardApproved,
    StoryCharged,
    PictureRendered,
    FramesRendered,
    SceneDelayed,
    SceneStarted,
    SceneCharged,
    SceneRendered,
    SceneFailed,
    StreamExtended,
    VideoComposing,
    VideoComposed,
    VideoPreviewed,
    VideoFailed,
    VideoResumed,
    VideoCancelled,
)
async def record(event: Event, delivery: Delivery, deps: Dependencies) -> None:
    """Apply an event to its video's row and append it to the event log, in one transaction."""
    async with idempotent_transaction(deps.database, delivery) as work:
        await deps.projector.record(work, event)


@router.on(StoryboardRequested, StoryboardDrafted, StoryboardFailed)
async def record_storyboard(event: Event, delivery: Delivery, deps: Dependencies) -> None:
    """Save the state of a storyboard that was requested without a video."""
    async with idempotent_transaction(deps.database, delivery) as work:
        await deps.storyboards.record(work, event)


@router.on(SceneProgressed, VideoProgressed, VideoStoring)
async def record_progress(event: Event, _delivery: Delivery, deps: Dependencies) -> None:
    """Update the progress of a scene or a film; the event log does not store it."""
    async with transaction(deps.database) as work:
        await deps.projector.record(work, event)


# The event stream restores the order; one at a time would wait for an ack after each message.
@router.on(VideoUpdated, max_concurrency=100, broadcast=True)
async def publish_update(event: VideoUpdated, _delivery: Delivery, deps: Dependencies) -> None:
    """Send a saved event to the subscribers of this replica."""
    await deps.event_stream.publish(event.video_id, event.owner, event.live)


@router.on(WebhookDue, max_concurrency=64)
async def deliver_webhook(event: WebhookDue, delivery: Delivery, deps: Dependencies) -> None:
    """Send a webhook, then save the outcome. A crash in between sends it again, with the same id."""
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
