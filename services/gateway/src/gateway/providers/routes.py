"""The REST API of providers: prices, load and availability."""

from fastapi import APIRouter

from gateway.access.dependencies import Reader
from gateway.providers.schemas import ProviderPage, ProviderResource
from gateway.providers.service import Providers


def routes(providers: Providers) -> APIRouter:
    """Return the routes of providers."""
    router = APIRouter(tags=["figures"])

    @router.get("/api/v1/providers")
    async def list_providers(_caller: Reader) -> ProviderPage:
        """List the providers with their prices, availability and number of scenes."""
        shown = [
            ProviderResource(
                name=facts.name,
                model=facts.model,
                prices_usd=facts.prices,
                models=facts.models,
                film_usd=facts.film_usd,
                rendering=facts.rendering,
                waiting=facts.waiting,
                available=facts.notice is None,
                notice=facts.notice,
            )
            for facts in await providers.facts()
        ]
        return ProviderPage(providers=shown)

    return router
