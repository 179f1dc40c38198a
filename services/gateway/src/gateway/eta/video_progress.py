"""What an ETA is computed from, as plain values: no rows, no events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from gateway.eta.stage_timestamps import StageTimestamps

JOINING_STEPS = ("combining", "storing")
AWAITING_STEPS = ("review", "frames")
"""The steps at which a video waits for a person."""


@dataclass(frozen=True)
class SceneProgress:
    """One scene: its state, how far it is (0-100), and how long its provider says it still takes, in seconds."""

    state: str = "waiting"
    percent: float = 0.0
    provider: str | None = None
    eta_seconds: float | None = None


@dataclass(frozen=True)
class QueuePlace:
    """How many scenes of a video a provider renders, and how many wait for it. No provider: not known yet."""

    provider: str = ""
    waiting: int = 0
    rendering: int = 0


@dataclass(frozen=True)
class VideoProgress:
    """How far a video is. `clip_seconds` holds the length of each scene's clip; before the story, all are alike."""

    owner: str
    is_in_progress: bool
    """Whether it has neither ended nor waits for a person."""
    step: str
    film_seconds: float
    has_storyboard: bool
    clip_seconds: Sequence[float]
    scenes: Mapping[int, SceneProgress] = field(default_factory=dict)
    requested_providers: Sequence[str] = ()
    place: QueuePlace = QueuePlace()
    timestamps: StageTimestamps | None = None

    def scene(self, number: int) -> SceneProgress:
        """Return how a scene is doing, as far as is known."""
        return self.scenes.get(number, SceneProgress())
