"""When to poll a task, and how to estimate its progress. No I/O. All times in seconds."""

from collections.abc import Sequence
from statistics import median

FIRST_LOOK = 0.75
"""A fraction of the usual time."""
LATER_LOOKS = 0.1
LATE_LOOKS = 0.25
"""A fraction of the time over the usual one."""
MOST_PERCENT = 95.0


def usual(guess: float, measured: Sequence[float]) -> float:
    """Return the usual duration of a task: the median of the measured ones, else the guess."""
    return median(measured) if measured else guess


def first_look(usual_seconds: float, least: float) -> float:
    """Return when to poll a new task for the first time."""
    return max(least, FIRST_LOOK * usual_seconds)


def next_look(elapsed: float, usual_seconds: float, least: float) -> float:
    """Return when to poll a task again that has run for `elapsed`: most often around the usual time."""
    if elapsed < FIRST_LOOK * usual_seconds:
        return max(least, FIRST_LOOK * usual_seconds - elapsed)
    share = LATE_LOOKS * (elapsed - usual_seconds) if elapsed > usual_seconds else 0.0
    return max(least, LATER_LOOKS * usual_seconds, share)


def percent(elapsed: float, usual_seconds: float) -> float:
    """Return the estimated progress in percent, at most `MOST_PERCENT`."""
    return min(MOST_PERCENT, 100 * elapsed / usual_seconds) if usual_seconds else MOST_PERCENT
