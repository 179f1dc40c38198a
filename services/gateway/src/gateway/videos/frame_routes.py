"""The REST API of first frames: approve them, or have one made again."""

from typing import Self
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from gateway.access.dependencies import Writer
from gateway.http.idempotency import Idempotency
from gateway.http.idempotency_headers import IdempotencyKey, accepted, key_of
from gateway.http.json_body import json_only, json_or_nothing
from gateway.videos.frame_reviews import FrameDescription, FrameReviews
from gateway.videos.schemas import VideoResource, video_resource
from shared.persistence.unit_of_work import UnitOfWork


class FrameRequest(BaseModel):
    """Another first frame of a scene: made from a description, or an uploaded picture."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"description": "The keeper at the window, by night"}]}
    )

    description: FrameDescription | None = None
    image: UUID | None = Field(None, description="An upload")

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if (self.description is None) == (self.image is None):
            raise ValueError("give either a description or an image")
        return self


def routes(frames: FrameReviews, idempotency: Idempotency, public_url: str) -> APIRouter:
    """Return the routes of reviews of first frames."""
    router = APIRouter(tags=["storyboards"])

    @router.post(
        "/api/v1/videos/{video_id}/frames/approve",
        status_code=202,
        response_model=VideoResource,
        dependencies=[Depends(json_or_nothing)],
        responses={409: {}},
    )
    async def approve_frames(
        video_id: UUID, request: Request, caller: Writer, idempotency_key: IdempotencyKey = None
    ) -> Response:
        """Approve the first frames of a video that awaits it: its clips are ordered now."""

        async def do(work: UnitOfWork) -> dict[str, object]:
            row = await frames.approve(work, video_id, by=caller.owner, owner=caller.visible_owner)
            return video_resource(row, public_url).model_dump(mode="json", by_alias=True)

        return accepted(await idempotency.once(key_of(request, caller.owner, idempotency_key), None, do))

    @router.post(
        "/api/v1/videos/{video_id}/scenes/{scene_number}/frame",
        status_code=202,
        response_model=VideoResource,
        dependencies=[Depends(json_only)],
        responses={409: {}},
    )
    async def reject_frame(
        video_id: UUID,
        scene_number: int,
        body: FrameRequest,
        request: Request,
        caller: Writer,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        """Have the first frame of a scene made again, or replace it. Then all frames await their approval again."""

        async def do(work: UnitOfWork) -> dict[str, object]:
            row = await frames.reject(
                work,
                video_id,
                scene_number,
                by=caller.owner,
                description=body.description,
                image=body.image,
                owner=caller.visible_owner,
            )
            return video_resource(row, public_url).model_dump(mode="json", by_alias=True)

        key = key_of(request, caller.owner, idempotency_key)
        return accepted(await idempotency.once(key, body.model_dump(mode="json"), do))

    return router
