"""Creates the paid providers that have an API key."""

from scene_render.clips.download import Downloader
from scene_render.providers.callbacks import Callbacks
from scene_render.providers.luma import Luma
from scene_render.providers.pika import Pika
from scene_render.providers.runway import Runway
from scene_render.settings import DEFAULT_URLS, Settings
from shared.money.prices import Tariff
from shared.settings import ProviderName


def paid_providers(settings: Settings, callbacks: Callbacks) -> list[Runway | Luma | Pika]:
    """Return every paid provider with an API key: one that gets no new scenes may still run tasks of ours."""
    known = [name for name in DEFAULT_URLS if settings.api_key(name).get_secret_value()]
    return [paid_provider(name, settings, callbacks) for name in known]


def paid_provider(name: ProviderName, settings: Settings, callbacks: Callbacks) -> Runway | Luma | Pika:
    """Return one paid provider."""
    url, key = settings.api_url(name), settings.api_key(name).get_secret_value()
    # Without new orders it needs no prices.
    tariff = (settings.tariff(name) if name in settings.providers else None) or Tariff({})
    scale = 1 / settings.simulator_speed
    downloader = Downloader(getattr(settings, f"{name}_clip_hosts"), settings.origin(name))
    concurrency: int = getattr(settings, f"{name}_concurrency")
    seconds = settings.submit_seconds
    provider: Runway | Luma | Pika
    match name:
        case "runway":
            provider = Runway(url, key, settings.runway_model, tariff, concurrency, seconds, downloader)
        case "luma":
            of_luma = (settings.luma_model, settings.luma_resolution)
            provider = Luma(url, key, *of_luma, tariff, concurrency, seconds, downloader, callbacks, scale)
        case "pika":
            of_pika = (settings.pika_model, settings.pika_resolution)
            provider = Pika(url, key, *of_pika, tariff, concurrency, seconds, downloader, callbacks)
        case "animatic":
            raise ValueError("animatic is built in: it has no API to call")
    # A simulated provider that runs faster is also checked more often.
    provider.usual_seconds *= scale
    provider.check_seconds *= scale
    provider.attempt_seconds *= scale
    return provider
