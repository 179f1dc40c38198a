"""Types, bodies, signatures and retry delays of webhooks, without I/O.

The format is that of Standard Webhooks 1.0.0.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from pydantic import JsonValue
from standardwebhooks import Webhook

WebhookType = Literal[
    "video.generation_started",
    "video.storyboard_created",
    "video.picture_rendered",
    "video.frames_rendered",
    "video.scene_processing",
    "video.scene_completed",
    "video.scene_failed",
    "video.stream_extended",
    "video.combining_scenes",
    "video.completed",
    "video.failed",
    "video.cancelled",
    "video.expired",
]
"""The names of live events, with a dot after `video`."""

TYPES: tuple[WebhookType, ...] = get_args(WebhookType)
DEFAULT_TYPES: tuple[WebhookType, ...] = ("video.completed", "video.failed", "video.cancelled")
"""The types an endpoint receives unless it names others."""

TEST_TYPE = "webhook.test"

MAX_BODY_BYTES = 20_000

RETRY_DELAYS_SECONDS = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""The delay after each failed attempt: ten attempts in 76 hours, as Standard Webhooks recommends."""

JITTER = 0.1
MAX_DELAY_SECONDS = 86_400.0
DISABLE_AFTER_SECONDS = 3 * 86_400.0
"""When a delivery is given up, its endpoint is disabled if nothing has succeeded for this long."""

GONE = 410


@dataclass(frozen=True)
class EndpointResponse:
    """The response of an endpoint to one attempt.

    `status` is None if there was no response. `text` is the beginning of the body, or why there was no response.
    `retry_after` is in seconds.
    """

    status: int | None
    text: str
    retry_after: float | None = None

    @property
    def is_success(self) -> bool:
        """Whether the endpoint accepted the webhook. Redirects are not followed, so they are failures."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """Whether the endpoint asks for no more webhooks."""
        return self.status == GONE

    @property
    def outcome(self) -> str:
        """The outcome as metrics and logs name it."""
        if self.is_success:
            return "delivered"
        if self.is_gone:
            return "gone"
        return "rejected" if self.status is not None else "no_response"


def type_of(live: str) -> str:
    """Return the webhook type of a live event's name."""
    return live.replace("_", ".", 1)


def body_of(kind: str, at: datetime, data: Mapping[str, JsonValue]) -> str:
    """Return the body of a webhook, smaller than `MAX_BODY_BYTES`.

    Drops the largest fields first until the rest fits, and lists them in `omitted`.
    """
    kept = dict(data)
    omitted: list[JsonValue] = []
    while True:
        shown = {**kept, "omitted": omitted} if omitted else kept
        body = _json({"type": kind, "timestamp": at.isoformat(timespec="milliseconds"), "data": shown})
        if len(body.encode()) < MAX_BODY_BYTES or not kept:
            return body
        largest = max(kept, key=lambda name: len(_json(kept[name])))
        del kept[largest]
        omitted.append(largest)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def sign(secrets: Iterable[str], delivery_id: str, at: datetime, body: str) -> dict[str, str]:
    """Return the headers of one attempt, signed with each secret. `at` is in UTC."""
    signatures = (Webhook(secret).sign(delivery_id, at, body) for secret in secrets)
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def retry_delay(attempts: int, luck: float, retry_after: float | None = None) -> float | None:
    """Return the seconds until the next attempt; None if there are no more.

    `luck` (0-1) spreads deliveries that failed together. `retry_after` is honoured up to a day.
    """
    if attempts > len(RETRY_DELAYS_SECONDS):
        return None
    delay = RETRY_DELAYS_SECONDS[attempts - 1] * (1 + JITTER * (2 * luck - 1))
    return max(delay, min(retry_after or 0.0, MAX_DELAY_SECONDS))
