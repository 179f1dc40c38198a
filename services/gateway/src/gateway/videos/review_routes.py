"""The REST API of reviews: read a video's storyboard, approve it, edited or not, or have it drawn for free first."""

from collections.abc import Awaitable, Callable
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from gateway.access.dependencies import Reader, Writer
from gateway.access.service import Caller
from gateway.billing.schemas import EstimateResource, estimate_resource
from gateway.billing.service import Billing
from gateway.http.idempotency import Idempotency
from gateway.http.idempotency_headers import IdempotencyKey, accepted, key_of
from gateway.http.json_body import json_only, json_or_nothing
from gateway.storyboards.schemas import Edit, StoryboardBody, VideoRequest
from gateway.videos.reviews import Reviews
from gateway.videos.schemas import VideoResource, video_resource
from shared.persistence.unit_of_work import UnitOfWork


def routes(reviews: Reviews, billing: Billing, idempotency: Idempotency, public_url: str) -> APIRouter:
    """Return the routes of estimates and reviews."""
    router = APIRouter()

    @router.post("/api/v1/estimates", dependencies=[Depends(json_only)], tags=["money"])
    async def estimate_video(body: VideoRequest, caller: Reader) -> EstimateResource:
        """Ask what a video would cost. Nothing is made."""
        async with billing.database.reading() as session:
            event = await reviews.request(session, body, caller.owner)
        return estimate_resource(await billing.quote(event))

    @router.get("/api/v1/videos/{video_id}/storyboard", tags=["storyboards"], responses={409: {}})
    async def get_storyboard_of_video(video_id: UUID, caller: Reader) -> StoryboardBody:
        """See the storyboard of a video, as it can be edited and sent back."""
        return await reviews.storyboard(video_id, owner=caller.visible_owner)

    @router.post(
        "/api/v1/videos/{video_id}/approve",
        status_code=202,
        response_model=VideoResource,
        dependencies=[Depends(json_or_nothing)],
        tags=["storyboards"],
        responses={402: {}, 409: {}},
    )
    async def approve_video(
        video_id: UUID,
        request: Request,
        caller: Writer,
        edit: Edit | None = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Approve the storyboard of a video that awaits its review, edited or not: from now on money is spent."""
        storyboard = edit.storyboard if edit else None

        async def do(work: UnitOfWork) -> dict[str, object]:
            row = await reviews.approve(work, video_id, storyboard, by=caller.owner, owner=caller.visible_owner)
            return video_resource(row, public_url).model_dump(mode="json", by_alias=True)

        return await _once(request, caller, idempotency_key, edit, do)

    @router.post(
        "/api/v1/videos/{video_id}/animatic",
        status_code=202,
        response_model=VideoResource,
        dependencies=[Depends(json_or_nothing)],
        tags=["storyboards"],
        responses={409: {}},
    )
    async def request_animatic(
        video_id: UUID,
        request: Request,
        caller: Writer,
        edit: Edit | None = None,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Ask for the free film of a video's storyboard, edited or not, with the same times. It is another video."""
        storyboard = edit.storyboard if edit else None

        async def do(work: UnitOfWork) -> dict[str, object]:
            row = await reviews.animatic(work, video_id, storyboard, by=caller.owner, owner=caller.visible_owner)
            return video_resource(row, public_url).model_dump(mode="json", by_alias=True)

        return await _once(request, caller, idempotency_key, edit, do)

    async def _once(
        request: Request,
        caller: Caller,
        idempotency_key: str | None,
        edit: Edit | None,
        do: Callable[[UnitOfWork], Awaitable[dict[str, object]]],
    ) -> Response:
        key = key_of(request, caller.owner, idempotency_key)
        return accepted(await idempotency.once(key, edit.model_dump(mode="json") if edit else None, do))

    return router
