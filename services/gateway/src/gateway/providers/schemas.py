"""Providers as the API shows them."""

from decimal import Decimal

from pydantic import Field

from gateway.http.resource import Resource


class ProviderResource(Resource):
    """A provider, how many scenes it renders, and how many wait for it."""

    name: str
    model: str
    prices_usd: dict[int, Decimal] = Field(description="By the length of a clip in seconds; empty: it is free")
    rendering: int
    waiting: int
    available: bool = Field(description="Whether it takes scenes, as far as was heard")
    notice: str | None = Field(description="Why not")


class ProviderPage(Resource):
    """All providers that are configured, the preferred one first."""

    providers: list[ProviderResource]
