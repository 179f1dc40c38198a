"""When the present stages of a video began, in seconds since 1970. Kept with the video, as JSON."""

from typing import Self

from shared.contracts.base import Contract


class SceneTimestamps(Contract):
    """When a scene was started, and when its provider last reported its progress."""

    started: float
    heard: float


class StageTimestamps(Contract):
    """When the present stages of a video began, and when it was promised to be done."""

    requested: float
    storyboard: float
    given: bool = False
    """Whether its storyboard came with the request."""
    scenes: dict[int, SceneTimestamps] = {}
    combining: float | None = None
    promised: float | None = None

    def with_scene(self, number: int, clock: float, *, continues: bool) -> Self:
        """Return a copy in which a scene was heard of now. A scene of several tasks `continues` with each of them."""
        known = self.scenes.get(number) if continues else None
        scene = SceneTimestamps(started=known.started if known else clock, heard=clock)
        return self.model_copy(update={"scenes": {**self.scenes, number: scene}})

    def without_scene(self, number: int) -> Self:
        """Return a copy without a scene that is not being rendered any more."""
        return self.model_copy(update={"scenes": {n: scene for n, scene in self.scenes.items() if n != number}})

    def now_by(self, clock: float) -> float:
        """Return the time in whole seconds since the request, so that two requests in a row see the same."""
        return self.requested + max(int(clock - self.requested), 0)
