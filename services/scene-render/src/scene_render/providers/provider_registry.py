"""Creates the paid providers that have an API key."""

from scene_render.clips.download import Downloader
from scene_render.providers.callbacks import Callbacks
from scene_render.providers.fal import Fal
from scene_render.providers.luma import Luma
from scene_render.providers.luma_agents import LumaAgents
from scene_render.providers.runway import Runway
from scene_render.settings import DEFAULT_URLS, Settings
from shared.catalogue.models import CatalogueWrong, PriceUnknown, ProviderModels
from shared.settings import ProviderName

PaidProvider = Runway | Luma | LumaAgents | Fal


def paid_providers(settings: Settings, callbacks: Callbacks) -> list[PaidProvider]:
    """Return every paid provider with an API key: one that gets no new scenes may still run tasks of ours."""
    known = [name for name in DEFAULT_URLS if settings.api_key(name).get_secret_value()]
    return [paid_provider(name, settings, callbacks) for name in known]


def paid_provider(name: ProviderName, settings: Settings, callbacks: Callbacks) -> PaidProvider:
    """Return one paid provider."""
    url, key = settings.api_url(name), settings.api_key(name).get_secret_value()
    models = _models_of(name, settings)
    scale = 1 / settings.simulator_speed
    downloader = Downloader(settings.clip_hosts(name), settings.origin(name))
    concurrency, seconds = settings.concurrency(name), settings.submit_seconds
    provider: PaidProvider
    match name:
        case "runway":
            provider = Runway(url, key, models, concurrency, seconds, downloader)
        case "luma":
            provider = Luma(url, key, models, concurrency, seconds, downloader, callbacks, scale)
        case "luma-agents":
            provider = LumaAgents(url, key, models, concurrency, seconds, downloader)
        case "pika" | "fal":
            provider = Fal(name, url, key, models, concurrency, seconds, downloader, callbacks)
        case "animatic":
            raise ValueError("animatic is built in: it has no API to call")
    # A simulated provider that runs faster is also checked more often.
    provider.usual_seconds *= scale
    provider.check_seconds *= scale
    provider.attempt_seconds *= scale
    return provider


def _models_of(name: ProviderName, settings: Settings) -> ProviderModels | None:
    """Return the models of a provider; None if it gets no new orders and its models are wrong."""
    try:
        return settings.models_of(name)
    except (CatalogueWrong, PriceUnknown):
        if name in settings.providers:
            raise
        return None
