"""Identifies callers and their permissions, for REST, tRPC, SSE and Socket.IO alike."""

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.requests import HTTPConnection, cookie_parser

from gateway.access.keys import KeyInvalid, Keys, Scope
from gateway.access.tokens import Purpose, TokenInvalid, Tokens
from gateway.http.errors import ApiError, Problem
from gateway.http.json_body import is_json
from gateway.http.rate_limit import Allowance, RateLimiter
from gateway.models import ApiKey
from shared.contracts.story import DEFAULT_OWNER

SESSION_COOKIE = "multishot_session"
SESSION_SECONDS = 12 * 3600
TOKEN_SECONDS = 300
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
ALL_SCOPES: frozenset[Scope] = frozenset({"read", "write", "admin"})

__all__ = ["ANYBODY", "Access", "Caller", "NotAllowed", "NotSignedIn", "Scope", "Session"]


KEY_REQUIRED = "An API key is required: `Authorization: Bearer <key>`."


class NotSignedIn(ApiError):
    """The call has no valid key, session or token. `named`: it has one, but that is invalid."""

    http_status, problem_type, title = 401, "not-signed-in", "Not signed in"

    def __init__(self, why: str = KEY_REQUIRED, *, named: bool = False) -> None:
        super().__init__(why)
        self.named = named

    def problem(self) -> Problem:
        """Return the problem, with the challenge that HTTP requires."""
        challenge = 'Bearer realm="multishot"' + (', error="invalid_token"' if self.named else "")
        return replace(super().problem(), headers={"WWW-Authenticate": challenge})


class NotAllowed(ApiError):
    """The caller's key lacks the required scope."""

    http_status, problem_type, title = 403, "not-allowed", "Not allowed"

    def __init__(self, scope: Scope) -> None:
        super().__init__(f"This key lacks the required scope {scope!r}.")
        self.scope = scope


class NoKeysHere(ApiError):
    """The gateway requires no keys. A key that anybody could create now would be valid once it does."""

    http_status, problem_type, title = 409, "no-keys-here", "No keys here"

    def __init__(self) -> None:
        super().__init__("This gateway requires no keys (AUTH=none), so the API creates none. Use `make key`.")


@dataclass(frozen=True)
class Caller:
    """An authenticated caller. Its videos belong to `owner`; it sees that owner's videos, or all.

    `calls_per_minute`: the limit of its key, if it has one. `session`: the session that it called with, if any.
    """

    owner: str
    scopes: frozenset[Scope]
    sees_all: bool = False
    key_id: str | None = None
    calls_per_minute: int | None = None
    session: str | None = field(default=None, repr=False)

    @property
    def visible_owner(self) -> str | None:
        """Return the owner whose videos this caller may see; None: everybody's."""
        return None if self.sees_all else self.owner

    def require(self, scope: Scope) -> None:
        """Raise `NotAllowed` unless the caller has this scope."""
        if scope not in self.scopes:
            raise NotAllowed(scope)


ANYBODY = Caller(DEFAULT_OWNER, ALL_SCOPES, sees_all=True)
"""The caller where no keys are required."""


@dataclass(frozen=True)
class Session:
    """A browser's session; without a `cookie` where no keys are required. `end` is Unix time."""

    caller: Caller
    cookie: str | None
    end: int


class Access:
    """Identifies callers. Without `keys`, every caller is `ANYBODY`.

    `calls_per_minute`: the limit of an owner; 0: none.
    """

    def __init__(self, keys: Keys | None, tokens: Tokens, calls_per_minute: int) -> None:
        self.keys = keys
        self.tokens = tokens
        self.calls_per_minute = calls_per_minute
        self.limits = RateLimiter()

    async def identify(self, connection: HTTPConnection) -> Caller:
        """Return the caller of an HTTP call, by its key, the token in its URL, or its session. Raises `NotSignedIn`."""
        if self.keys is None:
            return ANYBODY
        if (given := connection.headers.get("authorization")) is not None:
            return await self._by_key(_bearer(given))
        method = connection.scope.get("method")
        # The request-context middleware has moved it out of the URL.
        if method in SAFE_METHODS and (token := connection.scope["state"].get("token")) is not None:
            return await self._by_token(token)
        if (session := connection.cookies.get(SESSION_COOKIE)) is not None:
            if method == "POST" and not is_json(connection.headers.get("content-type", "")):
                # An HTML form of another site could send this, and the browser would add the cookie.
                raise NotSignedIn("With a session, POST requires the content type application/json.", named=True)
            return await self._by_session(session)
        raise NotSignedIn

    async def identify_socket(self, environ: Mapping[str, Any], auth: object) -> Caller:
        """Return the caller of a socket, by `auth: {token}` with a key or token, a header, or a session.

        Raises:
            NotSignedIn: there is none of them, or it is invalid.
        """
        if self.keys is None:
            return ANYBODY
        if isinstance(auth, dict) and (token := auth.get("token")) is not None:
            if not isinstance(token, str):
                raise NotSignedIn("`auth.token` must be text.", named=True)
            return await (self._by_key(token) if token.startswith("msk_") else self._by_token(token))
        if (given := environ.get("HTTP_AUTHORIZATION")) is not None:
            return await self._by_key(_bearer(given))
        if (session := cookie_parser(environ.get("HTTP_COOKIE", "")).get(SESSION_COOKIE)) is not None:
            return await self._by_session(session)
        raise NotSignedIn("An API key is required: `auth: {token: <key>}`.")

    async def is_valid(self, caller: Caller) -> bool:
        """Return whether a caller's key and session are still valid, for what lasts longer than a call."""
        if self.keys is None or caller.key_id is None:
            return True
        try:
            await self.keys.valid(caller.key_id)
        except KeyInvalid:
            return False
        return caller.session is None or not await self.keys.has_ended(caller.session)

    async def count(self, caller: Caller, calls: int = 1) -> Allowance | None:
        """Count calls against the limit of the caller's key, or else of its owner; None: there is no limit.

        Raises:
            TooManyCalls: the limit is exceeded.
        """
        if self.keys is None:
            return None
        if caller.calls_per_minute is not None:
            return self.limits.take(f"key:{caller.key_id}", caller.calls_per_minute, calls, time.monotonic())
        if not self.calls_per_minute:
            return None
        return self.limits.take(f"owner:{caller.owner}", self.calls_per_minute, calls, time.monotonic())

    def require_keys(self) -> None:
        """Raise `NoKeysHere` unless the gateway requires keys."""
        if self.keys is None:
            raise NoKeysHere

    async def open_session(self, key: str) -> Session:
        """Open a session for the holder of a key. Raises `NotSignedIn`."""
        end = int(time.time()) + SESSION_SECONDS
        if self.keys is None:
            return Session(ANYBODY, None, end)
        caller = await self._by_key(key)
        return Session(caller, self._sign("session", caller, end), end)

    async def end_session(self, session: str | None) -> None:
        """End a session on all replicas. An invalid one is ignored."""
        if self.keys is None or session is None:
            return
        with contextlib.suppress(TokenInvalid):
            _, end = self.tokens.read("session", session)
            await self.keys.end_session(session, end)

    def token(self, caller: Caller) -> tuple[str, int]:
        """Return a read-only token for URLs, and its end in Unix time."""
        end = int(time.time()) + TOKEN_SECONDS
        return self._sign("token", caller, end), end

    def _sign(self, purpose: Purpose, caller: Caller, end: int) -> str:
        return self.tokens.sign(purpose, caller.key_id or "", end)

    async def _by_key(self, key: str) -> Caller:
        assert self.keys is not None  # noqa: S101 - asked before
        try:
            return _caller(await self.keys.check(key))
        except KeyInvalid:
            raise NotSignedIn("Invalid or expired API key.", named=True) from None

    async def _by_session(self, session: str) -> Caller:
        caller = await self._by_signed("session", session)
        if self.keys is not None and await self.keys.has_ended(session):
            raise NotSignedIn("This session has ended. Sign in again.", named=True)
        return replace(caller, session=session)

    async def _by_token(self, token: str) -> Caller:
        caller = await self._by_signed("token", token)
        return Caller(caller.owner, caller.scopes & {"read"}, caller.sees_all, caller.key_id, caller.calls_per_minute)

    async def _by_signed(self, purpose: Purpose, signed: str) -> Caller:
        assert self.keys is not None  # noqa: S101 - asked before
        try:
            key_id, _ = self.tokens.read(purpose, signed)
            return _caller(await self.keys.valid(key_id))
        except (TokenInvalid, KeyInvalid):
            raise NotSignedIn(f"Invalid or expired {purpose}.", named=True) from None


def _bearer(authorization: str) -> str:
    kind, _, key = authorization.partition(" ")
    if kind.lower() != "bearer":
        raise NotSignedIn(named=True)
    return key.strip()


def _caller(key: ApiKey) -> Caller:
    is_admin = "admin" in key.scopes
    scopes = ALL_SCOPES if is_admin else ALL_SCOPES & set(key.scopes)
    return Caller(key.owner, scopes, is_admin, key.key_id, key.calls_per_minute)
