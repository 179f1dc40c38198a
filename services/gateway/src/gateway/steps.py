"""What the gateway's replicas tell each other: messages this service sends to itself, after the commit."""

from uuid import UUID

from pydantic import JsonValue

from shared.contracts.events import Event
from shared.contracts.story import DEFAULT_OWNER, Contract, Owner


class LiveEvent(Contract):
    """What watchers are told. A hint of progress, which is not kept, has no `seq`; it came after event `after`."""

    seq: int | None
    after: int
    type: str
    data: dict[str, JsonValue]


class VideoUpdated(Event):
    """Something happened to a video and is saved: every replica tells its own watchers.

    It only makes it quick: what is lost of these, replicas find in the log of events.
    """

    name = "gateway.video.updated"
    stored = False

    owner: Owner = DEFAULT_OWNER
    live: LiveEvent


class WebhookDue(Event):
    """It is time to post a webhook. `turn` is the one it is for; an older one is out of date.

    `video_id` is the id of the delivery: putting back a dead letter of it must not resume a video. `put_off` counts how
    often it had to wait for its endpoint, which was busy with others.
    """

    name = "gateway.webhook.due"

    turn: int
    put_off: int = 0

    @property
    def delivery_id(self) -> UUID:
        """Which delivery."""
        return self.video_id
