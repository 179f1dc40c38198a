"""The settings of the composer service."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from shared.settings import MediaSettings


class Settings(MediaSettings):
    """Read from the environment, or from a `.env` file in the working directory."""

    hold_joins: Literal["auto", "never"] = Field(
        "auto",
        description="Whether a clip that can only be cut at its beginning stands still during the transition to it, "
        "so that it need not be encoded again: `auto` or `never`",
    )
    verify: Literal["encoded", "full"] = Field(
        "encoded", description="How much of a film is decoded to verify it: `encoded` parts, or the `full` film"
    )
    provenance_folder: Path | None = Field(
        None,
        description="Folder with `key.pem` (ES256) and `certificates.pem` (the signer's first), which sign films; "
        "if it has none, a pair of its own is made there. Empty: films are not signed",
    )
