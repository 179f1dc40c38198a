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
    """A paid provider is to render, and there is no key for it."""

    def __init__(self, provider: str) -> None:
        super().__init__(f"{provider} needs a key: set VIDEO_API_KEY or {provider.upper()}_API_KEY")
        self.provider = provider


class Settings(MediaSettings, RenderSettings):
    """What every service has, who renders, and how the providers are reached.

    `VIDEO_API_URL` and `VIDEO_API_KEY` are those of `VIDEO_API_PROVIDER`.
    """

    video_api_url: str = Field("", description="Where the provider is reached, if not at its own address")
    video_api_key: SecretStr = Field(SecretStr(""), description="The key of the account there")
    runway_api_url: str = Field("", description="Another address of Runway than its own")
    runway_api_key: SecretStr = Field(SecretStr(""), description="The key of your Runway account")
    runway_concurrency: int = Field(2, ge=1, le=100, description="Tasks Runway works on at once: your tier's limit")
    runway_clip_hosts: tuple[str, ...] = Field(
        ("dnznrvs05pmza.cloudfront.net", "*.runwayml.com"), description="Where Runway's clips are fetched from"
    )
    luma_api_url: str = Field("", description="Another address of Luma than its own")
    luma_api_key: SecretStr = Field(SecretStr(""), description="The key of your Luma account")
    luma_concurrency: int = Field(10, ge=1, le=100, description="Tasks Luma works on at once: your tier's limit")
    luma_clip_hosts: tuple[str, ...] = Field(
        ("storage.cdn-luma.com", "*.lumalabs.ai"), description="Where Luma's clips are fetched from"
    )
    pika_api_url: str = Field("", description="Another address of fal than its own")
    pika_api_key: SecretStr = Field(SecretStr(""), description="The key of your fal account")
    pika_concurrency: int = Field(2, ge=1, le=100, description="Requests fal works on at once: your account's limit")
    pika_clip_hosts: tuple[str, ...] = Field(("*.fal.media",), description="Where fal's clips are fetched from")
    callback_url: str = Field("", description="Where the world reaches this service's /callbacks; empty: no callbacks")
    callback_host: str = Field("127.0.0.1", description="Where callbacks are heard, apart from probes and metrics")
    callback_port: int = Field(8082, description="0: any free port")
    callback_secret: SecretStr = Field(SecretStr(""), description="Makes callback addresses that nobody can guess")
    submit_seconds: float = Field(60.0, gt=0, description="How long a provider may take to answer an order")
    scene_wait_seconds: float = Field(
        3600.0, gt=0, description="How long a scene waits for a provider that accepts no scenes"
    )
    unknown_policy: Literal["ask", "pay_again"] = Field(
        "ask",
        description="What happens to an order that may have been paid. `ask` a person, or `pay_again`",
    )
    unknown_wait_seconds: float = Field(
        600.0,
        ge=0,
        description="How long a person has to settle an unknown order before it is ordered again (`pay_again`)",
    )
    unknown_day_usd: Decimal = Field(
        Decimal(10), ge=0, description="The most that may be paid again in a day, in USD (`pay_again`)"
    )
    simulator_speed: float = Field(1.0, gt=0, description="How many times faster than life simulated providers are")
    animatic_concurrency: int = Field(2, ge=1, le=64, description="How many animatics are drawn at once, in all")

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
        """Where a paid provider is reached."""
        own: str = getattr(self, f"{name}_api_url")
        return own or (self.video_api_url if name == self.video_api_provider else "") or DEFAULT_URLS[name]

    def api_key(self, name: ProviderName) -> SecretStr:
        """The key of a paid provider's account."""
        own: SecretStr = getattr(self, f"{name}_api_key")
        return own if own.get_secret_value() or name != self.video_api_provider else self.video_api_key

    def origin(self, name: ProviderName) -> str | None:
        """The place besides its own where a provider's clips may lie: that of an address that was configured."""
        url = self.api_url(name)
        return None if url == DEFAULT_URLS[name] else "/".join(url.split("/")[:3])
