"""Pictures and clips that people upload for their videos: checked, cleaned, stored, and removed after some days."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import anyio
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.http.errors import FieldError, InvalidRequest
from gateway.models import Upload
from gateway.uploads.errors import UploadNotFound, UploadsBusy, UploadTooLarge, UploadTypeUnsupported, UploadUnusable
from gateway.uploads.media_ids import MediaKind, NamedMedia
from gateway.uploads.pictures import FORMATS, clean_picture
from shared.contracts.media import MediaReference, upload_key
from shared.persistence.database import Database, now
from shared.persistence.unit_of_work import transaction
from shared.process.retention import Policy
from shared.storage.folder import FolderStorage
from shared.storage.s3 import S3Storage
from shared.storage.work_folder import work_folder

PICTURE, CLIP = "image/jpeg", "video/mp4"
MEGABYTE = 1_000_000
SUPPORTED = (*FORMATS, CLIP)
LARGEST_PICTURE = 20 * MEGABYTE
LARGEST_CLIP = 200 * MEGABYTE
DECODED_AT_ONCE = 2
"""A picture takes up to 300 MB while it is decoded."""
MOST_RECEIVED = 600 * MEGABYTE
"""How much temporary space all files that are being received may need."""
BATCH = 100


@dataclass(frozen=True)
class _Checked:
    file: Path
    content_type: str
    kind: MediaKind
    width: int | None = None
    height: int | None = None


class Uploads:
    """Stores uploads. An `owner` restricts what is found to that owner's uploads; None does not."""

    def __init__(self, database: Database, storage: FolderStorage | S3Storage, days: int) -> None:
        self.database = database
        self.storage = storage
        self.days = days
        self._received = 0
        self._decoding = asyncio.Semaphore(DECODED_AT_ONCE)

    @property
    def policy(self) -> Policy:
        """Return the policy that removes old uploads."""
        return Policy("uploads", self.days, self.remove_old, BATCH)

    async def store(self, owner: str, content_type: str, size: int | None, chunks: AsyncIterator[bytes]) -> Upload:
        """Check and store a file. `size`: how large it says it is, in bytes.

        Raises:
            UploadTypeUnsupported: this type is not taken.
            UploadTooLarge: it has too many bytes.
            UploadsBusy: too much is being received at the moment.
            UploadUnusable: it is not what its type says, or damaged.
        """
        if content_type not in SUPPORTED:
            raise UploadTypeUnsupported(content_type, SUPPORTED)
        limit = LARGEST_CLIP if content_type == CLIP else LARGEST_PICTURE
        if size is not None and size > limit:
            raise UploadTooLarge(content_type, limit)
        upload_id = uuid4()
        with self._space_for(size or limit), work_folder(None, "upload") as folder:
            received = folder / "received"
            await _receive(chunks, received, content_type, limit)
            checked = await self._check(received, content_type)
            suffix = ".mp4" if checked.kind == "clip" else ".jpg"
            media = await self.storage.put(upload_key(upload_id, suffix), checked.file, checked.content_type)
        async with transaction(self.database) as work:
            row = Upload(
                upload_id=str(upload_id),
                owner=owner,
                kind=checked.kind,
                media=media.model_dump(mode="json"),
                width=checked.width,
                height=checked.height,
                created_at=now(),
            )
            work.session.add(row)
            await work.session.flush()
            await work.session.refresh(row)
        return row

    @contextlib.contextmanager
    def _space_for(self, size: int) -> Iterator[None]:
        if self._received + size > MOST_RECEIVED:
            raise UploadsBusy
        self._received += size
        try:
            yield
        finally:
            self._received -= size

    async def _check(self, received: Path, content_type: str) -> _Checked:
        if content_type == CLIP:
            await asyncio.to_thread(check_clip, received)
            return _Checked(received, CLIP, "clip")
        clean = received.with_name("clean.jpg")
        async with self._decoding:
            width, height = await asyncio.to_thread(clean_picture, received, content_type, clean)
        return _Checked(clean, PICTURE, "picture", width, height)

    async def get(self, upload_id: UUID, *, owner: str | None) -> Upload:
        """Return an upload. Raises `UploadNotFound`."""
        async with self.database.reading() as session:
            row = await session.get(Upload, str(upload_id))
        if row is None or owner not in (None, row.owner):
            raise UploadNotFound(upload_id)
        return row

    async def remove(self, upload_id: UUID, *, owner: str | None) -> None:
        """Remove an upload. Raises `UploadNotFound`."""
        await self._remove(await self.get(upload_id, owner=owner))

    async def remove_old(self, database: Database, seconds: float, batch: int) -> int:
        """Remove uploads that are too old. Returns how many there were."""
        old = select(Upload).where(Upload.created_at < now(-seconds)).order_by(Upload.created_at).limit(batch)
        async with database.reading() as session:
            rows = (await session.scalars(old)).all()
        for row in rows:
            await self._remove(row)
        return len(rows)

    async def _remove(self, row: Upload) -> None:
        # The row last: if this is interrupted, it is done again.
        await self.storage.delete(MediaReference.model_validate(row.media).key)
        async with transaction(self.database) as work:
            await work.session.execute(delete(Upload).where(Upload.upload_id == row.upload_id))

    async def media(
        self,
        session: AsyncSession,
        named: Iterable[NamedMedia],
        owner: str,
        known: Mapping[UUID, MediaReference] | None = None,
    ) -> dict[UUID, MediaReference]:
        """Return the media that a request names: uploads of `owner`, or `known` media.

        Raises:
            InvalidRequest: there is no such upload, or one of the other kind; it names each such field.
        """
        found, faults = dict(known or {}), []
        for one in named:
            if one.media_id in found:
                continue
            row = await session.get(Upload, str(one.media_id))
            if row is None or row.owner != owner:
                text = f"there is no upload {one.media_id}: upload the file first (POST /api/v1/uploads)"
                faults.append(FieldError(one.path, "upload-not-found", text))
            elif row.kind != one.kind:
                faults.append(FieldError(one.path, "upload-kind", f"upload {one.media_id} is a {row.kind}"))
            else:
                found[one.media_id] = MediaReference.model_validate(row.media)
        if faults:
            raise InvalidRequest("; ".join(fault.text for fault in faults), tuple(faults))
        return found


def check_clip(path: Path) -> None:
    """Check that a file begins as an MP4 does; scene-render examines the rest. Raises `UploadUnusable`."""
    with path.open("rb") as file:
        head = file.read(12)
    if len(head) < 12 or head[4:8] != b"ftyp" or not 16 <= int.from_bytes(head[:4], "big") <= 4096:
        raise UploadUnusable("The file is not an MP4 video.")


async def _receive(chunks: AsyncIterator[bytes], target: Path, content_type: str, limit: int) -> None:
    size = 0
    async with await anyio.open_file(target, "wb") as file:
        async for chunk in chunks:
            size += len(chunk)
            if size > limit:
                raise UploadTooLarge(content_type, limit)
            await file.write(chunk)
    if not size:
        raise UploadUnusable("The file is empty.")
