"""What stands for a key where a key must not be kept or shown: sessions in cookies, and tokens in addresses.

Each names the key and its own end, and is signed: any replica can check it, and it holds no longer than the key does.
"""

import base64
import hashlib
import hmac
import secrets
import time
from typing import Literal

Purpose = Literal["session", "token"]


class TokenInvalid(Exception):
    """It was not made by us for this purpose, was changed, or has ended."""


class Tokens:
    """Signs and checks: HMAC-SHA256 over purpose, key and end."""

    def __init__(self, secret: bytes) -> None:
        self.secret = secret

    def sign(self, purpose: Purpose, key_id: str, end: int) -> str:
        """A token that stands for this key until `end` (seconds of Unix time)."""
        nonce = secrets.token_hex(8)  # two of one second are two
        return f"{key_id}.{end}.{nonce}.{self._signature(purpose, key_id, end, nonce)}"

    def read(self, purpose: Purpose, token: str) -> tuple[str, int]:
        """The id of the key that a token stands for, and the token's end in Unix time. Raises `TokenInvalid`."""
        try:
            key_id, written_end, nonce, signature = token.split(".")
            end = int(written_end)
        except ValueError:
            raise TokenInvalid from None
        right = self._signature(purpose, key_id, end, nonce)
        if not hmac.compare_digest(right.encode(), signature.encode("utf-8", "replace")) or end < time.time():
            raise TokenInvalid
        return key_id, end

    def _signature(self, purpose: Purpose, key_id: str, end: int, nonce: str) -> str:
        told = f"{purpose} {key_id} {end} {nonce}".encode("utf-8", "replace")
        return base64.urlsafe_b64encode(hmac.digest(self.secret, told, hashlib.sha256)).rstrip(b"=").decode()
