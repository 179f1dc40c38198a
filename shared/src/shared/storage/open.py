"""Opens the storage that a setting names."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from shared.storage.folder import FolderStorage
from shared.storage.s3 import S3Storage
from shared.storage.signer import LinkSigner


def open_storage(url: str, signer: LinkSigner | None = None, *, writes: bool = True) -> FolderStorage | S3Storage:
    """Return the storage of a `STORAGE_URL`: `file:///folder`, or `s3://bucket?endpoint=&region=&public_endpoint=`.

    `writes`: the caller stores objects; otherwise it only reads them.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        return FolderStorage(Path(parts.path), signer)
    if parts.scheme != "s3":
        raise ValueError(f"STORAGE_URL must begin with s3:// or file://, not {parts.scheme}://")
    query = {key: values[0] for key, values in parse_qs(parts.query).items()}
    endpoint, public_endpoint = query.get("endpoint"), query.get("public_endpoint")
    return S3Storage(parts.netloc, endpoint, query.get("region"), public_endpoint, writes=writes)
