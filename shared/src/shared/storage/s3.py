"""Objects in a bucket on S3 or a compatible server."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

import aioboto3
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError

from shared.contracts.media import MediaReference
from shared.http.attachment import attachment
from shared.storage.base import LINK_SECONDS, StoredObject, checked_key, reference_to, verify
from shared.storage.errors import ObjectMissing, StorageMisconfigured, StorageUnavailable
from shared.storage.faults import fault_of, is_away

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

FAULT_TIMEOUT_SECONDS = 1.5
FAULT_KNOWN_SECONDS = 5.0


class S3Storage:
    """A bucket on S3 or a compatible server. Credentials come from where boto3 finds them."""

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
        # A presigned link contains its host, which browsers must be able to reach.
        self.public_endpoint = public_endpoint or endpoint
        self._write_is_untested = writes
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
            # Version 2, the default of botocore for links, fails in newer regions and with file names.
            signature_version="s3v4",
            connect_timeout=5,
            read_timeout=30,
            retries={"total_max_attempts": attempts, "mode": "standard"},
            # Not every S3 server supports trailing checksums; we keep our own in the metadata and verify them.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path" if endpoint else "auto"},
        )
        client = aioboto3.Session().client("s3", endpoint_url=endpoint, region_name=self.region, config=config)
        return await self._open.enter_async_context(client)

    async def fault(self) -> str | None:
        """See `Storage.fault`. Asks the server every few seconds at most."""
        if time.monotonic() >= self._fault_known_until:
            self._fault = None
            try:
                async with asyncio.timeout(FAULT_TIMEOUT_SECONDS):
                    await self._try()
            except (BotoCoreError, ClientError) as error:
                self._fault = fault_of(error)
            except TimeoutError:
                pass
            # Faults are not cached: an operator may have corrected the configuration.
            self._fault_known_until = time.monotonic() + (0.0 if self._fault else FAULT_KNOWN_SECONDS)
        return self._fault

    async def _try(self) -> None:
        """List objects; if this service writes, also write and delete one, until that has succeeded once."""
        await self.asking.list_objects_v2(Bucket=self.bucket, MaxKeys=1)
        if self._write_is_untested:
            key = f"probes/{uuid.uuid4()}"
            await self.asking.put_object(Bucket=self.bucket, Key=key, Body=b"")
            await self.asking.delete_object(Bucket=self.bucket, Key=key)
            self._write_is_untested = False

    async def put(self, key: str, source: Path, content_type: str) -> MediaReference:
        """See `Storage.put`. Large files are uploaded in parts."""
        reference = await asyncio.to_thread(reference_to, checked_key(key), source, content_type)
        extra = {"ContentType": content_type, "Metadata": {"sha256": reference.sha256}}
        with _translated_errors():
            await self.client.upload_file(str(source), self.bucket, key, ExtraArgs=extra)
        return reference

    async def get(self, reference: MediaReference, target: Path) -> None:
        """See `Storage.get`."""
        with _translated_errors():
            try:
                await self.client.download_file(self.bucket, checked_key(reference.key), str(target))
            except ClientError as error:
                if error.response["Error"]["Code"] in {"404", "NoSuchKey"}:
                    raise ObjectMissing(reference.key) from error
                raise
        await verify(reference, target)

    async def link(
        self,
        reference: MediaReference,
        seconds: int = LINK_SECONDS,
        method: str = "GET",
        filename: str | None = None,
    ) -> str:
        """See `Storage.link`."""
        params = {"Bucket": self.bucket, "Key": checked_key(reference.key)}
        if filename is not None:
            params["ResponseContentDisposition"] = attachment(filename)
        what = f"{method.lower()}_object"
        return await self.public_client.generate_presigned_url(what, Params=params, ExpiresIn=seconds)

    async def sweep(self) -> int:
        """Do nothing: a lifecycle rule of the bucket removes unfinished uploads."""
        return 0

    async def delete(self, prefix: str) -> None:
        """See `Storage.delete`."""
        with _translated_errors():
            async for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
                for item in page.get("Contents", []):
                    await self.client.delete_object(Bucket=self.bucket, Key=item["Key"])

    async def objects(self, prefix: str) -> AsyncIterator[StoredObject]:
        """See `Storage.objects`."""
        with _translated_errors():
            async for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
                for item in page.get("Contents", []):
                    yield StoredObject(item["Key"], item["Size"], item["LastModified"])


@contextlib.contextmanager
def _translated_errors() -> Iterator[None]:
    """Translate errors of the server: handlers retry when it is unavailable, and fail when it is misconfigured.

    Raises:
        StorageUnavailable: a later attempt may succeed.
        StorageMisconfigured: no attempt succeeds until the configuration is corrected.
    """
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        if reason := fault_of(error):
            raise StorageMisconfigured(reason) from error
        if is_away(error):
            raise StorageUnavailable(str(error)) from error
        raise
