"""The pictures in orders: first frames and references. Records have their digests instead of their bytes."""

import base64
import binascii
import hashlib
import io
from dataclasses import dataclass
from typing import Any

from PIL import Image

UNKNOWN_SIZE = (16, 9)


@dataclass(frozen=True)
class Given:
    """A picture in an order, with its bytes or, if it was not sent itself, a link to it."""

    role: str
    data: bytes | None = None
    link: str | None = None
    tag: str | None = None

    def shown(self) -> dict[str, str | None]:
        """Return what the ledger tells about it."""
        digest = None if self.data is None else hashlib.sha256(self.data).hexdigest()
        return {"role": self.role, "sha256": digest, "link": self.link, "tag": self.tag}


def given(role: str, source: str, tag: str | None = None) -> Given:
    """Return the picture of a data URI or a link."""
    data = data_of(source)
    return Given(role, data, None if data is not None else source, tag)


def data_of(uri: str) -> bytes | None:
    """Return the content of a data URI; None if it is none."""
    head, _, content = uri.partition(",")
    if not head.startswith("data:"):
        return None
    return decoded(content)


def decoded(content: str) -> bytes | None:
    """Return the bytes of base64; None if it is none."""
    try:
        return base64.b64decode(content, validate=True)
    except binascii.Error:
        return None


def digested(body: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return a request with `sha256:` and a digest in place of each picture."""
    if isinstance(body, dict):
        return {
            key: _digest(decoded(value)) if _is_content(key, value) else digested(value) for key, value in body.items()
        }
    if isinstance(body, list):
        return [digested(value) for value in body]
    if isinstance(body, str) and body.startswith("data:"):
        return _digest(data_of(body))
    return body


def size_like(data: bytes | None, short: int) -> tuple[int, int]:
    """Return the size with the aspect ratio of a picture and a short side of so many pixels."""
    across, down = UNKNOWN_SIZE
    if data is not None:
        try:
            with Image.open(io.BytesIO(data)) as picture:
                across, down = picture.size
        except (OSError, ValueError):
            pass
    return size_of(across, down, short)


def size_of(across: int, down: int, short: int) -> tuple[int, int]:
    """Return the even size with an aspect ratio and a short side."""
    if across >= down:
        return short * across // down // 2 * 2, short
    return short, short * down // across // 2 * 2


def _is_content(key: str, value: object) -> bool:
    return key == "data" and isinstance(value, str)


def _digest(data: bytes | None) -> str:
    return "sha256:" + hashlib.sha256(data or b"").hexdigest()
