"""The settings of the gateway."""

from pydantic import Field, SecretStr

from shared.settings import StorageSettings


class Settings(StorageSettings):
    """What every service has, and how the world reaches the API."""

    host: str = Field("127.0.0.1", description="Where the API listens")
    port: int = Field(8000, description="0: any free port")
    public_url: str = Field("", description="What stands before the links in answers, e.g. https://video.example")
    cors_origins: tuple[str, ...] = Field((), description="Pages elsewhere that may call the API and the socket")
    media_secret: SecretStr = Field(SecretStr(""), description="Signs links to a folder's media; not needed with S3")
