"""When to look at a task, and how far it is where its provider does not say: rules, without any I/O. All in seconds."""

from collections.abc import Sequence
from statistics import median

FIRST_LOOK = 0.75
"""Of the usual time."""
LATER_LOOKS = 0.1
LATE_LOOKS = 0.25
"""Of the time that has passed, once it takes longer than usual."""
MOST_PERCENT = 95.0


def usual(guess: float, measured: Sequence[float]) -> float:
    """How long a task usually takes: as its last ones did, else the guess."""
    return median(measured) if measured else guess


def first_look(usual_seconds: float, least: float) -> float:
    """When to look at a new task for the first time."""
    return max(least, FIRST_LOOK * usual_seconds)


def next_look(elapsed: float, usual_seconds: float, least: float) -> float:
    """When to look at a task again that has been worked on for so long: closely around the usual time."""
    if elapsed < FIRST_LOOK * usual_seconds:
        return max(least, FIRST_LOOK * usual_seconds - elapsed)
    share = LATE_LOOKS * (elapsed - usual_seconds) if elapsed > usual_seconds else 0.0
    return max(least, LATER_LOOKS * usual_seconds, share)


def percent(elapsed: float, usual_seconds: float) -> float:
    """How far a task is, by the time it has taken; never quite done."""
    return min(MOST_PERCENT, 100 * elapsed / usual_seconds) if usual_seconds else MOST_PERCENT
