"""Where films, thumbnails and clips are kept: an S3 bucket, or a folder in the embedded mode.

Keys are derived from ids, so that a rerun overwrites itself. What is stored and told is a `MediaReference`; links are
made when somebody asks, and end soon.
"""

import asyncio
import contextlib
import hashlib
import hmac
import os
import re
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self
from urllib.parse import parse_qs, urlencode, urlsplit

import aioboto3
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError

from shared.contracts.media import MediaReference
from shared.http.attachment import attachment
from shared.process import work_folder
from shared.storage.faults import fault_of, is_away

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
LINK_SECONDS = 15 * 60
FAULT_TIMEOUT_SECONDS = 1.5
FAULT_KNOWN_SECONDS = 5.0


class ObjectMissing(Exception):
    """There is no object under this key."""

    def __init__(self, key: str) -> None:
        super().__init__(f"nothing is stored under {key}")
        self.key = key


class ObjectDamaged(Exception):
    """What was fetched is not what was stored."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} is not what was stored: its checksum differs")
        self.key = key


class StorageUnavailable(ConnectionError):
    """The storage does not answer, or not as it should; later it may."""


class StorageMisconfigured(Exception):
    """The storage cannot be used as it is configured. Waiting does not help; the message says what does."""


class LinkInvalid(Exception):
    """The link was not made by us, was changed, or has ended."""


@dataclass(frozen=True)
class StoredObject:
    """An object as the storage lists it. `size` is in bytes, `stored_at` in UTC."""

    key: str
    size: int
    stored_at: datetime


class Storage(Protocol):
    """A place for objects. Writes are whole or not at all; keys are `name/name/name`."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def put(self, key: str, source: Path, content_type: str) -> MediaReference:
        """Store a file under this key, over what was there."""
        ...

    async def get(self, reference: MediaReference, target: Path) -> None:
        """Fetch an object into a file and check that it is the one that was stored.

        Raises:
            ObjectMissing: there is none.
            ObjectDamaged: it is another one.
        """
        ...

    async def link(
        self,
        reference: MediaReference,
        seconds: int = LINK_SECONDS,
        method: str = "GET",
        filename: str | None = None,
    ) -> str:
        """A link to the object, for this method of HTTP, that ends after so many seconds.

        With a `filename` browsers save the object under that name instead of showing it.
        """
        ...

    async def delete(self, prefix: str) -> None:
        """Remove all objects whose keys begin with `prefix`."""
        ...

    def objects(self, prefix: str) -> AsyncIterator[StoredObject]:
        """Yield all objects whose keys begin with `prefix`, which ends with a slash."""
        ...

    async def sweep(self) -> int:
        """Remove what killed processes have half written. Returns how many files that was."""
        ...

    async def fault(self) -> str | None:
        """What is wrong with its configuration, for operators; None: nothing, or it does not answer."""
        ...


class LinkSigner:
    """Signs and checks links to a folder's objects: HMAC-SHA256 over key and end."""

    def __init__(self, secret: bytes, base_url: str) -> None:
        self.secret = secret
        self.base_url = base_url.rstrip("/")

    def link(self, key: str, seconds: int, filename: str | None = None) -> str:
        """A link to this key that ends in so many seconds; with a `filename`, to be saved under that name."""
        # Rounded up to a minute: whoever asks twice gets one link, and the browser's cache works.
        end = (int(time.time()) + seconds) // 60 * 60 + 60
        query = {"end": end, "signature": self._signature(key, end, filename)}
        if filename is not None:
            query["filename"] = filename
        return f"{self.base_url}/{key}?{urlencode(query)}"

    def check(self, key: str, end: int, signature: str, filename: str | None = None) -> None:
        """Raise `LinkInvalid` unless we made this link and it has not ended."""
        signed = self._signature(key, end, filename).encode()
        if end < time.time() or not hmac.compare_digest(signed, signature.encode(errors="replace")):
            raise LinkInvalid

    def _signature(self, key: str, end: int, filename: str | None = None) -> str:
        signed = f"GET {key} {end}" if filename is None else f"GET {key} {end} {filename}"
        return hmac.new(self.secret, signed.encode(errors="replace"), hashlib.sha256).hexdigest()


class FolderStorage:
    """A folder on this machine. Links lead to whoever serves it with the same `LinkSigner`."""

    def __init__(self, root: Path, signer: LinkSigner | None = None) -> None:
        self.root = root
        self.signer = signer

    async def __aenter__(self) -> Self:
        """Make the folder."""
        self.root.mkdir(parents=True, exist_ok=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is held open."""

    @property
    def half_written(self) -> Path:
        """Where objects are written before they get their names. No key begins with a dot."""
        return self.root / ".half-written"

    async def sweep(self) -> int:
        """See `Storage.sweep`."""
        return await asyncio.to_thread(work_folder.sweep, self.half_written, "*")

    async def fault(self) -> str | None:
        """See `Storage.fault`."""
        return None if os.access(self.root, os.W_OK) else "The storage's folder cannot be written to."

    def path(self, key: str) -> Path:
        """The file of an object."""
        return self.root / _checked(key)

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
        return _reference(key, source, content_type)

    async def get(self, reference: MediaReference, target: Path) -> None:
        """See `Storage.get`."""
        source = self.path(reference.key)
        try:
            await asyncio.to_thread(shutil.copyfile, source, target)
        except FileNotFoundError:
            raise ObjectMissing(reference.key) from None
        await _check(reference, target)

    async def link(
        self,
        reference: MediaReference,
        seconds: int = LINK_SECONDS,
        method: str = "GET",  # noqa: ARG002 - a folder's links are for both
        filename: str | None = None,
    ) -> str:
        """See `Storage.link`. Without a signer, the file itself."""
        if self.signer is None:
            return self.path(reference.key).resolve().as_uri()
        return self.signer.link(_checked(reference.key), seconds, filename)

    async def delete(self, prefix: str) -> None:
        """See `Storage.delete`."""
        folder = self.root / _checked(prefix.rstrip("/")) if prefix.endswith("/") else self.path(prefix).parent
        for path in await asyncio.to_thread(lambda: sorted(folder.rglob("*"))):
            if path.is_file() and path.relative_to(self.root).as_posix().startswith(prefix):
                path.unlink(missing_ok=True)

    async def objects(self, prefix: str) -> AsyncIterator[StoredObject]:
        """See `Storage.objects`."""
        for one in await asyncio.to_thread(self._objects, prefix):
            yield one

    def _objects(self, prefix: str) -> list[StoredObject]:
        found = []
        for path in sorted((self.root / _checked(prefix.rstrip("/"))).rglob("*")):
            with contextlib.suppress(FileNotFoundError):  # somebody removes it meanwhile
                facts = path.stat()
                if path.is_file():
                    stored_at = datetime.fromtimestamp(facts.st_mtime, UTC)
                    found.append(StoredObject(path.relative_to(self.root).as_posix(), facts.st_size, stored_at))
        return found


class S3Storage:
    """A bucket on S3, or on a server that speaks it. Credentials come from where boto3 finds them."""

    def __init__(
        self,
        bucket: str,
        endpoint: str | None = None,
        region: str | None = None,
        public_endpoint: str | None = None,
        *,
        writes: bool = True,
    ) -> None:
        self.bucket = bucket
        self.endpoint = endpoint
        self.region = region or "us-east-1"
        # A presigned link names its host: it must be the one that browsers reach.
        self.public_endpoint = public_endpoint or endpoint
        self._unproven = writes
        self._open = contextlib.AsyncExitStack()
        self._fault: str | None = None
        self._fault_known_until = 0.0

    async def __aenter__(self) -> Self:
        """Connect."""
        self.client = await self._client(self.endpoint)
        self.asking = await self._client(self.endpoint, attempts=1)
        self.public_client = (
            self.client if self.public_endpoint == self.endpoint else await self._client(self.public_endpoint)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect."""
        await self._open.aclose()

    async def _client(self, endpoint: str | None, attempts: int = 4) -> "S3Client":
        config = AioConfig(
            # The older way, botocore's default for links, is refused by newer regions and by links with a file name.
            signature_version="s3v4",
            connect_timeout=5,
            read_timeout=30,
            retries={"total_max_attempts": attempts, "mode": "standard"},
            # Not every S3 server takes checksums that trail an object; ours are in its metadata, and checked by us.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path" if endpoint else "auto"},
        )
        client = aioboto3.Session().client("s3", endpoint_url=endpoint, region_name=self.region, config=config)
        return await self._open.enter_async_context(client)

    async def fault(self) -> str | None:
        """See `Storage.fault`. The server is asked every few seconds at most."""
        if time.monotonic() >= self._fault_known_until:
            self._fault = None
            try:
                async with asyncio.timeout(FAULT_TIMEOUT_SECONDS):
                    await self._try()
            except (BotoCoreError, ClientError) as error:
                self._fault = fault_of(error)
            except TimeoutError:
                pass
            # A fault is looked for anew each time: it may have been mended.
            self._fault_known_until = time.monotonic() + (0.0 if self._fault else FAULT_KNOWN_SECONDS)
        return self._fault

    async def _try(self) -> None:
        """Do what a service does there: list, and once write and delete, if it ever does."""
        await self.asking.list_objects_v2(Bucket=self.bucket, MaxKeys=1)
        if self._unproven:
            key = f"probes/{uuid.uuid4()}"
            await self.asking.put_object(Bucket=self.bucket, Key=key, Body=b"")
            await self.asking.delete_object(Bucket=self.bucket, Key=key)
            self._unproven = False

    async def put(self, key: str, source: Path, content_type: str) -> MediaReference:
        """See `Storage.put`. Large files go in parts."""
        reference = await asyncio.to_thread(_reference, _checked(key), source, content_type)
        extra = {"ContentType": content_type, "Metadata": {"sha256": reference.sha256}}
        with _unavailable():
            await self.client.upload_file(str(source), self.bucket, key, ExtraArgs=extra)
        return reference

    async def get(self, reference: MediaReference, target: Path) -> None:
        """See `Storage.get`."""
        with _unavailable():
            try:
                await self.client.download_file(self.bucket, _checked(reference.key), str(target))
            except ClientError as error:
                if error.response["Error"]["Code"] in {"404", "NoSuchKey"}:
                    raise ObjectMissing(reference.key) from error
                raise
        await _check(reference, target)

    async def link(
        self,
        reference: MediaReference,
        seconds: int = LINK_SECONDS,
        method: str = "GET",
        filename: str | None = None,
    ) -> str:
        """See `Storage.link`."""
        params = {"Bucket": self.bucket, "Key": _checked(reference.key)}
        if filename is not None:
            params["ResponseContentDisposition"] = attachment(filename)
        what = f"{method.lower()}_object"
        return await self.public_client.generate_presigned_url(what, Params=params, ExpiresIn=seconds)

    async def sweep(self) -> int:
        """Do nothing: a half-written upload is no object, and a rule of the bucket's life cycle ends it."""
        return 0

    async def delete(self, prefix: str) -> None:
        """See `Storage.delete`."""
        with _unavailable():
            async for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
                for item in page.get("Contents", []):
                    await self.client.delete_object(Bucket=self.bucket, Key=item["Key"])

    async def objects(self, prefix: str) -> AsyncIterator[StoredObject]:
        """See `Storage.objects`."""
        with _unavailable():
            async for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
                for item in page.get("Contents", []):
                    yield StoredObject(item["Key"], item["Size"], item["LastModified"])


def open_storage(url: str, signer: LinkSigner | None = None, *, writes: bool = True) -> FolderStorage | S3Storage:
    """The storage a `STORAGE_URL` names: `file:///folder`, or `s3://bucket?endpoint=&region=&public_endpoint=`.

    `writes`: its caller stores objects; else it only reads them.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        return FolderStorage(Path(parts.path), signer)
    if parts.scheme != "s3":
        raise ValueError(f"STORAGE_URL must begin with s3:// or file://, not {parts.scheme}://")
    query = {key: values[0] for key, values in parse_qs(parts.query).items()}
    endpoint, public_endpoint = query.get("endpoint"), query.get("public_endpoint")
    return S3Storage(parts.netloc, endpoint, query.get("region"), public_endpoint, writes=writes)


def _checked(key: str) -> str:
    if not KEY.fullmatch(key):
        raise ValueError(f"not a storage key: {key!r}")
    return key


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reference(key: str, source: Path, content_type: str) -> MediaReference:
    return MediaReference(key=key, content_type=content_type, size=source.stat().st_size, sha256=_sha256(source))


async def _check(reference: MediaReference, path: Path) -> None:
    if await asyncio.to_thread(_sha256, path) != reference.sha256:
        await asyncio.to_thread(path.unlink)
        raise ObjectDamaged(reference.key)


@contextlib.contextmanager
def _unavailable() -> Iterator[None]:
    """Tell a server that is away, for which handlers wait, from one that is configured wrongly, for which they do not.

    Raises:
        StorageUnavailable: later it may go well.
        StorageMisconfigured: it will not, until somebody mends the configuration.
    """
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        if reason := fault_of(error):
            raise StorageMisconfigured(reason) from error
        if is_away(error):
            raise StorageUnavailable(str(error)) from error
        raise
