"""The REST API of providers: who renders, and how they are doing."""

from fastapi import APIRouter

from gateway.access.dependencies import Reader
from gateway.providers.schemas import ProviderPage, ProviderResource
from gateway.providers.service import Providers


def routes(providers: Providers) -> APIRouter:
    """All routes of providers, on these tools."""
    router = APIRouter(tags=["figures"])

    @router.get("/api/v1/providers")
    async def list_providers(_caller: Reader) -> ProviderPage:
        """See who renders, at what price, whether they take scenes, and how many they have."""
        shown = [
            ProviderResource(
                name=facts.name,
                model=facts.model,
                prices_usd=facts.prices,
                rendering=facts.rendering,
                waiting=facts.waiting,
                available=facts.notice is None,
                notice=facts.notice,
            )
            for facts in await providers.look()
        ]
        return ProviderPage(providers=shown)

    return router
