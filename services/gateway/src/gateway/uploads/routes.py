"""The REST API of uploads: pictures and clips for videos."""

from datetime import UTC, timedelta
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import AwareDatetime, Field

from gateway.access.dependencies import Reader, Writer
from gateway.http.resource import Resource
from gateway.models import Upload
from gateway.uploads.service import SUPPORTED, Uploads
from shared.contracts.media import MediaReference

BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {kind: {"schema": {"type": "string", "format": "binary"}} for kind in SUPPORTED},
    }
}


class UploadResource(Resource):
    """An uploaded file as it is stored. Name its `uploadId` in the request of a video."""

    upload_id: UUID
    kind: Literal["picture", "clip"]
    content_type: str = Field(description="Pictures are stored as JPEG, without their metadata")
    size: int = Field(description="In bytes")
    width: int | None = Field(description="In pixels; null for a clip")
    height: int | None
    created_at: AwareDatetime
    expires_at: AwareDatetime = Field(description="When it is removed. Films that were made with it stay")


def routes(uploads: Uploads, public_url: str) -> APIRouter:
    """Return the routes of uploads."""
    router = APIRouter(tags=["uploads"])

    @router.post(
        "/api/v1/uploads",
        status_code=201,
        openapi_extra=BODY,
        responses={
            201: {"headers": {"Location": {"schema": {"type": "string"}}}},
            413: {"description": "Pictures have at most 20 MB, clips 200 MB"},
            415: {"description": "JPEG, PNG, WebP and MP4 are taken"},
            422: {"description": "It is damaged, or not what its content type says"},
            503: {"description": "Too much is being uploaded at the moment"},
        },
    )
    async def upload_file(request: Request, response: Response, caller: Writer) -> UploadResource:
        """Upload a picture or a clip: the file is the body, its type the `Content-Type`."""
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        declared = request.headers.get("content-length", "")
        size = int(declared) if declared.isdecimal() else None
        row = await uploads.store(caller.owner, content_type, size, request.stream())
        response.headers["Location"] = f"{public_url}/api/v1/uploads/{row.upload_id}"
        return _resource(row, uploads.days)

    @router.get("/api/v1/uploads/{upload_id}")
    async def get_upload(upload_id: UUID, caller: Reader) -> UploadResource:
        """Read what is known of an upload."""
        return _resource(await uploads.get(upload_id, owner=caller.visible_owner), uploads.days)

    @router.delete("/api/v1/uploads/{upload_id}", status_code=204)
    async def delete_upload(upload_id: UUID, caller: Writer) -> None:
        """Remove an upload. A video that still needs it fails, or makes a picture instead."""
        await uploads.remove(upload_id, owner=caller.visible_owner)

    return router


def _resource(row: Upload, days: int) -> UploadResource:
    media, created_at = MediaReference.model_validate(row.media), row.created_at.replace(tzinfo=UTC)
    return UploadResource.model_validate(
        {
            "upload_id": row.upload_id,
            "kind": row.kind,
            "content_type": media.content_type,
            "size": media.size,
            "width": row.width,
            "height": row.height,
            "created_at": created_at,
            "expires_at": created_at + timedelta(days=days),
        }
    )
