"""The settings of the composer service."""

from shared.settings import MediaSettings


class Settings(MediaSettings):
    """What every service has; the composer needs nothing more."""
