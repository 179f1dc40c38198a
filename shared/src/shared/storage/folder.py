"""Objects in a folder on this machine."""

import asyncio
import contextlib
import os
import shutil
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from shared.contracts.media import MediaReference
from shared.storage import work_folder
from shared.storage.base import LINK_SECONDS, StoredObject, checked_key, reference_to, verify
from shared.storage.errors import ObjectMissing
from shared.storage.signer import LinkSigner


class FolderStorage:
    """A folder on this machine. Links lead to the server that uses the same `LinkSigner`."""

    def __init__(self, root: Path, signer: LinkSigner | None = None) -> None:
        self.root = root
        self.signer = signer

    async def __aenter__(self) -> Self:
        """Create the folder."""
        self.root.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Do nothing: no file stays open."""

    @property
    def half_written(self) -> Path:
        """The folder of objects that are being written. No key begins with a dot."""
        return self.root / ".half-written"

    async def sweep(self) -> int:
        """See `Storage.sweep`."""
        return await asyncio.to_thread(work_folder.sweep, self.half_written, "*")

    async def fault(self) -> str | None:
        """See `Storage.fault`."""
        return None if os.access(self.root, os.W_OK) else "The storage's folder cannot be written to."

    def path(self, key: str) -> Path:
        """Return the file of an object."""
        return self.root / checked_key(key)

    async def put(self, key: str, source: Path, content_type: str) -> MediaReference:
        """See `Storage.put`."""
        return await asyncio.to_thread(self._put, key, source, content_type)

    def _put(self, key: str, source: Path, content_type: str) -> MediaReference:
        target = self.path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        self.half_written.mkdir(exist_ok=True)
        part = self.half_written / uuid.uuid4().hex
        part.touch()
        try:
            with work_folder.locked(part):
                shutil.copyfile(source, part)
                with part.open("rb") as file:
                    os.fsync(file.fileno())
                part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return reference_to(key, source, content_type)

    async def get(self, reference: MediaReference, target: Path) -> None:
        """See `Storage.get`."""
        source = self.path(reference.key)
        try:
            await asyncio.to_thread(shutil.copyfile, source, target)
        except FileNotFoundError:
            raise ObjectMissing(reference.key) from None
        await verify(reference, target)

    async def link(
        self,
        reference: MediaReference,
        seconds: int = LINK_SECONDS,
        method: str = "GET",  # noqa: ARG002 - our links allow GET and HEAD
        filename: str | None = None,
    ) -> str:
        """See `Storage.link`. Without a signer, return the file's own URI."""
        if self.signer is None:
            return self.path(reference.key).resolve().as_uri()
        return self.signer.link(checked_key(reference.key), seconds, filename)

    async def delete(self, prefix: str) -> None:
        """See `Storage.delete`."""
        folder = self.root / checked_key(prefix.rstrip("/")) if prefix.endswith("/") else self.path(prefix).parent
        for path in await asyncio.to_thread(lambda: sorted(folder.rglob("*"))):
            if path.is_file() and path.relative_to(self.root).as_posix().startswith(prefix):
                path.unlink(missing_ok=True)

    async def objects(self, prefix: str) -> AsyncIterator[StoredObject]:
        """See `Storage.objects`."""
        for one in await asyncio.to_thread(self._objects, prefix):
            yield one

    def _objects(self, prefix: str) -> list[StoredObject]:
        found = []
        for path in sorted((self.root / checked_key(prefix.rstrip("/"))).rglob("*")):
            with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                facts = path.stat()
                if path.is_file():
                    stored_at = datetime.fromtimestamp(facts.st_mtime, UTC)
                    found.append(StoredObject(path.relative_to(self.root).as_posix(), facts.st_size, stored_at))
        return found
