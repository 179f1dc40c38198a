"""What the gateway's replicas tell each other: messages this service sends to itself, after the commit."""

from pydantic import JsonValue

from shared.contracts.events import Event
from shared.contracts.story import Contract


class LiveEvent(Contract):
    """What watchers are told. A hint of progress, which is not kept, has no `seq`; it came after event `after`."""

    seq: int | None
    after: int
    type: str
    data: dict[str, JsonValue]


class VideoUpdated(Event):
    """Something happened to a video and is saved: every replica tells its own watchers."""

    name = "gateway.video.updated"

    live: LiveEvent


class VideoProgressed(VideoUpdated):
    """As `VideoUpdated`, but a hint: not kept, may be lost."""

    name = "gateway.video.progressed"
    stored = False
