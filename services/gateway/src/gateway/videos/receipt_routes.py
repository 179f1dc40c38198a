"""The REST API of receipts."""

from uuid import UUID

from fastapi import APIRouter

from gateway.access.dependencies import Reader
from gateway.videos.receipts import ReceiptResource, Receipts


def routes(receipts: Receipts) -> APIRouter:
    """Return the routes of receipts."""
    router = APIRouter(tags=["videos"])

    @router.get("/api/v1/videos/{video_id}/receipt", responses={409: {"description": "Its film is not completed"}})
    async def get_receipt(video_id: UUID, caller: Reader) -> ReceiptResource:
        """Get who made a film, with which models, and what it cost."""
        return await receipts.get(video_id, owner=caller.visible_owner)

    return router
