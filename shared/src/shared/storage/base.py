"""The interface of the storage for films, thumbnails and clips: an S3 bucket, or a folder in the embedded mode.

Keys are derived from ids, so that a rerun overwrites its own objects. Rows and events hold a `MediaReference`; links
are created on request and expire soon.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from shared.contracts.media import MediaReference
from shared.storage.errors import ObjectDamaged

KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
LINK_SECONDS = 15 * 60


@dataclass(frozen=True)
class StoredObject:
    """An object in a listing. `size` is in bytes, `stored_at` in UTC."""

    key: str
    size: int
    stored_at: datetime


class Storage(Protocol):
    """An object store. Writes are atomic; keys are `name/name/name`."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def put(self, key: str, source: Path, content_type: str) -> MediaReference:
        """Store a file under this key, replacing an existing object."""
        ...

    async def get(self, reference: MediaReference, target: Path) -> None:
        """Download an object to a file and verify its checksum.

        Raises:
            ObjectMissing: no object has this key.
            ObjectDamaged: the checksum differs.
        """
        ...

    async def link(
        self,
        reference: MediaReference,
        seconds: int = LINK_SECONDS,
        method: str = "GET",
        filename: str | None = None,
    ) -> str:
        """Return a link to the object for this HTTP method, valid for so many seconds.

        With a `filename`, browsers save the object under that name instead of showing it.
        """
        ...

    async def delete(self, prefix: str) -> None:
        """Remove all objects with this key prefix."""
        ...

    def objects(self, prefix: str) -> AsyncIterator[StoredObject]:
        """Yield all objects with this key prefix, which ends with a slash."""
        ...

    async def sweep(self) -> int:
        """Remove partial files that killed processes left. Return how many there were."""
        ...

    async def fault(self) -> str | None:
        """Return what is wrong with the configuration, for operators; None: nothing, or the storage does not answer."""
        ...


def checked_key(key: str) -> str:
    """Return a key unchanged.

    Raises:
        ValueError: it is not a valid storage key.
    """
    if not KEY.fullmatch(key):
        raise ValueError(f"{key!r} is not a valid storage key")
    return key


def reference_to(key: str, source: Path, content_type: str) -> MediaReference:
    """Return the reference to a file that is stored under this key."""
    return MediaReference(key=key, content_type=content_type, size=source.stat().st_size, sha256=_sha256(source))


async def verify(reference: MediaReference, path: Path) -> None:
    """Compare a downloaded file with its reference; delete it if it differs.

    Raises:
        ObjectDamaged: the checksum differs.
    """
    if await asyncio.to_thread(_sha256, path) != reference.sha256:
        await asyncio.to_thread(path.unlink)
        raise ObjectDamaged(reference.key)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
