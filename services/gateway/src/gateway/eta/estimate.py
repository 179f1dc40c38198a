"""How long a video still takes: rules, without any I/O or clock. All times are in seconds.

What is said is a range. It comes from how long the same stages took before, of the same model and length where there
is enough of that, and from the scenes that are ahead in the queue. The upper end of the first range is a promise: once
the video is going to end later, that is said.
"""

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

from gateway.remaining_time import Eta

ENOUGH = 3
"""How many measurements make a usual time."""
RECENT = 20
LATE = 0.1
"""Share of the elapsed time that a stage is expected to still take once it is slower than ever before."""
SLACK_SECONDS = 1.0
"""Added to the upper end for the messages between stages."""
LEAST_SLIP_SECONDS = 3

Figure = Literal["low", "mid", "high"]


@dataclass(frozen=True)
class Span:
    """A time that is not known exactly: about the 5th, 50th and 95th percentile."""

    low: float
    mid: float
    high: float

    def __add__(self, other: "Span") -> "Span":
        return Span(self.low + other.low, self.mid + other.mid, self.high + other.high)

    def times(self, factor: float) -> "Span":
        """Return the span for `factor` times the work."""
        return Span(self.low * factor, self.mid * factor, self.high * factor)


NOTHING = Span(0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Took:
    """How long a stage took. `length` is that of what was made: seconds, or scenes of a storyboard.

    `busy`: scenes that its provider had at the end, itself among them; `waiting`: scenes that waited for one then.
    """

    model: str
    length: float
    seconds: float
    busy: int = 0
    waiting: int = 0


def usual(took: Sequence[Took], model: str, length: float) -> Span | None:
    """Return how long a stage usually takes, from earlier times, the newest first; None: there are none."""
    scaled = [(one, one.seconds * _for_length(length / one.length if one.length else 1.0)) for one in took]
    of_model = [(one, seconds) for one, seconds in scaled if one.model == model]
    same = [(one, seconds) for one, seconds in of_model if round(one.length) == round(length)]
    ranked = (same, of_model, scaled)
    known = next((times for times in ranked if len(times) >= ENOUGH), None) or next((t for t in ranked if t), None)
    return None if known is None else _span_of([seconds for _, seconds in known[:RECENT]])


def _for_length(ratio: float) -> float:
    """Return the factor for a clip `ratio` times as long: half of the time depends on the length."""
    return (1 + ratio) / 2


def _span_of(seconds: Sequence[float]) -> Span:
    ordered = sorted(seconds)
    mid = median(ordered)
    # The fewer there are, the less they say.
    doubt = mid * (0.1 + 0.5 / len(ordered))
    low, high = (ordered[round(share * (len(ordered) - 1))] for share in (0.05, 0.95))
    return Span(max(low - doubt, 0.0), mid, high + doubt)


def slots(took: Sequence[Took], guess: int) -> int:
    """Return how many scenes a provider renders at once: as many as it had while others waited."""
    full = [one.busy for one in took if one.waiting > 0 and one.busy > 0][:RECENT]
    return round(median(full)) if full else max([guess, *(one.busy for one in took[:RECENT])])


@dataclass(frozen=True)
class SceneAhead:
    """A scene that is not rendered yet. `elapsed`: for how long it is being rendered; None: it waits.

    It was at `percent` after `heard`.
    """

    takes: Span
    elapsed: float | None = None
    percent: float = 0.0
    heard: float = 0.0


def stage_left(takes: Span, elapsed: float) -> Span:
    """Return what is left of a stage that has been running for `elapsed`."""
    least = LATE * elapsed
    high = max(takes.high - elapsed, 2 * least)
    # An overdue stage still needs some time.
    mid = max(takes.mid - elapsed, 0.3 * high)
    return Span(max(min(takes.low - elapsed, mid), 0.0), mid, high)


def scene_left(scene: SceneAhead) -> Span:
    """Return what is left of a scene: first by its usual time, later by its progress."""
    if scene.elapsed is None:
        return scene.takes
    by_time = stage_left(scene.takes, scene.elapsed)
    if scene.percent <= 0 or scene.heard <= 0:
        return by_time
    since = scene.elapsed - scene.heard
    extrapolated = scene.heard * (100 - scene.percent) / scene.percent
    by_percent = stage_left(Span(0.7 * extrapolated, extrapolated, 1.5 * extrapolated + SLACK_SECONDS), since)
    trust = scene.percent / 100
    return by_time.times(1 - trust) + by_percent.times(trust)


@dataclass(frozen=True)
class Queue:
    """The scenes of other videos at the same provider.

    `waiting`, by owner: how many of their videos have so many scenes that wait, as `{scenes: videos}`. `takes`: how
    long one takes.
    """

    slots: int
    takes: Span
    running: int = 0
    waiting: Mapping[str, Mapping[int, int]] = field(default_factory=dict)

    def before(self, owner: str, turn: int) -> int:
        """How many scenes of others start before the `turn`-th (1, 2, ...) waiting scene of a video of this owner.

        Owners take turns, and so do the videos of an owner.
        """
        own = self.waiting.get(owner, {})
        of_owner = sum(videos * min(scenes, turn) for scenes, videos in own.items())
        others = (per_video for name, per_video in self.waiting.items() if name != owner)
        totals = (sum(scenes * videos for scenes, videos in per_video.items()) for per_video in others)
        return of_owner + sum(min(total, turn + of_owner) for total in totals)


@dataclass(frozen=True)
class Ahead:
    """What a video still has ahead of it. None: that stage is over, or has not begun where it is said so."""

    owner: str
    storyboard: Span | None
    """What is left of writing it."""
    scenes: Sequence[SceneAhead]
    queue: Queue
    combining: Span
    """What is left of it, or all of it where it has not begun."""


def left(ahead: Ahead) -> Span:
    """Return how long a video still takes."""
    storyboard = ahead.storyboard or NOTHING
    # One after the other: each figure is its own course of things.
    running = [scene_left(scene) for scene in ahead.scenes if scene.elapsed is not None]
    low = _scenes_done(ahead, "low", storyboard.low, running) + ahead.combining.low
    mid = _scenes_done(ahead, "mid", storyboard.mid, running) + ahead.combining.mid
    high = _scenes_done(ahead, "high", storyboard.high, running) + ahead.combining.high + SLACK_SECONDS
    mid = max(low, mid)
    return Span(low, mid, max(mid, high))


def _scenes_done(ahead: Ahead, figure: Figure, begin: float, running: Sequence[Span]) -> float:
    """Return when the last scene is rendered, if waiting scenes take free slots in turn."""
    queue = ahead.queue
    other: float = getattr(queue.takes, figure)
    ends: list[float] = [begin, *(getattr(span, figure) for span in running)]
    # The progress of other scenes is unknown: assume it is evenly spread.
    free_at = ends[1:] + [other * (n + 1) / (queue.running + 1) for n in range(queue.running)]
    free_at += [0.0] * max(queue.slots - len(free_at), 0 if free_at else 1)
    heapq.heapify(free_at)
    # The upper bound assumes one new competitor per turn.
    newcomer = 1 if figure == "high" and (queue.running or queue.waiting) else 0
    taken = 0
    waiting = (scene for scene in ahead.scenes if scene.elapsed is None)
    for turn, scene in enumerate(waiting, 1):
        before = queue.before(ahead.owner, turn) + newcomer * turn
        _take(free_at, before - taken, other)
        taken = before
        end = max(free_at[0], begin) + getattr(scene.takes, figure)
        heapq.heapreplace(free_at, end)
        ends.append(end)
    return max(ends)


def _take(free_at: list[float], count: int, seconds: float) -> None:
    """Assign `count` scenes, each to the slot that is free first."""
    rounds = max(count // len(free_at) - 1, 0)
    if rounds:
        free_at[:] = [moment + rounds * seconds for moment in free_at]
    for _ in range(count - rounds * len(free_at)):
        heapq.heapreplace(free_at, free_at[0] + seconds)


def rounded(span: Span, promised: float | None) -> Eta:
    """Round a span to what people see. `promised`: when the video should be done, in seconds from now, or past."""
    seconds = max(round(span.mid), 1)
    slip = 0 if promised is None else math.ceil(span.mid - promised)
    return Eta(
        seconds=seconds,
        low=max(min(math.floor(span.low), seconds), 0),
        high=max(math.ceil(span.high), seconds),
        slipped=slip if slip >= LEAST_SLIP_SECONDS else 0,
    )


# --- guesses, where nothing was measured yet

STORYBOARD_GUESS = Span(0.1, 3.0, 25.0)
"""The template is instant, a language model is slow."""
GIVEN_STORYBOARD_GUESS = Span(0.0, 0.3, 2.0)
COMBINING_GUESS = Span(0.08, 0.25, 0.6)
"""For a second of film."""
ANIMATIC_GUESS = Span(0.2, 0.6, 1.5)
"""For a second of clip."""
TASK_SECONDS: dict[str, float] = {"runway": 70.0, "luma": 60.0, "pika": 60.0}
SLOTS_GUESS: dict[str, int] = {"animatic": 2, "runway": 2, "luma": 10, "pika": 2}
"""The defaults of the settings."""


def scene_guess(provider: str, length: float, tasks: int, said: float | None) -> Span:
    """How long a scene may take where none was rendered yet.

    `tasks`: how many tasks it takes, one after the other; `said`: what the provider says that a task takes.
    """
    if provider == "animatic":
        return ANIMATIC_GUESS.times(length)
    if said:
        return Span(0.6 * said, 1.1 * said, 1.8 * said + 2).times(tasks)
    seconds = TASK_SECONDS.get(provider, 60.0)
    return Span(0.4 * seconds, seconds, 2.2 * seconds).times(tasks)
