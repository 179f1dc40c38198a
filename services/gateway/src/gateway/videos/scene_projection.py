"""The state of a scene, and how each event changes it: rules, without any I/O."""

from typing import Literal

from shared.contracts.base import Contract
from shared.contracts.events import Money, SceneDelayed, SceneFailed, SceneProgressed, SceneRendered, SceneStarted
from shared.contracts.media import MediaReference

SceneStatus = Literal["waiting", "unconfirmed", "rendering", "rendered", "failed"]
"""`unconfirmed`: it was submitted, and the provider has not confirmed it yet."""
SceneEvent = SceneDelayed | SceneStarted | SceneProgressed | SceneRendered | SceneFailed


class Picture(Contract):
    """A stored picture. Without a `provider` it was brought by the request, and is free."""

    media: MediaReference
    provider: str | None = None
    model: str | None = None
    cost_usd: Money


class SceneState(Contract):
    """The state of one scene. `percent` is 0-100."""

    state: SceneStatus = "waiting"
    percent: float = 0.0
    provider: str | None = None
    model: str | None = None
    eta_seconds: float | None = None
    kind: str | None = None
    reason: str | None = None
    notice: str | None = None
    """Why it waits longer than its place in the queue explains."""
    clip: MediaReference | None = None
    failed_in: int = 0
    """The epoch it failed in."""
    first_frame: Picture | None = None


def scene_after(before: SceneState, event: SceneEvent) -> SceneState:
    """Return a scene after an event; the same object if the event changes nothing. A rendered scene stays rendered."""
    if before.state == "rendered":
        return before
    after = _state_after(before, event)
    return before if after is before else after.model_copy(update={"first_frame": before.first_frame})


def _state_after(before: SceneState, event: SceneEvent) -> SceneState:
    match event:
        case SceneDelayed():
            state: SceneStatus = "unconfirmed" if event.kind == "unconfirmed" else "waiting"
            if state == "unconfirmed" and before.state == "failed":
                return before  # it is late
            return SceneState(state=state, percent=before.percent, provider=event.provider, notice=event.reason)
        case SceneStarted() | SceneProgressed():
            percent = max(before.percent, event.percent) if isinstance(event, SceneProgressed) else before.percent
            return SceneState(
                state="rendering", percent=percent, provider=event.provider, eta_seconds=event.eta_seconds
            )
        case SceneRendered():
            return SceneState(
                state="rendered", percent=100.0, provider=event.provider, model=event.model, clip=event.clip.media
            )
        case SceneFailed():
            return SceneState(
                state="failed",
                percent=before.percent,
                provider=before.provider,
                kind=event.kind,
                reason=event.reason,
                failed_in=event.epoch,
            )
