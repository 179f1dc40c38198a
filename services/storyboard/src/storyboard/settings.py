"""The settings of the storyboard service."""

from shared.settings import ServiceSettings


class Settings(ServiceSettings):
    """What every service has; the template writer needs nothing more."""
