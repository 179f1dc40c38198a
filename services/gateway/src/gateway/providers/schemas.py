"""Providers as the API shows them."""

from decimal import Decimal

from pydantic import Field

from gateway.http.resource import Resource
from shared.contracts.story import Quality


class ProviderResource(Resource):
    """A provider with the numbers of scenes it is rendering and of scenes waiting for it."""

    name: str
    model: str
    prices_usd: dict[int, Decimal] = Field(description="Of a clip, by its length in seconds; empty if free")
    models: dict[str, str] = Field(description="The model for each purpose; empty if free")
    film_usd: dict[Quality, Decimal] = Field(description="What a film of 30 s in 3 scenes costs in each tier")
    rendering: int
    waiting: int
    available: bool = Field(description="Whether it accepts scenes, as far as known")
    notice: str | None = Field(description="Why it is unavailable")


class ProviderPage(Resource):
    """All configured providers, the preferred one first."""

    providers: list[ProviderResource]
