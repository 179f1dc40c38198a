"""The REST API of storyboards without a video: request one, read it."""

from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from gateway.access.dependencies import Reader, Writer
from gateway.billing.estimates import Estimates
from gateway.http.idempotency_headers import IdempotencyKey, key_of
from gateway.http.json_body import json_only
from gateway.storyboards.schemas import PendingStoryboard, StoryboardBody, StoryboardRequest, drafted
from gateway.storyboards.service import StoryboardNotWritten, Storyboards

RETRY_AFTER_SECONDS = "2"


def routes(storyboards: Storyboards, estimates: Estimates, public_url: str) -> APIRouter:
    """Return the routes of storyboards without a video."""
    router = APIRouter()
    pending = {
        202: {"model": PendingStoryboard, "description": "It is still being written; poll `Location`"},
        409: {"description": "The id was used for another request"},
        502: {"description": "It could not be written"},
    }

    @router.post(
        "/api/v1/storyboards",
        dependencies=[Depends(json_only)],
        tags=["storyboards"],
        responses=pending,  # type: ignore[arg-type]  # FastAPI wants keys of either kind
    )
    async def request_storyboard(
        body: StoryboardRequest,
        request: Request,
        response: Response,
        caller: Writer,
        idempotency_key: IdempotencyKey = None,
    ) -> StoryboardBody | PendingStoryboard:
        """Request a storyboard and wait for it. Nothing is rendered; send it back with a video request to film it."""
        event = body.event(caller.owner, key_of(request, caller.owner, idempotency_key))
        await storyboards.request(event)
        return await _answer(event.video_id, response, caller.visible_owner)

    @router.get(
        "/api/v1/storyboards/{storyboard_id}",
        tags=["storyboards"],
        responses=pending,  # type: ignore[arg-type]  # the same
    )
    async def get_storyboard(
        storyboard_id: UUID, response: Response, caller: Reader
    ) -> StoryboardBody | PendingStoryboard:
        """Read a storyboard that was requested without a video."""
        return await _answer(storyboard_id, response, caller.visible_owner)

    async def _answer(storyboard_id: UUID, response: Response, owner: str | None) -> StoryboardBody | PendingStoryboard:
        row = await storyboards.wait(storyboard_id, owner=owner)
        response.headers["Location"] = f"{public_url}/api/v1/storyboards/{storyboard_id}"
        if row.state == "failed":
            raise StoryboardNotWritten(row.error_kind or "", row.error_message or "")
        if row.drafted is None:
            response.status_code = 202
            response.headers["Retry-After"] = RETRY_AFTER_SECONDS
            return PendingStoryboard(storyboard_id=storyboard_id)
        storyboard, repairs = drafted(row.drafted)
        return StoryboardBody.of(storyboard, estimates.of_storyboard(storyboard, "standard"), repairs)

    return router
