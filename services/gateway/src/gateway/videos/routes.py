"""The REST API of videos: request, read, list, cancel and delete them."""

import base64
import binascii
import contextlib
import hashlib
import json
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID
from weakref import WeakKeyDictionary

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict

from gateway.access.dependencies import Reader, Writer
from gateway.http.idempotency import Idempotency
from gateway.http.idempotency_headers import LOOK_AGAIN_SECONDS, IdempotencyKey, accepted, key_of, replayed
from gateway.http.json_body import json_only
from gateway.http.preconditions import matches, wait_of
from gateway.models import Video
from gateway.storyboards.schemas import VideoRequest
from gateway.videos.commands import VideoCommands
from gateway.videos.completion import Completion
from gateway.videos.reviews import Reviews
from gateway.videos.schemas import VideoPage, VideoResource, video_resource
from gateway.videos.status import Status, VideoStatus
from shared.persistence.unit_of_work import UnitOfWork

REASON = "Cancelled by request."
LARGEST_PLACE = 2**62

IfNoneMatch = Annotated[
    str | None, Header(alias="If-None-Match", description="The `ETag` you have: 304 if it is still current")
]
Prefer = Annotated[
    str | None, Header(alias="Prefer", description="`wait=n`: respond when the video has ended, or after n <= 30 s")
]


class ListRequest(BaseModel):
    """The query of a list of videos."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Query(ge=1, le=100)] = 20
    after: Annotated[str | None, Query(max_length=64, description="The `nextCursor` of the page before")] = None
    status: Status | None = None


def routes(
    videos: VideoCommands, reviews: Reviews, idempotency: Idempotency, completion: Completion, public_url: str
) -> APIRouter:
    """Return the routes of videos."""
    router = APIRouter(tags=["videos"])
    # The same row in another format needs another ETag.
    form = hashlib.sha256(json.dumps([VideoResource.model_json_schema(), public_url]).encode()).hexdigest()[:8]

    # Callers of one batch share the row, so they share its JSON.
    contents: WeakKeyDictionary[Video, str] = WeakKeyDictionary()

    def tag_of(version: int) -> str:
        # Weak: `etaSeconds` changes with the clock; clients can count it down themselves.
        return f'W/"{version}-{form}"'

    def shown(row: Video, status_code: int = 200) -> Response:
        headers = {"ETag": tag_of(row.version), "Cache-Control": "private, no-cache"}
        if not VideoStatus.of(row.status).is_terminal:
            headers["Retry-After"] = LOOK_AGAIN_SECONDS
        content = contents.get(row)
        if content is None:
            content = contents[row] = video_resource(row, public_url).model_dump_json(by_alias=True)
        return Response(content, status_code, headers, "application/json")

    @router.post(
        "/api/v1/videos",
        status_code=202,
        response_model=VideoResource,
        dependencies=[Depends(json_only)],
        responses={
            200: {"model": VideoResource, "description": "It ended within the time of `Prefer: wait`"},
            202: {
                "description": "Accepted; its state is at `Location`",
                "headers": header_schemas("Location", "Retry-After", "Idempotent-Replayed", "Preference-Applied"),
            },
            402: {},
            409: {},
        },
    )
    async def request_video(
        body: VideoRequest,
        request: Request,
        caller: Writer,
        idempotency_key: IdempotencyKey = None,
        prefer: Prefer = None,
    ) -> Response:
        """Request a video. It is made in the background; follow it at `links.self` or `links.events`."""

        async def do(work: UnitOfWork) -> dict[str, object]:
            row = await videos.accept(work, await reviews.request(work.session, body, caller.owner))
            return video_resource(row, public_url).model_dump(mode="json", by_alias=True)

        answer = await idempotency.once(
            key_of(request, caller.owner, idempotency_key), body.model_dump(mode="json"), do
        )
        seconds = wait_of(prefer)
        if seconds is None:
            return accepted(answer)
        row = await completion.wait(UUID(answer.body["videoId"]), seconds, owner=caller.visible_owner)
        response = shown(row, 200 if VideoStatus.of(row.status).is_terminal else 202)
        response.headers["Location"] = answer.body["links"]["self"]
        response.headers["Preference-Applied"] = f"wait={seconds}"
        response.headers.update(replayed(answer))
        return response

    @router.get("/api/v1/videos", responses={200: {"headers": header_schemas("Link")}})
    async def list_videos(caller: Reader, body: Annotated[ListRequest, Query()], response: Response) -> VideoPage:
        """List the videos, newest first."""
        part = await videos.queries.page_after(body.limit, _place(body.after), body.status, owner=caller.visible_owner)
        cursor = _cursor(part.next) if part.next is not None else None
        if cursor is not None:
            query = {"limit": body.limit, "after": cursor} | ({"status": body.status} if body.status else {})
            response.headers["Link"] = f'<{public_url}/api/v1/videos?{urlencode(query)}>; rel="next"'
        return VideoPage(
            videos=[video_resource(row, public_url) for row in part.videos],
            total=part.total,
            has_more=cursor is not None,
            next_cursor=cursor,
        )

    @router.head("/api/v1/videos/{video_id}", include_in_schema=False)
    @router.get(
        "/api/v1/videos/{video_id}", response_model=VideoResource, responses={304: {"description": "As before"}}
    )
    async def get_video(video_id: UUID, caller: Reader, if_none_match: IfNoneMatch = None) -> Response:
        """Read a video. While it is being made, `Retry-After` says when to poll again."""
        if if_none_match is not None:
            version, status = await videos.queries.version(video_id, owner=caller.visible_owner)
            tag = tag_of(version)
            if matches(if_none_match, tag):
                again = {} if VideoStatus.of(status).is_terminal else {"Retry-After": LOOK_AGAIN_SECONDS}
                return Response(None, 304, {"ETag": tag, "Cache-Control": "private, no-cache", **again})
        return shown(await videos.queries.get(video_id, owner=caller.visible_owner))

    @router.post(
        "/api/v1/videos/{video_id}/cancel",
        status_code=202,
        response_model=VideoResource,
        responses={
            200: {"model": VideoResource, "description": "It was cancelled before"},
            202: {"description": "Cancelled"},
            409: {},
        },
    )
    async def cancel_video(video_id: UUID, caller: Writer) -> Response:
        """Cancel a video. Waiting scenes never start; scenes already submitted may still be charged."""
        news = await videos.cancel(video_id, by=caller.owner, reason=REASON, owner=caller.visible_owner)
        return shown(await videos.queries.get(video_id, owner=caller.visible_owner), 202 if news else 200)

    @router.delete("/api/v1/videos/{video_id}", status_code=204, responses={409: {}})
    async def delete_video(video_id: UUID, caller: Writer) -> None:
        """Delete a video that has ended, with its film and clips. Its charges stay on record."""
        await videos.delete(video_id, by=caller.owner, owner=caller.visible_owner)

    return router


def header_schemas(*names: str) -> dict[str, Any]:
    """Return response headers as OpenAPI describes them."""
    return {name: {"schema": {"type": "string"}} for name in names}


def _cursor(place: int) -> str:
    return base64.urlsafe_b64encode(f"before {place}".encode()).decode().rstrip("=")


def _place(cursor: str | None) -> int | None:
    """Parse a cursor. None: the list begins at its start."""
    if cursor is None:
        return None
    with contextlib.suppress(binascii.Error, ValueError):
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode()
        place = int(text.removeprefix("before "))
        if cursor == _cursor(place) and 0 < place < LARGEST_PLACE:
            return place
    fault = {"type": "cursor", "loc": ("query", "after"), "msg": "Not a cursor of this list", "input": cursor}
    raise RequestValidationError([fault])
