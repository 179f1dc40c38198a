"""Messages that the gateway sends to itself and to its replicas, after the commit."""

from uuid import UUID

from pydantic import AliasChoices, Field, JsonValue

from shared.contracts.base import Contract
from shared.contracts.messages import InternalMessage
from shared.contracts.story import DEFAULT_OWNER, Owner


class LiveEvent(Contract):
    """An event for subscribers. A progress hint is not stored and has no `seq`; it follows the event `after`."""

    seq: int | None
    after: int
    type: str
    data: dict[str, JsonValue]


class VideoUpdated(InternalMessage):
    """An event of a video is saved; every replica sends it to its own subscribers.

    May be lost: replicas find what they missed in the event log.
    """

    name = "gateway.video.updated"
    stored = False

    video_id: UUID
    owner: Owner = DEFAULT_OWNER
    live: LiveEvent

    @property
    def ordering_key(self) -> str:
        """Return the video's id."""
        return str(self.video_id)


class WebhookDue(InternalMessage):
    """A webhook is due. `turn` is the attempt it is for; messages of an earlier turn are obsolete.

    `deferrals` counts how often the attempt was deferred because the endpoint was busy.
    """

    name = "gateway.webhook.due"

    # The outbox may still hold messages of a version that named the delivery's id `videoId`.
    delivery_id: UUID = Field(validation_alias=AliasChoices("deliveryId", "videoId"), serialization_alias="deliveryId")
    turn: int
    # The outbox may hold messages of a version that called it `putOff`.
    deferrals: int = Field(0, validation_alias=AliasChoices("deferrals", "putOff"), serialization_alias="deferrals")

    @property
    def ordering_key(self) -> str:
        """Return the delivery's id."""
        return str(self.delivery_id)
