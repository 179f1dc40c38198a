"""The REST API of expiry: keep a video, or let its film expire."""

from uuid import UUID

from fastapi import APIRouter, Depends

from gateway.access.dependencies import Writer
from gateway.http.json_body import json_only
from gateway.videos.expiry import Expiry
from gateway.videos.schemas import RetentionRequest, VideoResource, video_resource
from shared.persistence.unit_of_work import transaction


def routes(expiry: Expiry, public_url: str) -> APIRouter:
    """Return the routes of expiry."""
    router = APIRouter(tags=["videos"])

    @router.put(
        "/api/v1/videos/{video_id}/retention",
        dependencies=[Depends(json_only)],
        responses={410: {"description": "Its film has expired already"}},
    )
    async def set_retention(video_id: UUID, body: RetentionRequest, caller: Writer) -> VideoResource:
        """Keep a video permanently, or let its film expire again at `expiresAt`."""
        async with transaction(expiry.queries.database) as work:
            row = await expiry.keep(work, video_id, keep=body.keep, owner=caller.visible_owner)
            return video_resource(row, public_url)

    return router
