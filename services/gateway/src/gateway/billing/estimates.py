"""What videos are expected to cost: rules on the configured prices, without any I/O. Amounts are in USD."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from shared.catalogue.models import ProviderModels
from shared.catalogue.shot_orders import estimate_request, estimate_story
from shared.contracts.events import VideoRequested
from shared.contracts.provider_selection import first_provider, is_available
from shared.contracts.story import Quality, Storyboard
from shared.money.prices import FREE
from shared.settings import RenderSettings

TIERS: tuple[Quality, ...] = ("draft", "standard", "premium")


class Estimates:
    """Estimates of what videos cost at the configured providers."""

    def __init__(self, settings: RenderSettings, storyboard_usd: Decimal = FREE) -> None:
        """Set the prices. `storyboard_usd`: what a language model is expected to charge for one storyboard."""
        self.storyboard_usd = storyboard_usd
        self.providers: tuple[str, ...] = settings.providers
        self.models: Mapping[str, ProviderModels | None] = {
            name: settings.models_of(name) for name in settings.providers
        }

    def of_storyboard(self, story: Storyboard, quality: Quality, requested: Sequence[str] = ()) -> Decimal:
        """Estimate the cost of filming a storyboard at the requested providers, or else the configured ones."""
        return estimate_story(self._models(requested), quality, story)

    def of_request(self, request: VideoRequested) -> Decimal:
        """Estimate the cost of a requested video, including its storyboard unless the request has one."""
        return self._of_request(request, request.quality, request.providers)

    def of_tiers(self, request: VideoRequested) -> dict[Quality, Decimal]:
        """Estimate the cost of a requested video in each tier."""
        # A draft names the free renderer; the other tiers of the same request do not.
        requested = () if request.quality == "draft" else request.providers
        return {tier: self._of_request(request, tier, requested) for tier in TIERS}

    def _of_request(self, request: VideoRequested, quality: Quality, requested: Sequence[str]) -> Decimal:
        if request.storyboard is not None:
            return self.of_storyboard(request.storyboard, quality, requested)
        models, references = self._models(requested), len(request.references)
        rendering = estimate_request(models, quality, request.duration, request.scene_count, references)
        return rendering + self.storyboard_usd

    def highest(
        self, provider: str, story: Storyboard | None, quality: Quality, seconds: float, scene_count: int
    ) -> Decimal | None:
        """Return the cost at the most expensive configured provider; None: `provider` is not one, its price is unknown.

        Without a story, the film's length and number of scenes count.
        """
        if not is_available(provider, self.providers):
            return None
        return max(
            estimate_story(models, quality, story)
            if story is not None
            else estimate_request(models, quality, seconds, scene_count)
            for models in self.models.values()
        )

    def _models(self, requested: Sequence[str]) -> ProviderModels | None:
        """Return the models of the provider that scenes are offered to first; None: it is free."""
        return self.models.get(first_provider(requested, self.providers))
