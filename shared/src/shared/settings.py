"""The settings every service has. This, and each service's own `settings.py`, alone read the environment."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class BrokerSettings(BaseSettings):
    """Read from the environment, or from a `.env` file in the working directory."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", env_ignore_empty=True)

    broker_url: SecretStr = Field(SecretStr("amqp://guest:guest@localhost:5672/"), description="RabbitMQ")


class ServiceSettings(BrokerSettings):
    """What every service needs to run."""

    database_url: SecretStr = Field(description="The schema of this service alone, as an SQLAlchemy URL")
    health_host: str = Field("127.0.0.1", description="Where a worker answers /healthz, /readyz and /metrics")
    health_port: int = Field(8081, description="0: any free port")
    log_level: str = "INFO"
    log_format: str = Field("json", pattern="^(json|text)$")
    otel_exporter_otlp_endpoint: str | None = Field(None, description="Where traces go; none are kept without it")


class StorageSettings(ServiceSettings):
    """What a service that knows stored media needs besides."""

    storage_url: str = Field(description="`s3://bucket?endpoint=...` or `file:///folder`")


class MediaSettings(StorageSettings):
    """What a service that works on media needs besides."""

    ffmpeg_binary: Path | None = Field(None, description="An ffmpeg to use instead of the one that is installed along")
    work_folder: Path | None = Field(None, description="Where files are kept while a step works on them")
