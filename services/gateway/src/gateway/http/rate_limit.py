"""How many calls may be made in a minute: a rule, without any clock of its own.

Each replica counts for itself, so that counting costs no query: where there are several, the limit is that of each.
"""

from dataclasses import dataclass

MINUTE = 60.0


class TooManyCalls(Exception):
    """More calls than are allowed. `seconds`: how long until as many are free again."""

    def __init__(self, limit: int, seconds: float) -> None:
        super().__init__(f"More than {limit} calls in a minute. Try again in {seconds:.0f} s.")
        self.limit = limit
        self.seconds = seconds


@dataclass(frozen=True)
class Allowance:
    """What is left of a limit: this many calls at once, and all of them again in so many seconds."""

    limit: int
    left: int
    seconds: float


class Limits:
    """A bucket of calls for each name, full at first, which fills evenly within a minute."""

    def __init__(self) -> None:
        self.full_at: dict[str, float] = {}

    def take(self, name: str, limit: int, calls: int, now: float) -> Allowance:
        """Take calls out of a bucket of `limit`; `now` in seconds on any clock.

        Raises:
            TooManyCalls: there are not as many in it; nothing was taken.
        """
        pause = MINUTE / limit
        full_at = max(self.full_at.get(name, now), now) + calls * pause
        # Rounded: a sum of fractions must not refuse the last call.
        missing = round(full_at - now - MINUTE, 6)
        if missing > 0:
            raise TooManyCalls(limit, missing)
        self.full_at[name] = full_at
        return Allowance(limit, max(0, int((MINUTE - (full_at - now)) / pause + 1e-6)), full_at - now)
