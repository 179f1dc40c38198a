"""The settings of the scene-render service."""

from decimal import Decimal
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from shared.settings import MediaSettings, ProviderName, RenderSettings

DEFAULT_URLS: dict[ProviderName, str] = {
    "runway": "https://api.dev.runwayml.com",
    "luma": "https://api.lumalabs.ai/dream-machine/v1",
    "pika": "https://queue.fal.run",
}


class KeyMissing(ValueError):
    """A paid provider is configured without an API key."""

    def __init__(self, provider: str) -> None:
        super().__init__(f"{provider} needs a key: set VIDEO_API_KEY or {provider.upper()}_API_KEY")
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
    pika_api_url: str = Field("", description="URL of the fal API, if not its default")
    pika_api_key: SecretStr = Field(SecretStr(""), description="API key of fal")
    pika_concurrency: int = Field(2, ge=1, le=100, description="Concurrent fal requests: the limit of your account")
    pika_clip_hosts: tuple[str, ...] = Field(("*.fal.media",), description="Hosts that serve fal's clips")
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
            self.tariff(name)
            if self.providers_simulated and self.api_url(name) == DEFAULT_URLS.get(name):
                raise ValueError(f"PROVIDERS_SIMULATED is true, but {name} is the real one: set {name.upper()}_API_URL")
        if self.callback_url and not self.callback_secret.get_secret_value():
            raise ValueError("CALLBACK_URL needs a CALLBACK_SECRET")
        return self

    def api_url(self, name: ProviderName) -> str:
        """Return the API URL of a paid provider."""
        own: str = getattr(self, f"{name}_api_url")
        return own or (self.video_api_url if name == self.video_api_provider else "") or DEFAULT_URLS[name]

    def api_key(self, name: ProviderName) -> SecretStr:
        """Return the API key of a paid provider."""
        own: SecretStr = getattr(self, f"{name}_api_key")
        return own if own.get_secret_value() or name != self.video_api_provider else self.video_api_key

    def origin(self, name: ProviderName) -> str | None:
        """Return the origin of a configured provider URL, which may serve its clips; None for the default URL."""
        url = self.api_url(name)
        return None if url == DEFAULT_URLS[name] else "/".join(url.split("/")[:3])
