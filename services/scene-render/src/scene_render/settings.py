"""The settings of the scene-render service."""

from typing import Literal

from pydantic import Field

from shared.settings import MediaSettings


class Settings(MediaSettings):
    """What every service has, and who renders."""

    video_api_provider: Literal["animatic"] = Field("animatic", description="Who renders the scenes")
    animatic_concurrency: int = Field(2, ge=1, le=64, description="How many animatics are drawn at once, in all")
