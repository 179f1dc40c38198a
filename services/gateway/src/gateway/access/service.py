"""Who calls, and what they may do: one answer for all faces of the gateway."""

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


class NotSignedIn(ApiError):
    """Nobody is named by this call, or by a key that is not, or no more, valid. `named`: whether by anything at all."""

    http_status, problem_type, title = 401, "not-signed-in", "Not signed in"

    def __init__(self, why: str = "This needs a key: `Authorization: Bearer <key>`.", *, named: bool = False) -> None:
        super().__init__(why)
        self.named = named

    def problem(self) -> Problem:
        """Return the problem, with the challenge that HTTP requires."""
        challenge = 'Bearer realm="multishot"' + (', error="invalid_token"' if self.named else "")
        return replace(super().problem(), headers={"WWW-Authenticate": challenge})


class NotAllowed(ApiError):
    """The key of this call does not allow it."""

    http_status, problem_type, title = 403, "not-allowed", "Not allowed"

    def __init__(self, scope: Scope) -> None:
        super().__init__(f"The key of this call does not allow this: it needs the scope {scope!r}.")
        self.scope = scope


class NoKeysHere(ApiError):
    """Keys are not asked for; one made now by anybody would open the door once they are."""

    http_status, problem_type, title = 409, "no-keys-here", "No keys here"

    def __init__(self) -> None:
        super().__init__("This gateway asks for no keys (AUTH=none), so none are made here. `make key` makes one.")


@dataclass(frozen=True)
class Caller:
    """Whoever calls. What they ask for belongs to `owner`; they see that owner's videos alone, or all.

    `calls_per_minute`: the limit of their own key, if it has one. `session`: the one they call by, if they do.
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
        """Raise `NotAllowed` unless they may do this."""
        if scope not in self.scopes:
            raise NotAllowed(scope)


ANYBODY = Caller(DEFAULT_OWNER, ALL_SCOPES, sees_all=True)
"""Whoever calls where no keys are asked for."""


@dataclass(frozen=True)
class Session:
    """What a browser keeps instead of a key; without a `cookie` where no keys are asked for. `end` is Unix time."""

    caller: Caller
    cookie: str | None
    end: int


class Access:
    """Finds out who calls. Without `keys` nobody is asked, and everybody is `ANYBODY`.

    `calls_per_minute`: the limit for an owner; 0: there is none.
    """

    def __init__(self, keys: Keys | None, tokens: Tokens, calls_per_minute: int) -> None:
        self.keys = keys
        self.tokens = tokens
        self.calls_per_minute = calls_per_minute
        self.limits = RateLimiter()

    async def identify(self, connection: HTTPConnection) -> Caller:
        """Who makes this call, be it of REST, tRPC or SSE: by a key, a token in the address, or a session.

        Raises:
            NotSignedIn: nobody is named, or by something that does not hold.
        """
        if self.keys is None:
            return ANYBODY
        if (given := connection.headers.get("authorization")) is not None:
            return await self._by_key(_bearer(given))
        method = connection.scope.get("method")
        # Whoever labels the call has taken it out of the address.
        if method in SAFE_METHODS and (token := connection.scope["state"].get("token")) is not None:
            return await self._by_token(token)
        if (session := connection.cookies.get(SESSION_COOKIE)) is not None:
            if method == "POST" and not is_json(connection.headers.get("content-type", "")):
                # A form on any page could send this; the browser would add the cookie.
                raise NotSignedIn("A session can POST with the content type application/json only.", named=True)
            return await self._by_session(session)
        raise NotSignedIn

    async def identify_socket(self, environ: Mapping[str, Any], auth: object) -> Caller:
        """Who opens this socket: by `auth: {token}` with a key or a token, by a header, or by a session.

        Raises:
            NotSignedIn: nobody is named, or by something that does not hold.
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
        raise NotSignedIn("This needs a key: `auth: {token: <key>}`.")

    async def is_valid(self, caller: Caller) -> bool:
        """Whether the key of a caller still holds: to be asked now and then by what outlives a call."""
        if self.keys is None or caller.key_id is None:
            return True
        try:
            await self.keys.valid(caller.key_id)
        except KeyInvalid:
            return False
        return caller.session is None or not await self.keys.has_ended(caller.session)

    async def count(self, caller: Caller, calls: int = 1) -> Allowance | None:
        """Count calls against the limit of the caller's key, or else of their owner; None: there is no limit.

        Raises:
            TooManyCalls: there were too many within a minute.
        """
        if self.keys is None:
            return None
        if caller.calls_per_minute is not None:
            return self.limits.take(f"key:{caller.key_id}", caller.calls_per_minute, calls, time.monotonic())
        if not self.calls_per_minute:
            return None
        return self.limits.take(f"owner:{caller.owner}", self.calls_per_minute, calls, time.monotonic())

    def require_keys(self) -> None:
        """Raise `NoKeysHere` unless keys are asked for."""
        if self.keys is None:
            raise NoKeysHere

    async def open_session(self, key: str) -> Session:
        """A session for whoever shows this key. Raises `NotSignedIn`."""
        end = int(time.time()) + SESSION_SECONDS
        if self.keys is None:
            return Session(ANYBODY, None, end)
        caller = await self._by_key(key)
        return Session(caller, self._sign("session", caller, end), end)

    async def end_session(self, session: str | None) -> None:
        """End a session everywhere, not in its browser alone. One that does not hold is passed over."""
        if self.keys is None or session is None:
            return
        with contextlib.suppress(TokenInvalid):
            _, end = self.tokens.read("session", session)
            await self.keys.end_session(session, end)

    def token(self, caller: Caller) -> tuple[str, int]:
        """A token for addresses, with which this caller can look and listen; and its end in Unix time."""
        end = int(time.time()) + TOKEN_SECONDS
        return self._sign("token", caller, end), end

    def _sign(self, purpose: Purpose, caller: Caller, end: int) -> str:
        return self.tokens.sign(purpose, caller.key_id or "", end)

    async def _by_key(self, key: str) -> Caller:
        assert self.keys is not None  # noqa: S101 - asked before
        try:
            return _caller(await self.keys.check(key))
        except KeyInvalid:
            raise NotSignedIn("This key does not hold, or no more.", named=True) from None

    async def _by_session(self, session: str) -> Caller:
        caller = await self._by_signed("session", session)
        if self.keys is not None and await self.keys.has_ended(session):
            raise NotSignedIn("This session was ended. Sign in again.", named=True)
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
            raise NotSignedIn(f"This {purpose} does not hold, or no more.", named=True) from None


def _bearer(authorization: str) -> str:
    kind, _, key = authorization.partition(" ")
    if kind.lower() != "bearer":
        raise NotSignedIn(named=True)
    return key.strip()


def _caller(key: ApiKey) -> Caller:
    is_admin = "admin" in key.scopes
    scopes = ALL_SCOPES if is_admin else ALL_SCOPES & set(key.scopes)
    return Caller(key.owner, scopes, is_admin, key.key_id, key.calls_per_minute)
