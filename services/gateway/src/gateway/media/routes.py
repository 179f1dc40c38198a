"""The REST API of media: films, streams, thumbnails and clips, through links that expire."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, PlainTextResponse, RedirectResponse

from gateway.access.dependencies import Reader
from gateway.media import scrubbing
from gateway.media.playlist import CONTENT_TYPE, playlist
from gateway.models import Video
from gateway.videos.errors import StreamNotStarted
from gateway.videos.expiry import FilmExpired
from gateway.videos.mapping import film_name
from gateway.videos.queries import VideoQueries
from gateway.videos.stream_pieces import stream_of
from shared.contracts.events import VideoPreviewed
from shared.contracts.media import MediaReference
from shared.http.attachment import attachment
from shared.storage.errors import ObjectMissing
from shared.storage.folder import FolderStorage
from shared.storage.s3 import S3Storage

STREAM_LINK_SECONDS = 60 * 60
"""How long the links in a playlist are valid: a player may pause, and does not reload a playlist that has ended."""

Download = Annotated[bool, Query(description="Make browsers save the film under its title instead of playing it")]


def routes(videos: VideoQueries, storage: FolderStorage | S3Storage) -> APIRouter:
    """Return the routes of media."""
    router = APIRouter(tags=["media"])

    redirect: dict[str, Any] = {
        "response_class": RedirectResponse,
        "responses": {
            307: {"description": "A link that is valid for 15 minutes"},
            410: {"description": "The film has expired"},
        },
    }

    @router.head("/api/v1/videos/{video_id}/content", status_code=307, include_in_schema=False)
    @router.get("/api/v1/videos/{video_id}/content", status_code=307, **redirect)
    async def get_film(
        video_id: UUID, caller: Reader, request: Request, download: Download = False
    ) -> RedirectResponse:
        """Get the film: redirects to a link that expires."""
        row = await videos.get(video_id, owner=caller.visible_owner)
        _check_not_expired(row)
        filename = film_name(row) if download else None
        return await _redirect(request, row.film, f"film of {video_id}", filename)

    @router.head("/api/v1/videos/{video_id}/thumbnail", status_code=307, include_in_schema=False)
    @router.get("/api/v1/videos/{video_id}/thumbnail", status_code=307, **redirect)
    async def get_thumbnail(video_id: UUID, caller: Reader, request: Request) -> RedirectResponse:
        """Get the thumbnail: redirects to a link that expires."""
        row = await videos.get(video_id, owner=caller.visible_owner)
        _check_not_expired(row)
        return await _redirect(request, row.thumbnail, f"thumbnail of {video_id}")

    @router.head("/api/v1/videos/{video_id}/preview", status_code=307, include_in_schema=False)
    @router.get("/api/v1/videos/{video_id}/preview", status_code=307, **redirect)
    async def get_preview(video_id: UUID, caller: Reader, request: Request) -> RedirectResponse:
        """Get a looping animation of the film: redirects to a link that expires."""
        _, previews = await _previews(video_id, caller.visible_owner)
        return await _redirect(request, previews.animation.model_dump(), f"preview of {video_id}")

    @router.head("/api/v1/videos/{video_id}/contact-sheet", status_code=307, include_in_schema=False)
    @router.get("/api/v1/videos/{video_id}/contact-sheet", status_code=307, **redirect)
    async def get_contact_sheet(video_id: UUID, caller: Reader, request: Request) -> RedirectResponse:
        """Get a picture with pictures from the whole film: redirects to a link that expires."""
        _, previews = await _previews(video_id, caller.visible_owner)
        return await _redirect(request, previews.contact_sheet.model_dump(), f"contact sheet of {video_id}")

    @router.head("/api/v1/videos/{video_id}/storyboard.vtt", include_in_schema=False)
    @router.get(
        "/api/v1/videos/{video_id}/storyboard.vtt",
        response_class=PlainTextResponse,
        responses={
            200: {
                "description": "Cues with links that are valid for an hour",
                "content": {scrubbing.CONTENT_TYPE: {"schema": {"type": "string"}}},
            },
            410: {"description": "The film has expired"},
        },
    )
    async def get_scrubbing(video_id: UUID, caller: Reader) -> PlainTextResponse:
        """Get the pictures that a player shows while the film is scrubbed, as WebVTT."""
        row, previews = await _previews(video_id, caller.visible_owner)
        link = await storage.link(previews.scrub_sheet, STREAM_LINK_SECONDS)
        text = scrubbing.scrubbing_vtt(previews.scrub_layout, link, float(row.duration or 0))
        return PlainTextResponse(text, media_type=scrubbing.CONTENT_TYPE, headers={"Cache-Control": "no-store"})

    @router.head("/api/v1/videos/{video_id}/scenes/{scene_number}/content", status_code=307, include_in_schema=False)
    @router.get(
        "/api/v1/videos/{video_id}/scenes/{scene_number}/content",
        status_code=307,
        **redirect,
    )
    async def get_clip(video_id: UUID, scene_number: int, caller: Reader, request: Request) -> RedirectResponse:
        """Get the clip of a scene: redirects to a link that expires."""
        row = await videos.get(video_id, owner=caller.visible_owner)
        _check_not_expired(row)
        state = row.scene_states.get(str(scene_number)) or {}
        return await _redirect(request, state.get("clip"), f"clip {scene_number} of {video_id}")

    @router.head("/api/v1/videos/{video_id}/scenes/{scene_number}/frame", status_code=307, include_in_schema=False)
    @router.get("/api/v1/videos/{video_id}/scenes/{scene_number}/frame", status_code=307, **redirect)
    async def get_first_frame(video_id: UUID, scene_number: int, caller: Reader, request: Request) -> RedirectResponse:
        """Get the first frame of a scene: redirects to a link that expires."""
        row = await videos.get(video_id, owner=caller.visible_owner)
        _check_not_expired(row)
        frame = (row.scene_states.get(str(scene_number)) or {}).get("firstFrame") or {}
        return await _redirect(request, frame.get("media"), f"first frame {scene_number} of {video_id}")

    # Names may contain a slash.
    @router.head("/api/v1/videos/{video_id}/cast/{name:path}/picture", status_code=307, include_in_schema=False)
    @router.get("/api/v1/videos/{video_id}/cast/{name:path}/picture", status_code=307, **redirect)
    async def get_cast_picture(video_id: UUID, name: str, caller: Reader, request: Request) -> RedirectResponse:
        """Get the reference picture of a member of the cast: redirects to a link that expires."""
        row = await videos.get(video_id, owner=caller.visible_owner)
        _check_not_expired(row)
        picture = (row.cast_pictures or {}).get(name) or {}
        return await _redirect(request, picture.get("media"), f"picture of the cast of {video_id}")

    @router.head("/api/v1/videos/{video_id}/stream.m3u8", include_in_schema=False)
    @router.get(
        "/api/v1/videos/{video_id}/stream.m3u8",
        response_class=PlainTextResponse,
        responses={
            200: {
                "description": "A playlist of links that are valid for an hour",
                "content": {CONTENT_TYPE: {"schema": {"type": "string"}}},
            },
            404: {"description": "There is no such video, or nothing of it can be played yet"},
            410: {"description": "The film has expired"},
        },
    )
    async def get_stream(video_id: UUID, caller: Reader) -> PlainTextResponse:
        """Get the HLS playlist of the film. It grows scene by scene, so that the film can be watched while it is made.

        Players reload it until it has its end tag. The links in it need no credentials.
        """
        row = await videos.get(video_id, owner=caller.visible_owner)
        _check_not_expired(row)
        stream = await stream_of(videos.database, row)
        if not stream.pieces:
            raise StreamNotStarted(video_id)
        stored = [media for piece in stream.pieces for media in (piece.init, *(one.media for one in piece.segments))]
        links = {media.key: await storage.link(media, STREAM_LINK_SECONDS) for media in stored}
        return PlainTextResponse(
            playlist(stream, links), media_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"}
        )

    async def _previews(video_id: UUID, owner: str | None) -> tuple[Video, VideoPreviewed]:
        row = await videos.get(video_id, owner=owner)
        _check_not_expired(row)
        if row.previews is None:
            raise ObjectMissing(f"previews of {video_id}")
        return row, VideoPreviewed.model_validate(row.previews)

    async def _redirect(
        request: Request, stored: dict[str, object] | None, name: str, filename: str | None = None
    ) -> RedirectResponse:
        if stored is None:
            raise ObjectMissing(name)
        # A presigned S3 link is valid for one method only.
        link = await storage.link(MediaReference.model_validate(stored), method=request.method, filename=filename)
        return RedirectResponse(link, headers={"Cache-Control": "no-store"})

    if isinstance(storage, FolderStorage):
        _serve_folder(router, storage)
    return router


def _check_not_expired(row: Video) -> None:
    if row.status == "expired":
        raise FilmExpired(row.video_id, row.expires_at)


def _serve_folder(router: APIRouter, storage: FolderStorage) -> None:
    """Add the route that serves a folder's media by signed links, with ranges so that players can seek."""

    @router.head("/media/{key:path}", include_in_schema=False)
    @router.get(
        "/media/{key:path}",
        response_class=FileResponse,
        responses={
            200: {
                "description": "The whole file",
                "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
            },
            206: {"description": "The range that `Range` requests"},
            400: {},
            403: {"description": "The link has expired or its signature is invalid"},
            416: {"description": "The range is outside the file"},
        },
    )
    async def get_media(key: str, end: int, signature: str, filename: str | None = None) -> FileResponse:
        """Get a media file of this machine by the link that `/content` redirects to."""
        if storage.signer is None:
            raise ObjectMissing(key)
        storage.signer.check(key, end, signature, filename)
        path = storage.path(key)
        if not path.is_file():
            raise ObjectMissing(key)
        disposition = "inline" if filename is None else attachment(filename)
        return FileResponse(path, headers={"Content-Disposition": disposition})
