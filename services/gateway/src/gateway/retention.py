"""How long the gateway keeps each kind of row; films expire by `videos/expiry.py`."""

from sqlalchemy import select

from gateway.http.idempotency import KEPT_SECONDS
from gateway.models import (
    Charge,
    EndedSession,
    IdempotencyRecord,
    StageTime,
    Storyboard,
    Video,
    VideoEvent,
    WebhookDelivery,
    WebhookEndpoint,
)
from gateway.videos.status import TERMINAL_STATUSES
from gateway.webhooks.deliveries import KEPT_DAYS as WEBHOOK_DAYS
from shared.process.retention import DAY_SECONDS, Policy, Rows

EVENT_DAYS = 30
STORYBOARD_DAYS = 30
STAGE_TIME_DAYS = 90
REASON_DAYS = 90

# The last event stays: new subscribers learn from it how the video ended.
IS_SUPERSEDED = (
    select(Video.id)
    .where(Video.video_id == VideoEvent.video_id, Video.status.in_(TERMINAL_STATUSES), Video.last_seq > VideoEvent.seq)
    .correlate(VideoEvent)
    .exists()
)
IS_DONE = WebhookDelivery.state != "pending"
OF_DELETED = WebhookDelivery.video_id.in_(select(Video.video_id).where(Video.deleted_at.is_not(None)))
NO_SECRET = {WebhookEndpoint.old_secret: None, WebhookEndpoint.old_secret_until: None}

POLICIES = (
    Policy("video events", EVENT_DAYS, Rows(VideoEvent.created_at, [IS_SUPERSEDED])),
    Policy("stage times", STAGE_TIME_DAYS, Rows(StageTime.at)),
    Policy("storyboards", STORYBOARD_DAYS, Rows(Storyboard.created_at)),
    Policy("idempotency records", KEPT_SECONDS / DAY_SECONDS, Rows(IdempotencyRecord.created_at)),
    Policy("ended sessions", 0, Rows(EndedSession.ends_at)),
    Policy("webhook deliveries", WEBHOOK_DAYS, Rows(WebhookDelivery.created_at)),
    # Their bodies contain texts of the video. Pending ones are still delivered.
    Policy("webhook deliveries of deleted videos", 0, Rows(WebhookDelivery.created_at, [IS_DONE, OF_DELETED])),
    Policy("replaced webhook secrets", 0, Rows(WebhookEndpoint.old_secret_until, blank=NO_SECRET)),
    Policy("charges", REASON_DAYS, Rows(Charge.updated_at, [Charge.state == "settled"], {Charge.reason: None})),
)
