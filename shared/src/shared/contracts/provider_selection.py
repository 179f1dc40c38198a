"""Decides which providers may render a scene. Prices, ETAs, statistics and the routing of scenes all use this rule."""

from collections.abc import Sequence

FREE_PROVIDER = "animatic"
"""The built-in renderer. It costs nothing and needs no setting, so a request can always name it."""


def is_available(provider: str, configured: Sequence[str]) -> bool:
    """Return whether a provider takes scenes here."""
    return provider == FREE_PROVIDER or provider in configured


def providers_for(requested: Sequence[str], configured: Sequence[str]) -> tuple[str, ...]:
    """Return the providers that may render a scene, the preferred one first.

    Requested providers that are not available are ignored; if none is left, all configured ones may render it.
    """
    return tuple(name for name in requested if is_available(name, configured)) or tuple(configured)


def first_provider(requested: Sequence[str], configured: Sequence[str]) -> str:
    """Return the provider that a scene is offered to first."""
    return providers_for(requested, configured)[0]
