"""Signed tokens that stand for a key where the key itself must not be stored or shown: in cookies and in URLs.

A token names the key and its own end. Any replica can check it, and it never outlives the key.
"""

import hashlib
import secrets
import time
from typing import Literal

from itsdangerous import BadData, URLSafeSerializer

Purpose = Literal["session", "token"]


class TokenInvalid(Exception):
    """The token was not signed by us for this purpose, was changed, or has expired."""


class Tokens:
    """Signs and checks tokens: HMAC-SHA256 over the id of the key, the end and a nonce, salted with the purpose."""

    def __init__(self, secret: bytes) -> None:
        self.secret = secret

    def sign(self, purpose: Purpose, key_id: str, end: int) -> str:
        """Return a token that stands for this key until `end` (seconds of Unix time)."""
        nonce = secrets.token_hex(8)  # two tokens of one second differ
        return str(self._serializer(purpose).dumps([key_id, end, nonce]))

    def read(self, purpose: Purpose, token: str) -> tuple[str, int]:
        """Return the id of the token's key, and its end in Unix time. Raises `TokenInvalid`."""
        try:
            key_id, end, _nonce = self._serializer(purpose).loads(token)
        except (BadData, UnicodeError):
            raise TokenInvalid from None
        if end < time.time():
            raise TokenInvalid
        return key_id, end

    def _serializer(self, purpose: Purpose) -> URLSafeSerializer:
        options = {"key_derivation": "hmac", "digest_method": hashlib.sha256}
        return URLSafeSerializer(self.secret, salt=f"multishot.{purpose}", signer_kwargs=options)
