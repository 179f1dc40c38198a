"""The settings of the gateway."""

import ipaddress
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from shared.settings import RenderSettings, StorageSettings, StorySettings, WritingSettings

SHORTEST_SECRET = 32


class Settings(StorageSettings, RenderSettings, StorySettings, WritingSettings):
    """The settings that every service has, and those of the API."""

    host: str = Field("127.0.0.1", description="Where the API listens")
    port: int = Field(8000, description="0: any free port")
    public_url: str = Field("", description="The URL that links in answers begin with, e.g. https://video.example")
    app_upstream_url: str = Field(
        "", description="The application that this gateway stands in front of, e.g. http://localhost:3000"
    )
    cors_origins: tuple[str, ...] = Field(
        (), description="Origins of other pages that may call the API and the socket, e.g. https://app.example"
    )
    allowed_hosts: tuple[str, ...] = Field(
        (), description="Host names of this server, besides localhost and the host of PUBLIC_URL; `*`: any"
    )
    socket_feed: bool = Field(True, description="Whether a socket that never subscribes gets all videos of its owner")
    socket_ping_seconds: float = Field(25, gt=0, description="How often a socket's client is pinged")
    socket_pong_seconds: float = Field(20, gt=0, description="How long its answer may take")
    storyboard_wait_seconds: float = Field(20, ge=0, le=300, description="How long a call waits for its storyboard")
    retention_days: int = Field(30, ge=1, le=36_500, description="How long films are kept once they are made")
    upload_retention_days: int = Field(30, ge=1, le=36_500, description="How long uploaded pictures and clips are kept")
    media_secret: SecretStr = Field(SecretStr(""), description="Signs links to a folder's media; not needed with S3")
    auth: Literal["none", "keys"] = Field("none", description="`none`: anybody may call; `keys`: callers need a key")
    auth_none_anywhere: bool = Field(
        False, description="Allow AUTH=none on a public address, because something else restricts access"
    )
    auth_secret: SecretStr = Field(SecretStr(""), description="Signs sessions and tokens; the same for all replicas")
    calls_per_minute: int = Field(600, ge=0, description="The most calls of one owner at one replica; 0: any number")
    call_seconds: float = Field(30, gt=0, description="How long a call may take until its answer begins")
    webhook_private_hosts: tuple[str, ...] = Field(
        (), description="Hosts in our own network that webhooks may go to, by http too; `*` stands for all"
    )

    @field_validator("public_url")
    @classmethod
    def _without_slash(cls, url: str) -> str:
        if url and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
            raise ValueError("must begin with http:// or https:// and name a host, e.g. https://video.example")
        return url.rstrip("/")

    @field_validator("app_upstream_url")
    @classmethod
    def _an_address(cls, url: str) -> str:
        parts = urlsplit(url)
        is_plain = parts.scheme in ("http", "https") and parts.hostname and not (parts.query or parts.fragment)
        if url and (not is_plain or "@" in parts.netloc):
            raise ValueError("must be the address of a server, e.g. http://localhost:3000, without user or query")
        return url.rstrip("/")

    def objections(self) -> list[str]:
        """Return why the API must not be served with these settings, one sentence per reason."""
        found = []
        if self.auth == "none" and not self.auth_none_anywhere and not _is_loopback(self.host):
            found.append(
                f"With AUTH=none anybody who reaches HOST={self.host} can call the API: "
                "set AUTH=keys, or AUTH_NONE_ANYWHERE=true if something else restricts access."
            )
        if self.auth == "keys" and len(self.auth_secret.get_secret_value()) < SHORTEST_SECRET:
            found.append(
                f"AUTH=keys requires AUTH_SECRET: {SHORTEST_SECRET} random characters or more "
                "(openssl rand -hex 32), the same for all replicas."
            )
        if self.auth == "keys" and self.storage_url.startswith("file:") and not self.media_secret.get_secret_value():
            found.append(
                "AUTH=keys with a storage folder requires MEDIA_SECRET: without it anybody can sign links to films."
            )
        return found


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
