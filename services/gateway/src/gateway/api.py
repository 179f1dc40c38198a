"""The REST API: ask for a video, look at it, fetch its media, cancel it."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import FileResponse, RedirectResponse

from gateway.problems import NotJson
from gateway.resources import VideoPage, VideoResource, VideoWish, video_resource
from gateway.videos import Videos
from gateway.view import Status
from shared.contracts.media import MediaReference
from shared.storage import FolderStorage, ObjectMissing, S3Storage

REASON = "Cancelled by request."


async def _json_only(request: Request) -> None:
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise NotJson(content_type)


def routes(videos: Videos, storage: FolderStorage | S3Storage, public_url: str) -> APIRouter:
    """All routes of the API, on these tools."""
    router = APIRouter()

    @router.post("/api/v1/videos", status_code=202, dependencies=[Depends(_json_only)], tags=["videos"])
    async def request_video(wish: VideoWish, response: Response) -> VideoResource:
        """Ask for a video. It is accepted and made in the background; follow it by its `links.self` or by Socket.IO."""
        row = await videos.request(wish.event())
        resource = video_resource(row, public_url)
        response.headers["Location"] = resource.links.self
        return resource

    @router.get("/api/v1/videos", tags=["videos"])
    async def list_videos(
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        offset: Annotated[int, Query(ge=0, le=100_000)] = 0,
        status: Status | None = None,
    ) -> VideoPage:
        """List the videos, newest first."""
        page = await videos.page(limit, offset, status)
        return VideoPage(videos=[video_resource(row, public_url) for row in page.videos], total=page.total)

    @router.get("/api/v1/videos/{video_id}", tags=["videos"])
    async def get_video(video_id: UUID) -> VideoResource:
        """Look at a video."""
        return video_resource(await videos.get(video_id), public_url)

    @router.post("/api/v1/videos/{video_id}/cancel", tags=["videos"])
    async def cancel_video(video_id: UUID) -> VideoResource:
        """Cancel a video. Scenes that wait never start; what has started is not paid again."""
        await videos.cancel(video_id, by="api", reason=REASON)
        return video_resource(await videos.get(video_id), public_url)

    @router.get("/api/v1/videos/{video_id}/content", status_code=307, tags=["media"])
    async def get_film(video_id: UUID) -> RedirectResponse:
        """Watch the film: leads on to a link that ends soon."""
        return await _lead_on((await videos.get(video_id)).film, f"film of {video_id}")

    @router.get("/api/v1/videos/{video_id}/thumbnail", status_code=307, tags=["media"])
    async def get_thumbnail(video_id: UUID) -> RedirectResponse:
        """See the thumbnail: leads on to a link that ends soon."""
        return await _lead_on((await videos.get(video_id)).thumbnail, f"thumbnail of {video_id}")

    @router.get("/api/v1/videos/{video_id}/scenes/{scene_number}/content", status_code=307, tags=["media"])
    async def get_clip(video_id: UUID, scene_number: int) -> RedirectResponse:
        """Watch the clip of a scene: leads on to a link that ends soon."""
        state = (await videos.get(video_id)).scene_states.get(str(scene_number)) or {}
        return await _lead_on(state.get("clip"), f"clip {scene_number} of {video_id}")

    async def _lead_on(stored: dict[str, object] | None, name: str) -> RedirectResponse:
        if stored is None:
            raise ObjectMissing(name)
        link = await storage.link(MediaReference.model_validate(stored))
        return RedirectResponse(link, headers={"Cache-Control": "no-store"})

    if isinstance(storage, FolderStorage):
        _serve_folder(router, storage)
    return router


def _serve_folder(router: APIRouter, storage: FolderStorage) -> None:
    """Serve a folder's media under signed links, in ranges, so that players can seek."""

    @router.get("/media/{key:path}", tags=["media"], response_class=FileResponse)
    async def get_media(
        key: str, end: int, signature: str, disposition: Literal["inline", "attachment"] = "inline"
    ) -> FileResponse:
        """Media of this machine, by a link that `/content` leads on to."""
        if storage.signer is None:
            raise ObjectMissing(key)
        storage.signer.check(key, end, signature)
        path = storage.path(key)
        if not path.is_file():
            raise ObjectMissing(key)
        return FileResponse(path, content_disposition_type=disposition, filename=path.name)
