"""Providers as the API shows them."""

from decimal import Decimal

from pydantic import Field

from gateway.http.resource import Resource


class ProviderResource(Resource):
    """A provider with the numbers of scenes it is rendering and of scenes waiting for it."""

    name: str
    model: str
    prices_usd: dict[int, Decimal] = Field(description="By clip length in seconds; empty if free")
    rendering: int
    waiting: int
    available: bool = Field(description="Whether it accepts scenes, as far as known")
    notice: str | None = Field(description="Why it is unavailable")


class ProviderPage(Resource):
    """All configured providers, the preferred one first."""

    providers: list[ProviderResource]
