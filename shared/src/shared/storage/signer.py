"""Signed links to the objects of a folder, which the gateway serves."""

import hashlib
import hmac
import time
from urllib.parse import urlencode

from shared.storage.errors import LinkInvalid


class LinkSigner:
    """Signs and verifies links to objects of a folder: HMAC-SHA256 over the key and the time of expiry."""

    def __init__(self, secret: bytes, base_url: str) -> None:
        self.secret = secret
        self.base_url = base_url.rstrip("/")

    def link(self, key: str, seconds: int, filename: str | None = None) -> str:
        """Return a link to this key, valid for so many seconds. With a `filename`, browsers save it under that name."""
        # Rounded up to the minute, so that repeated requests get the same link and browsers can cache it.
        end = (int(time.time()) + seconds) // 60 * 60 + 60
        query = {"end": end, "signature": self._signature(key, end, filename)}
        if filename is not None:
            query["filename"] = filename
        return f"{self.base_url}/{key}?{urlencode(query)}"

    def check(self, key: str, end: int, signature: str, filename: str | None = None) -> None:
        """Raise `LinkInvalid` unless we signed this link and it has not expired."""
        signed = self._signature(key, end, filename).encode()
        if end < time.time() or not hmac.compare_digest(signed, signature.encode(errors="replace")):
            raise LinkInvalid

    def _signature(self, key: str, end: int, filename: str | None = None) -> str:
        signed = f"GET {key} {end}" if filename is None else f"GET {key} {end} {filename}"
        return hmac.new(self.secret, signed.encode(errors="replace"), hashlib.sha256).hexdigest()
