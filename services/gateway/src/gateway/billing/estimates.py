"""What videos are expected to cost: rules on the configured prices, without any I/O. Amounts are in USD."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from shared.contracts.events import VideoRequested
from shared.contracts.provider_selection import first_provider, is_available
from shared.contracts.story import Scene
from shared.money.prices import FREE, Tariff, estimate_request, estimate_story
from shared.settings import RenderSettings


class Estimates:
    """Estimates of what videos cost at the configured providers."""

    def __init__(self, settings: RenderSettings, storyboard_usd: Decimal = FREE) -> None:
        """Set the prices. `storyboard_usd`: what a language model is expected to charge for one storyboard."""
        self.storyboard_usd = storyboard_usd
        self.providers: tuple[str, ...] = settings.providers
        self.tariffs: Mapping[str, Tariff | None] = {name: settings.tariff(name) for name in settings.providers}

    def of_scenes(self, scenes: Sequence[Scene], requested: Sequence[str] = ()) -> Decimal:
        """Estimate the cost of rendering these scenes at the requested providers, or else the configured ones."""
        return estimate_story(self._tariff(requested), scenes)

    def of_request(self, request: VideoRequested) -> Decimal:
        """Estimate the cost of a requested video, including its storyboard unless the request has one."""
        if request.storyboard is not None:
            return self.of_scenes(request.storyboard.scenes, request.providers)
        rendering = estimate_request(self._tariff(request.providers), request.duration, request.scene_count)
        return rendering + self.storyboard_usd

    def highest(self, provider: str, scenes: Sequence[Scene], seconds: float, scene_count: int) -> Decimal | None:
        """Return the cost at the most expensive configured provider; None: `provider` is not one, its price is unknown.

        Without scenes, the film's length and number of scenes count.
        """
        if not is_available(provider, self.providers):
            return None
        return max(
            estimate_story(tariff, scenes) if scenes else estimate_request(tariff, seconds, scene_count)
            for tariff in self.tariffs.values()
        )

    def _tariff(self, requested: Sequence[str]) -> Tariff | None:
        """Return the tariff of the provider that scenes are offered to first; None: it is free."""
        return self.tariffs.get(first_provider(requested, self.providers))
