"""The settings of the scene-render service."""

from decimal import Decimal
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from shared.catalogue.models import PriceUnknown
from shared.settings import MediaSettings, ProviderName, RenderSettings

DEFAULT_URLS: dict[ProviderName, str] = {
    "runway": "https://api.dev.runwayml.com",
    "luma": "https://api.lumalabs.ai/dream-machine/v1",
    "luma-agents": "https://agents.lumalabs.ai/v1",
    "pika": "https://queue.fal.run",
    "fal": "https://queue.fal.run",
}


class KeyMissing(ValueError):
    """A paid provider is configured without an API key."""

    def __init__(self, provider: str) -> None:
        super().__init__(f"{provider} needs a key: set VIDEO_API_KEY or {_prefix(provider).upper()}_API_KEY")
        self.provider = provider


class Settings(MediaSettings, RenderSettings):
    """The common settings, the providers and how to reach them.

    `VIDEO_API_URL` and `VIDEO_API_KEY` belong to `VIDEO_API_PROVIDER`.
    """

    video_api_url: str = Field("", description="The provider's URL, if not its default")
    video_api_key: SecretStr = Field(SecretStr(""), description="API key of that provider")
    runway_api_url: str = Field("", description="URL of the Runway API, if not its default")
    runway_api_key: SecretStr = Field(SecretStr(""), description="API key of Runway")
    runway_concurrency: int = Field(2, ge=1, le=100, description="Concurrent Runway tasks: the limit of your tier")
    runway_clip_hosts: tuple[str, ...] = Field(
        ("dnznrvs05pmza.cloudfront.net", "*.runwayml.com"), description="Hosts that serve Runway's clips"
    )
    luma_api_url: str = Field("", description="URL of the Luma API, if not its default")
    luma_api_key: SecretStr = Field(SecretStr(""), description="API key of Luma")
    luma_concurrency: int = Field(10, ge=1, le=100, description="Concurrent Luma tasks: the limit of your tier")
    luma_clip_hosts: tuple[str, ...] = Field(
        ("storage.cdn-luma.com", "*.lumalabs.ai"), description="Hosts that serve Luma's clips"
    )
    luma_agents_api_url: str = Field("", description="URL of the Luma Agents API, if not its default")
    luma_agents_api_key: SecretStr = Field(SecretStr(""), description="API key of Luma Agents")
    luma_agents_concurrency: int = Field(
        5, ge=1, le=100, description="Concurrent Luma Agents tasks: the limit of your account"
    )
    luma_agents_clip_hosts: tuple[str, ...] = Field(
        ("*.lumalabs.ai", "*.cdn-luma.com"),
        description="Hosts that serve the clips of Luma Agents, which does not document them",
    )
    pika_api_url: str = Field("", description="URL of the fal API for Pika, if not its default")
    pika_api_key: SecretStr = Field(SecretStr(""), description="API key of fal for Pika")
    pika_concurrency: int = Field(2, ge=1, le=100, description="Concurrent Pika requests: the limit of your account")
    pika_clip_hosts: tuple[str, ...] = Field(("*.fal.media",), description="Hosts that serve Pika's clips")
    fal_api_url: str = Field("", description="URL of the fal API, if not its default")
    fal_api_key: SecretStr = Field(SecretStr(""), description="API key of fal")
    fal_concurrency: int = Field(2, ge=1, le=100, description="Concurrent fal requests: the limit of your account")
    fal_clip_hosts: tuple[str, ...] = Field(("*.fal.media",), description="Hosts that serve fal's clips")
    callback_url: str = Field("", description="Public URL of this service's /callbacks; empty: no callbacks")
    callback_host: str = Field("127.0.0.1", description="Bind address for callbacks, not for probes and metrics")
    callback_port: int = Field(8082, description="Port that accepts callbacks. 0: any free port")
    callback_secret: SecretStr = Field(SecretStr(""), description="Secret that makes callback URLs impossible to guess")
    submit_seconds: float = Field(60.0, gt=0, description="Seconds that a provider may take to answer an order")
    scene_wait_seconds: float = Field(
        3600.0, gt=0, description="Seconds that a scene waits while no provider accepts tasks"
    )
    unknown_policy: Literal["ask", "pay_again"] = Field(
        "ask",
        description="Policy for an order that may have been paid: `ask` a person, or `pay_again`",
    )
    unknown_wait_seconds: float = Field(
        600.0,
        ge=0,
        description="Seconds until an order that may have been paid is ordered again (`pay_again`)",
    )
    unknown_day_usd: Decimal = Field(
        Decimal(10), ge=0, description="Daily limit in USD for orders that are paid again (`pay_again`)"
    )
    simulator_speed: float = Field(1.0, gt=0, description="Speed-up of simulated providers; 1: real time")
    animatic_concurrency: int = Field(2, ge=1, le=64, description="Animatics drawn concurrently, over all replicas")

    @model_validator(mode="after")
    def _complete(self) -> "Settings":
        for name in self.providers:
            if name != "animatic" and not self.api_key(name).get_secret_value():
                raise KeyMissing(name)
            try:
                self.models_of(name)
            except PriceUnknown as error:
                raise ValueError(str(error)) from error
            if self.providers_simulated and name != "animatic" and self.api_url(name) == DEFAULT_URLS[name]:
                setting = f"{_prefix(name).upper()}_API_URL"
                raise ValueError(f"PROVIDERS_SIMULATED is true, but {name} is the real one: set {setting}")
        if self.callback_url and not self.callback_secret.get_secret_value():
            raise ValueError("CALLBACK_URL needs a CALLBACK_SECRET")
        return self

    def api_url(self, name: ProviderName) -> str:
        """Return the API URL of a paid provider."""
        own: str = getattr(self, f"{_prefix(name)}_api_url")
        return own or (self.video_api_url if name == self.video_api_provider else "") or DEFAULT_URLS[name]

    def api_key(self, name: ProviderName) -> SecretStr:
        """Return the API key of a paid provider."""
        own: SecretStr = getattr(self, f"{_prefix(name)}_api_key")
        return own if own.get_secret_value() or name != self.video_api_provider else self.video_api_key

    def concurrency(self, name: ProviderName) -> int:
        """Return how many tasks a paid provider may run at once."""
        concurrency: int = getattr(self, f"{_prefix(name)}_concurrency")
        return concurrency

    def clip_hosts(self, name: ProviderName) -> tuple[str, ...]:
        """Return the hosts that serve the clips of a paid provider."""
        hosts: tuple[str, ...] = getattr(self, f"{_prefix(name)}_clip_hosts")
        return hosts

    def origin(self, name: ProviderName) -> str | None:
        """Return the origin of a configured provider URL, which may serve its clips; None for the default URL."""
        url = self.api_url(name)
        return None if url == DEFAULT_URLS[name] else "/".join(url.split("/")[:3])


def _prefix(provider: str) -> str:
    """Return what the settings of a provider begin with."""
    return provider.replace("-", "_")
