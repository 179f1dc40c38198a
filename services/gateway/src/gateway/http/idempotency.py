"""Executes a call with an idempotency key once; repeats within 24 hours return the original answer.

The answer is saved in the transaction of the work itself, so there is never one without the other.
"""

import contextlib
import hashlib
import hmac
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, IntegrityError

from gateway.http.errors import ApiError
from gateway.models import IdempotencyRecord
from shared.persistence.database import Database, now
from shared.persistence.unit_of_work import UnitOfWork, transaction

T = TypeVar("T")

KEPT_SECONDS = 24 * 3600
ATTEMPTS = 5
LOCK_WAIT, DEADLOCKS = 1205, (1213, 1305)
TRY_AGAIN = (LOCK_WAIT, *DEADLOCKS)
"""MySQL's error numbers of a lock wait timeout and of a deadlock.

A deadlock within a savepoint is reported as 1305: the savepoint was rolled back with everything else.
"""

QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
PRINTABLE = re.compile(r"[\x20-\x7e]{1,255}")


class IdempotencyKeyInvalid(ApiError):
    """The idempotency key of a call cannot be used."""

    http_status, problem_type, title = 400, "idempotency-key-invalid", "Idempotency key invalid"

    def __init__(self) -> None:
        super().__init__("An idempotency key has 1 to 255 printable ASCII characters, bare or in double quotes.")


class IdempotencyKeyReused(ApiError):
    """The idempotency key was used for another request."""

    http_status, problem_type, title = 422, "idempotency-key-reused", "Idempotency key reused"

    def __init__(self) -> None:
        super().__init__("This idempotency key was used for another request. Use a new key for a new request.")


class StillRunning(ApiError):
    """The first call with this key is not finished yet."""

    http_status, problem_type, title = 409, "still-running", "Still running"

    def __init__(self) -> None:
        super().__init__("The first call with this idempotency key is still running. Try again in a moment.")


@dataclass(frozen=True)
class Key:
    """Identifies a call by its owner, its route and the key that the caller chose. `secret`: see `uuid`."""

    owner: str
    route: str
    value: str
    secret: bytes = field(default=b"", repr=False)

    @classmethod
    def read(cls, owner: str, route: str, text: str | None, secret: bytes = b"") -> "Key | None":
        """Read the key from its header, bare or quoted as in the IETF's draft. Raises `IdempotencyKeyInvalid`."""
        if text is None:
            return None
        text = text.strip()
        quoted = QUOTED.fullmatch(text)
        value = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text
        if not PRINTABLE.fullmatch(value):
            raise IdempotencyKeyInvalid
        return cls(owner, route, value, secret)

    @property
    def id(self) -> str:
        """Return the key as it is stored."""
        return _hash([self.owner, self.route, self.value])

    @property
    def uuid(self) -> UUID:
        """Return an id for what the call creates: the same each time, and unpredictable without the secret.

        Otherwise another owner could take the id first.
        """
        return UUID(bytes=hmac.digest(self.secret, self.id.encode(), hashlib.sha256)[:16], version=5)


@dataclass(frozen=True)
class Answer:
    """The answer to a call, and whether it was given before."""

    body: dict[str, Any]
    replayed: bool


async def attempt(database: Database, do: Callable[[UnitOfWork], Awaitable[T]]) -> T:
    """Do something in one transaction, and retry after a conflict with another one.

    The retry sees what the other transaction has written.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            async with transaction(database) as work:
                return await do(work)
        except IntegrityError:
            continue
        except DBAPIError as error:
            if _number(error) not in TRY_AGAIN:
                raise
    async with transaction(database) as work:
        return await do(work)


class Idempotency:
    """Stores answers for 24 hours."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def once(
        self, key: Key | None, request: object, do: Callable[[UnitOfWork], Awaitable[dict[str, Any]]]
    ) -> Answer:
        """Execute a call, or return the stored answer of its key. Without a key it is always executed.

        `request` is the call's JSON, `do` returns the answer as JSON. `do` may be called more than once, and its
        effects outside the transaction are not undone. Errors are not stored: the call may be sent again.

        Raises:
            IdempotencyKeyReused: the key came with another request.
            StillRunning: another call with this key has not finished.
        """
        if key is None:
            return Answer(await attempt(self.database, do), replayed=False)
        await self._open(key)
        request_hash = _hash(request)

        async def answer(work: UnitOfWork) -> Answer:
            record = await _claim(work, key)
            if record.answer is not None:
                if record.request != request_hash:
                    raise IdempotencyKeyReused
                return Answer(record.answer, replayed=True)
            record.request, record.answer = request_hash, await do(work)
            record.video_id = record.answer.get("videoId")
            return Answer(record.answer, replayed=False)

        return await attempt(self.database, answer)

    async def _open(self, key: Key) -> None:
        """Insert the key's row, so that concurrent calls can wait for its lock.

        They would deadlock if the first call failed and its uncommitted row disappeared.
        """
        with contextlib.suppress(IntegrityError):
            async with transaction(self.database) as work:
                work.session.add(IdempotencyRecord(id=key.id, request="", created_at=now()))


async def _claim(work: UnitOfWork, key: Key) -> IdempotencyRecord:
    """Lock the row of a key until this transaction ends. Raises `StillRunning`."""
    is_old = IdempotencyRecord.created_at < now(-KEPT_SECONDS)
    try:
        found = select(IdempotencyRecord, is_old).where(IdempotencyRecord.id == key.id).with_for_update()
        known = (await work.session.execute(found)).first()
    except DBAPIError as error:
        if _number(error) == LOCK_WAIT:
            raise StillRunning from error
        raise
    if known is None:
        row = IdempotencyRecord(id=key.id, created_at=now())
        work.session.add(row)
        return row
    row = known[0]
    if known[1]:
        row.answer, row.created_at = None, now()
    return row


def _number(error: DBAPIError) -> object:
    return next(iter(error.orig.args), None) if error.orig else None


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
