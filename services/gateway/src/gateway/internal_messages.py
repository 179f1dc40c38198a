"""What the gateway's replicas tell each other: messages this service sends to itself, after the commit."""

from uuid import UUID

from pydantic import AliasChoices, Field, JsonValue

from shared.contracts.messages import InternalMessage
from shared.contracts.story import DEFAULT_OWNER, Contract, Owner


class LiveEvent(Contract):
    """What watchers are told. A hint of progress, which is not kept, has no `seq`; it came after event `after`."""

    seq: int | None
    after: int
    type: str
    data: dict[str, JsonValue]


class VideoUpdated(InternalMessage):
    """Something happened to a video and is saved: every replica tells its own watchers.

    It only makes it quick: what is lost of these, replicas find in the log of events.
    """

    name = "gateway.video.updated"
    stored = False

    video_id: UUID
    owner: Owner = DEFAULT_OWNER
    live: LiveEvent

    @property
    def ordering_key(self) -> str:
        """The video."""
        return str(self.video_id)


class WebhookDue(InternalMessage):
    """It is time to post a webhook. `turn` is the one it is for; an older one is out of date.

    `put_off` counts how often it had to wait for its endpoint, which was busy with others.
    """

    name = "gateway.webhook.due"

    # The outbox may hold messages of a version that put the delivery's id where events have that of the video.
    delivery_id: UUID = Field(validation_alias=AliasChoices("deliveryId", "videoId"), serialization_alias="deliveryId")
    turn: int
    put_off: int = 0

    @property
    def ordering_key(self) -> str:
        """The delivery."""
        return str(self.delivery_id)
