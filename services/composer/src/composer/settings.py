"""The settings of the composer service."""

from shared.settings import MediaSettings


class Settings(MediaSettings):
    """The settings of all services with media; the composer has none of its own."""
