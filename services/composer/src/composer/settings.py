"""The settings of the composer service."""

from shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """What every service has; the composer needs nothing more."""
