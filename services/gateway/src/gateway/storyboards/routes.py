"""The REST API of storyboards: see one before anything is rendered, edit it, approve it, see it drawn for nothing."""

from collections.abc import Awaitable, Callable
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from gateway.access.dependencies import Reader, Writer
from gateway.access.service import Caller
from gateway.billing.service import Money
from gateway.http.idempotency import Idempotency
from gateway.http.idempotency_headers import IdempotencyKey, accepted, key_of
from gateway.http.json_body import json_only, json_or_nothing
from gateway.storyboards.reviews import Reviews
from gateway.storyboards.schemas import Edit, PendingStoryboard, StoryboardBody, StoryboardWish, drafted
from gateway.storyboards.service import StoryboardNotWritten, Storyboards
from gateway.videos.schemas import VideoResource, video_resource
from shared.contracts.story import Storyboard
from shared.persistence.unit_of_work import UnitOfWork

RETRY_AFTER_SECONDS = "2"


def routes(
    storyboards: Storyboards, reviews: Reviews, money: Money, idempotency: Idempotency, public_url: str
) -> APIRouter:
    """All routes about storyboards, on these tools."""
    router = APIRouter()
    pending = {
        202: {"model": PendingStoryboard, "description": "It is still being written; look again at `Location`"},
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
        wish: StoryboardWish,
        request: Request,
        response: Response,
        caller: Writer,
        idempotency_key: IdempotencyKey = None,
    ) -> StoryboardBody | PendingStoryboard:
        """Ask for a storyboard alone, and wait for it. Nothing is rendered; it can be sent back with a video."""
        event = wish.event(caller.owner, key_of(request, caller.owner, idempotency_key))
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
        """Look at a storyboard that was asked for alone."""
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
        return StoryboardBody.of(storyboard, money.estimate(storyboard.scenes), repairs)

    @router.get("/api/v1/videos/{video_id}/storyboard", tags=["storyboards"], responses={409: {}})
    async def get_storyboard_of_video(video_id: UUID, caller: Reader) -> StoryboardBody:
        """See the storyboard of a video, as it can be edited and sent back."""
        storyboard = await reviews.storyboard(video_id, owner=caller.visible_owner)
        return StoryboardBody.of(storyboard, money.estimate(storyboard.scenes))

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
        edited = _edited(edit)

        async def do(work: UnitOfWork) -> dict[str, object]:
            row = await reviews.approve(work, video_id, edited, by=caller.owner, owner=caller.visible_owner)
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
        edited = _edited(edit)

        async def do(work: UnitOfWork) -> dict[str, object]:
            row = await reviews.animatic(work, video_id, edited, owner=caller.visible_owner)
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


def _edited(edit: Edit | None) -> Storyboard | None:
    return edit.storyboard.storyboard() if edit and edit.storyboard else None
