"""The settings of every service. Only this module and each service's own `settings.py` read the environment."""

import json
import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_core import ErrorDetails, PydanticUndefined
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

from shared.catalogue.models import ProviderModels, models_of, read_file
from shared.contracts.provider_selection import FREE_PROVIDER
from shared.contracts.story_rules import SceneSeconds
from shared.money.budget import Caps
from shared.money.prices import TokenPrices

S = TypeVar("S", bound=BaseSettings)


def read(settings: type[S]) -> S:
    """Read the settings; if any are wrong, end the process with one line for each."""
    try:
        return settings()
    except ValidationError as error:
        lines = [_complaint(settings, fault) for fault in error.errors()]
    except SettingsError as error:
        name = str(error).partition('"')[2].partition('"')[0]
        lines = [f"{name.upper()}: this is not JSON.{_example(settings, name)}"]
    sys.exit("\n".join(lines))


def _complaint(settings: type[BaseSettings], fault: ErrorDetails) -> str:
    """Describe in one line what is wrong with a setting."""
    message = fault["msg"].removeprefix("Value error, ")
    if not fault["loc"]:
        return message
    name = str(fault["loc"][0])
    if fault["type"] == "missing":
        return f"{name.upper()}: it is missing.{_example(settings, name)}"
    field = settings.model_fields.get(name)
    secret = field is not None and "Secret" in str(field.annotation)
    value = "" if secret else f" It is {fault['input']!r}."
    return f"{name.upper()}: {message}.{value}{_example(settings, name)}"


def _example(settings: type[BaseSettings], name: str) -> str:
    field = settings.model_fields.get(name)
    if field is None:
        return ""
    example = field.examples[0] if field.examples else field.default
    if isinstance(example, tuple):
        example = json.dumps(example or ["..."])
    if isinstance(example, SecretStr) or example in ("", None, PydanticUndefined):
        return ""
    return f" Example: {name.upper()}={example}"


DATABASE_EXAMPLE = "mysql+asyncmy://user:password@localhost:3306/schema"
BROKER_EXAMPLE = "amqp://guest:guest@localhost:5672/"


class BrokerSettings(BaseSettings):
    """Read from the environment, or from a `.env` file in the working directory."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", env_ignore_empty=True)

    broker_url: SecretStr = Field(SecretStr(BROKER_EXAMPLE), description="RabbitMQ", examples=[BROKER_EXAMPLE])

    @field_validator("broker_url")
    @classmethod
    def _amqp(cls, url: SecretStr) -> SecretStr:
        parts = urlsplit(url.get_secret_value())
        if parts.scheme not in ("amqp", "amqps") or not parts.hostname:
            raise ValueError("It must be an address that begins with amqp:// or amqps://")
        return url


class BrokerPasswords(BaseSettings):
    """The passwords of RabbitMQ's users, for setting up the broker."""

    model_config = BrokerSettings.model_config

    storyboard_broker_password: SecretStr = Field(min_length=1)
    scene_render_broker_password: SecretStr = Field(min_length=1)
    composer_broker_password: SecretStr = Field(min_length=1)
    gateway_broker_password: SecretStr = Field(min_length=1)
    producer_broker_password: SecretStr = Field(min_length=1)
    listener_broker_password: SecretStr = Field(min_length=1)
    operator_broker_password: SecretStr = Field(min_length=1)

    @property
    def by_user(self) -> dict[str, str]:
        """The password of each user."""
        suffix = "_broker_password"
        return {name.removesuffix(suffix).replace("_", "-"): value.get_secret_value() for name, value in self}


class ServiceSettings(BrokerSettings):
    """The settings that every service needs."""

    database_url: SecretStr = Field(
        description="The schema that only this service uses, as an SQLAlchemy URL", examples=[DATABASE_EXAMPLE]
    )
    database_connections: int = Field(32, ge=4, description="Maximum database connections per process")
    health_host: str = Field("127.0.0.1", description="Listen address for /healthz, /readyz and /metrics of a worker")
    health_port: int = Field(8081, description="Port of these endpoints; 0: any free port")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO", description="Lowest level that is logged"
    )
    log_format: str = Field("json", pattern="^(json|text)$", description="`json` or `text`")
    otel_exporter_otlp_endpoint: str | None = Field(None, description="Collector of traces; empty: none")

    @field_validator("database_url")
    @classmethod
    def _driver(cls, url: SecretStr) -> SecretStr:
        if urlsplit(url.get_secret_value()).scheme not in ("mysql+asyncmy", "sqlite+aiosqlite", "sqlite"):
            raise ValueError("It must be an address that begins with mysql+asyncmy://")
        return url

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper_case(cls, level: object) -> object:
        return level.upper() if isinstance(level, str) else level


class StorageSettings(ServiceSettings):
    """The additional settings of a service that refers to stored media."""

    storage_url: str = Field(
        description="`s3://bucket?endpoint=…&region=…&public_endpoint=…`, or `file:///folder`",
        examples=["s3://bucket?endpoint=http://localhost:8333"],
    )

    @field_validator("storage_url")
    @classmethod
    def _storage(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("s3", "file") or (parts.scheme == "s3" and not parts.netloc):
            raise ValueError("It must begin with s3://bucket or file:///folder")
        return url


class MediaSettings(StorageSettings):
    """The additional settings of a service that processes media."""

    ffmpeg_binary: Path | None = Field(None, description="An ffmpeg to use instead of the bundled one")
    work_folder: Path | None = Field(None, description="Folder for temporary files of a step")


ProviderName = Literal["animatic", "runway", "luma", "luma-agents", "pika", "fal"]


class StorySettings(BaseSettings):
    """How long scenes can be: for services that write stories or accept edited ones."""

    model_config = BrokerSettings.model_config

    scene_min_seconds: float = Field(3, gt=0, le=12, description="The shortest clip the provider renders")
    scene_max_seconds: float = Field(60, ge=4, le=60, description="The longest clip the provider renders")

    @property
    def scene_seconds(self) -> SceneSeconds:
        """Both limits."""
        return SceneSeconds(self.scene_min_seconds, self.scene_max_seconds)


class BudgetSettings(BaseSettings):
    """How much may be spent: for services that spend money or promise a price."""

    model_config = BrokerSettings.model_config

    budget_video_usd: Decimal | None = Field(Decimal(10), ge=0, description="Maximum cost of one video")
    budget_owner_day_usd: Decimal | None = Field(Decimal(50), ge=0, description="Maximum cost per owner and day")
    budget_day_usd: Decimal | None = Field(Decimal(200), ge=0, description="Maximum cost per day")

    @property
    def caps(self) -> Caps:
        """The caps on spending."""
        return Caps(self.budget_video_usd, self.budget_owner_day_usd, self.budget_day_usd)


class WritingSettings(BudgetSettings):
    """The prices of the language model that writes stories."""

    llm_price_input_usd: Decimal = Field(Decimal(0), ge=0, description="Price of a million input tokens, in USD")
    llm_price_output_usd: Decimal = Field(Decimal(0), ge=0, description="Price of a million output tokens, in USD")

    @property
    def token_prices(self) -> TokenPrices:
        """Both prices."""
        return TokenPrices(self.llm_price_input_usd, self.llm_price_output_usd)


class RenderSettings(BudgetSettings):
    """The providers and their prices: for services that render or promise a price."""

    model_config = BrokerSettings.model_config

    video_api_provider: ProviderName = Field("animatic", description="The provider that renders the scenes")
    video_providers: Annotated[tuple[ProviderName, ...], NoDecode] = Field(
        (), description="Several providers, the preferred one first; a scene fails over to the next one"
    )
    providers_simulated: bool = Field(
        False, description="Whether the providers are simulated, so that no real money is spent"
    )
    model_catalogue: Path | None = Field(
        None, description="TOML file with models to add to the catalogue or to replace; see `make prices`"
    )
    video_models: Mapping[ProviderName, dict[str, str]] = Field(
        {}, description='Models to use instead of the usual ones: `{"runway": {"standard": "gen4.5"}}`'
    )
    video_prices: Mapping[str, Decimal | dict[int, Decimal]] = Field(
        {}, description='Overrides of known prices: `{"runway/gen4.5": 0.10}` per second, or by length in seconds'
    )

    @field_validator("video_providers", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:  # noqa: ANN401 - whatever the environment holds
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @property
    def providers(self) -> tuple[ProviderName, ...]:
        """All providers, the preferred one first."""
        return tuple(dict.fromkeys(self.video_providers)) or (self.video_api_provider,)

    def models_of(self, provider: ProviderName) -> ProviderModels | None:
        """Return the models of a provider; None: it is free. Raises `CatalogueWrong`, `PriceUnknown`."""
        if provider == FREE_PROVIDER:
            return None
        additions = read_file(self.model_catalogue) if self.model_catalogue else None
        uses = self.video_models.get(provider)
        return models_of(provider, additions=additions, uses=uses, prices=self.video_prices)
