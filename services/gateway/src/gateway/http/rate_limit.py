"""Limits calls per minute. Pure rules: the caller passes the time.

Each replica counts for itself, which costs no query: with several replicas, the limit applies to each.
"""

import math
from dataclasses import dataclass, replace

from gateway.http.errors import ApiError, Problem

MINUTE = 60.0


class TooManyCalls(ApiError):
    """A caller exceeded its rate limit. In `seconds` as many calls are free again."""

    http_status, problem_type, title = 429, "too-many-calls", "Too many calls"

    def __init__(self, limit: int, seconds: float) -> None:
        super().__init__(f"More than {limit} calls in a minute. Try again in {seconds:.0f} s.")
        self.limit = limit
        self.seconds = seconds

    def problem(self) -> Problem:
        """Return the problem, with the time to wait."""
        return replace(super().problem(), headers={"Retry-After": str(math.ceil(self.seconds))})


@dataclass(frozen=True)
class Allowance:
    """What remains of a limit: `left` calls at once, and all of them again after `seconds`."""

    limit: int
    left: int
    seconds: float


class RateLimiter:
    """A token bucket per name: full at first, refilled evenly within a minute."""

    def __init__(self) -> None:
        self.full_at: dict[str, float] = {}

    def take(self, name: str, limit: int, calls: int, now: float) -> Allowance:
        """Take calls out of a bucket of `limit`; `now` in seconds on any clock.

        Raises:
            TooManyCalls: the bucket holds fewer; nothing was taken.
        """
        pause = MINUTE / limit
        full_at = max(self.full_at.get(name, now), now) + calls * pause
        # Rounded, so that a sum of fractions does not refuse the last call.
        missing = round(full_at - now - MINUTE, 6)
        if missing > 0:
            raise TooManyCalls(limit, missing)
        self.full_at[name] = full_at
        return Allowance(limit, max(0, int((MINUTE - (full_at - now)) / pause + 1e-6)), full_at - now)
