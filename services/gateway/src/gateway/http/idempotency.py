"""Calls that can be sent again without harm: one that carries a key is done once, and answered alike each time.

The answer is saved in the transaction of what was done, so that there is never one without the other.
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

from gateway.models import IdempotencyRecord
from shared.persistence.database import Database, now
from shared.persistence.unit_of_work import UnitOfWork, transaction

T = TypeVar("T")

KEPT_SECONDS = 24 * 3600
ATTEMPTS = 5
LOCK_WAIT, DEADLOCKS = 1205, (1213, 1305)
TRY_AGAIN = (LOCK_WAIT, *DEADLOCKS)
"""MySQL's numbers for: waited too long for somebody's lock, and waited for somebody who waits for us.

Within a savepoint, that is undone with the rest, it says of the second that there is none of that name.
"""

QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
PRINTABLE = re.compile(r"[\x20-\x7e]{1,255}")


class KeyInvalid(Exception):
    """The idempotency key of a call cannot be used."""

    def __init__(self) -> None:
        super().__init__("An idempotency key has 1 to 255 printable ASCII characters, bare or in double quotes.")


class KeyReused(Exception):
    """The idempotency key was used for another request."""

    def __init__(self) -> None:
        super().__init__("This idempotency key was used for another request. Use a new key for a new request.")


class StillRunning(Exception):
    """The first call with this key is not done yet."""

    def __init__(self) -> None:
        super().__init__("The first call with this idempotency key is still being done. Ask again in a moment.")


@dataclass(frozen=True)
class Key:
    """What makes two calls one: who calls, what they call, and the key they chose. `secret`: see `uuid`."""

    owner: str
    route: str
    value: str
    secret: bytes = field(default=b"", repr=False)

    @classmethod
    def read(cls, owner: str, route: str, text: str | None, secret: bytes = b"") -> "Key | None":
        """The key of a call from its header, bare or quoted as in the IETF's draft. Raises `KeyInvalid`."""
        if text is None:
            return None
        text = text.strip()
        quoted = QUOTED.fullmatch(text)
        value = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text
        if not PRINTABLE.fullmatch(value):
            raise KeyInvalid
        return cls(owner, route, value, secret)

    @property
    def id(self) -> str:
        """The key as it is stored."""
        return _hash([self.owner, self.route, self.value])

    @property
    def uuid(self) -> UUID:
        """An id for what a call with this key makes: the same each time, and foreseen by nobody without the secret.

        Another owner could otherwise take the id before.
        """
        return UUID(bytes=hmac.digest(self.secret, self.id.encode(), hashlib.sha256)[:16], version=5)


@dataclass(frozen=True)
class Answer:
    """What a call is answered, and whether it was answered so before."""

    body: dict[str, Any]
    replayed: bool


async def attempt(database: Database, do: Callable[[UnitOfWork], Awaitable[T]]) -> T:
    """Do something in one transaction; anew where somebody else was faster, or stood in the way.

    Whoever is too late finds at the next attempt what the faster one has made.
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
    """Remembers answers for 24 hours."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def once(
        self, key: Key | None, request: object, do: Callable[[UnitOfWork], Awaitable[dict[str, Any]]]
    ) -> Answer:
        """Answer a call: do it, or where its key was answered before, repeat that. Without a key it is just done.

        `request` is what was asked, as JSON. `do` returns the answer, as JSON; it may be called more than once, and
        what it does outside its transaction is not undone. What it raises is not kept: the call may be sent again.

        Raises:
            KeyReused: the key came with another request.
            StillRunning: another call with this key takes its time.
        """
        if key is None:
            return Answer(await attempt(self.database, do), replayed=False)
        await self._open(key)
        asked = _hash(request)

        async def answer(work: UnitOfWork) -> Answer:
            kept = await _claim(work, key)
            if kept.answer is not None:
                if kept.request != asked:
                    raise KeyReused
                return Answer(kept.answer, replayed=True)
            kept.request, kept.answer = asked, await do(work)
            kept.video_id = kept.answer.get("videoId")
            return Answer(kept.answer, replayed=False)

        return await attempt(self.database, answer)

    async def _open(self, key: Key) -> None:
        """Have a row for this key, so that those who come at once can wait for its lock.

        They would deadlock if the first one's row went away again because it was refused.
        """
        with contextlib.suppress(IntegrityError):
            async with transaction(self.database) as work:
                work.session.add(IdempotencyRecord(id=key.id, request="", created_at=now()))


async def _claim(work: UnitOfWork, key: Key) -> IdempotencyRecord:
    """The row of a key, which is ours alone until this transaction ends. Raises `StillRunning`."""
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
