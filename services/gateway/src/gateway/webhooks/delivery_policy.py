"""What webhooks tell, how they are signed, and how often they are tried: rules, without any I/O.

The form is that of Standard Webhooks 1.0.0.
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
    "video.scene_processing",
    "video.scene_completed",
    "video.scene_failed",
    "video.combining_scenes",
    "video.completed",
    "video.failed",
    "video.cancelled",
    "video.expired",
]
"""The names that watchers hear, with a full stop after their subject."""

TYPES: tuple[WebhookType, ...] = get_args(WebhookType)
DEFAULT_TYPES: tuple[WebhookType, ...] = ("video.completed", "video.failed", "video.cancelled")
"""What an endpoint is sent unless it names other types."""

TEST = "webhook.test"

LARGEST_BYTES = 20_000

WAIT_SECONDS = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""How long a webhook waits after each attempt that failed: ten attempts in 76 hours, as Standard Webhooks has it."""

SPREAD = 0.1
LONGEST_WAIT_SECONDS = 86_400.0
GIVEN_UP_AFTER_SECONDS = 3 * 86_400.0
"""An endpoint that has taken nothing for so long is disabled when a webhook has failed for good."""

GONE = 410


@dataclass(frozen=True)
class Answer:
    """What an endpoint said. `status` is None where it said nothing; `text` is how it began, or why there is none."""

    status: int | None
    text: str
    retry_after: float | None = None

    @property
    def is_taken(self) -> bool:
        """Whether the webhook has arrived. A redirect is a no: it is not followed."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """Whether it wants nothing any more."""
        return self.status == GONE


def type_of(live: str) -> str:
    """The type of a webhook, by the name that watchers hear."""
    return live.replace("_", ".", 1)


def body_of(kind: str, at: datetime, data: Mapping[str, JsonValue]) -> str:
    """The body of a webhook. What would make it too large is left out, the largest first, and named in `omitted`."""
    told = dict(data)
    omitted: list[JsonValue] = []
    while True:
        shown = {**told, "omitted": omitted} if omitted else told
        body = _json({"type": kind, "timestamp": at.isoformat(timespec="milliseconds"), "data": shown})
        if len(body.encode()) < LARGEST_BYTES or not told:
            return body
        largest = max(told, key=lambda name: len(_json(told[name])))
        del told[largest]
        omitted.append(largest)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def signed(secrets: Iterable[str], delivery_id: str, at: datetime, body: str) -> dict[str, str]:
    """The headers of one attempt, signed by each secret. `at` is in UTC."""
    signatures = (Webhook(secret).sign(delivery_id, at, body) for secret in secrets)
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def wait_after(attempts: int, luck: float, retry_after: float | None = None) -> float | None:
    """Seconds until the next attempt; None: there is none. `luck`, 0-1, spreads neighbours of one failure.

    An endpoint may wish for a longer wait, up to a day.
    """
    if attempts > len(WAIT_SECONDS):
        return None
    wait = WAIT_SECONDS[attempts - 1] * (1 + SPREAD * (2 * luck - 1))
    return max(wait, min(retry_after or 0.0, LONGEST_WAIT_SECONDS))
