"""API keys: created and shown once, stored as hashes, checked on every call, revoked."""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel
from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.http.errors import ApiError
from gateway.models import ApiKey, EndedSession
from shared.contracts.story import Owner
from shared.persistence.database import Database, now

Scope = Literal["read", "write", "admin"]
"""`read`: see videos and their events. `write`: request and change them. `admin`: both for all owners, and keys."""

CACHE_SECONDS = 5.0
"""How long a replica caches a key; a revoked key may still be accepted for as long."""

LAST_USED_EVERY_SECONDS = 60.0
DAY_SECONDS = 86_400.0
FORM = re.compile(r"msk_([0-9a-f]{16})_[A-Za-z0-9_-]{43}")


class KeyRequest(BaseModel):
    """A key to create."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        extra="forbid",
        json_schema_extra={"example": {"owner": "publisher", "name": "its server", "scopes": ["read", "write"]}},
    )

    owner: Owner = Field(description="The owner of the videos that it requests and sees")
    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
    scopes: frozenset[Scope] = Field(min_length=1)
    calls_per_minute: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        None, description="The limit for this key, instead of the one for its owner"
    )
    budget_day_usd: Annotated[Decimal, Field(ge=0, le=100_000)] | None = Field(
        None, description="The most its owner may spend in a day, if less than the general limit"
    )
    days: Annotated[int, Field(ge=1, le=3650)] | None = Field(None, description="Days until it expires; default: never")


class KeyInvalid(Exception):
    """There is no such key, or it has expired or was revoked."""


class KeyNotFound(ApiError):
    """There is no key with this id."""

    http_status, problem_type, title = 404, "key-not-found", "Key not found"

    def __init__(self, key_id: str) -> None:
        super().__init__(f"There is no key {key_id}.")
        self.key_id = key_id


class Keys:
    """All API keys. They have 256 random bits, so a fast hash protects them as well as a slow one."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.cache: dict[str, tuple[ApiKey, float]] = {}
        """Keys by id, and when to read each again."""
        self.ended: dict[str, tuple[bool, float]] = {}
        """For sessions: whether each has ended, and when to read that again."""

    async def create(self, request: KeyRequest) -> tuple[str, ApiKey]:
        """Create a key. Returns the key, which cannot be recovered later, and its row."""
        key_id = secrets.token_hex(8)
        key = f"msk_{key_id}_{secrets.token_urlsafe(32)}"
        row = ApiKey(
            key_id=key_id,
            hash=_hash(key),
            owner=request.owner,
            name=request.name,
            scopes=sorted(request.scopes),
            calls_per_minute=request.calls_per_minute,
            budget_day_usd=request.budget_day_usd,
            created_at=now(),
            expires_at=now(request.days * DAY_SECONDS) if request.days is not None else None,
        )
        async with self.database.sessions.begin() as session:
            session.add(row)
            await session.flush()
            await session.refresh(row)
        return key, row

    async def all(self, owner: str | None) -> Sequence[ApiKey]:
        """Return all keys, newest first; `owner`: only theirs."""
        which = [ApiKey.owner == owner] if owner is not None else []
        newest = select(ApiKey).where(*which).order_by(ApiKey.created_at.desc(), ApiKey.key_id)
        async with self.database.reading() as session:
            return (await session.execute(newest)).scalars().all()

    async def get(self, key_id: str) -> ApiKey:
        """Return a key, valid or not. Raises `KeyNotFound`."""
        async with self.database.reading() as session:
            row = await session.get(ApiKey, key_id)
        if row is None:
            raise KeyNotFound(key_id)
        return row

    async def revoke(self, key_id: str) -> None:
        """Revoke a key: here at once, on other replicas within `CACHE_SECONDS`. Raises `KeyNotFound`."""
        await self.get(key_id)
        ended = update(ApiKey).where(ApiKey.key_id == key_id, ApiKey.revoked_at.is_(None)).values(revoked_at=now())
        async with self.database.sessions.begin() as session:
            await session.execute(ended)
        self.cache.pop(key_id, None)

    async def end_session(self, session: str, end: int) -> None:
        """Store until `end` (Unix time) that a session has ended: effective here at once, elsewhere as with a key."""
        row = EndedSession(hash=_hash(session), ends_at=now(end - time.time()))
        async with self.database.sessions.begin() as db:
            if await db.get(EndedSession, row.hash) is None:
                db.add(row)
        self.ended.pop(row.hash, None)

    async def has_ended(self, session: str) -> bool:
        """Return whether a session has ended, as of at most `CACHE_SECONDS` ago."""
        name, clock = _hash(session), time.monotonic()
        ended, until = self.ended.get(name, (False, 0.0))
        if clock >= until:
            async with self.database.reading() as db:
                ended = await db.get(EndedSession, name) is not None
            self.ended = {other: known for other, known in self.ended.items() if known[1] > clock}
            self.ended[name] = (ended, clock + CACHE_SECONDS)
        return ended

    async def check(self, key: str) -> ApiKey:
        """Return the row of a key. Raises `KeyInvalid`."""
        form = FORM.fullmatch(key)
        if form is None:
            raise KeyInvalid
        return await self._valid(form[1], _hash(key))

    async def valid(self, key_id: str) -> ApiKey:
        """Return the row of a valid key by its id, as of at most `CACHE_SECONDS` ago. Raises `KeyInvalid`."""
        return await self._valid(key_id, None)

    async def _valid(self, key_id: str, shown: str | None) -> ApiKey:
        """Return the row of a valid key. `shown`: the hash of the caller's key; None: a signed token named it."""
        row, until = self.cache.get(key_id, (None, 0.0))
        if row is None or time.monotonic() >= until:
            row = await self._load(key_id, shown)
            if row is None:
                self.cache.pop(key_id, None)
                raise KeyInvalid
            self.cache[key_id] = (row, time.monotonic() + CACHE_SECONDS)
        elif shown is not None and not hmac.compare_digest(row.hash, shown):
            raise KeyInvalid
        return row

    async def _load(self, key_id: str, shown: str | None) -> ApiKey | None:
        stale = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < now(-LAST_USED_EVERY_SECONDS))
        async with self.database.sessions.begin() as session:
            found = await session.execute(select(ApiKey, stale).where(ApiKey.key_id == key_id, _is_valid()))
            row, is_stale = found.one_or_none() or (None, False)
            if row is not None and shown is not None and not hmac.compare_digest(row.hash, shown):
                # The id is no secret: a caller that knows only the id has not used the key.
                raise KeyInvalid
            if is_stale:
                await session.execute(update(ApiKey).where(ApiKey.key_id == key_id).values(last_used_at=now()))
        return row


async def budget_of(session: AsyncSession, owner: str) -> Decimal | None:
    """Return the most that an owner's keys allow per day, in USD: the least of all valid ones; None: no limit."""
    least = select(func.min(ApiKey.budget_day_usd)).where(ApiKey.owner == owner, _is_valid())
    found = (await session.execute(least)).scalar_one_or_none()
    return None if found is None else Decimal(str(found))


def _is_valid() -> ColumnElement[bool]:
    return and_(ApiKey.revoked_at.is_(None), or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now()))


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
