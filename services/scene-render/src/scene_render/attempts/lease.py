"""The lease of an attempt: one process at a time checks it, and another takes over if that one dies.

`Attempt.next_check_at` says when an attempt is due. Taking the lease sets it a few seconds ahead, and renewing does so
again. So when a process dies, its attempts become due again; and a holder that lost the lease notices, because
`next_check_at` is not the value that it wrote.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CursorResult, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from scene_render.models import Attempt
from shared.persistence.database import Database, is_outage, now

LEASE_SECONDS = 5.0
RENEW_SECONDS = 1.5


@dataclass
class Lease:
    """The lease of one attempt, until `until` on the database's clock."""

    attempt_id: str
    until: datetime

    async def move(self, session: AsyncSession, **values: Any) -> bool:  # noqa: ANN401 - columns
        """Change the attempt if the lease is still held. Returns whether it is."""
        mine = (Attempt.id == self.attempt_id, Attempt.next_check_at == self.until)
        change = update(Attempt).where(*mine).values(**values).execution_options(synchronize_session=False)
        result = await session.execute(change)
        assert isinstance(result, CursorResult)  # noqa: S101 - for the type checker
        return result.rowcount == 1

    @contextlib.asynccontextmanager
    async def kept(self, database: Database) -> AsyncIterator[None]:
        """Renew the lease until the block ends."""
        ended = asyncio.Event()
        keeping = asyncio.create_task(self._keep(database, ended))
        try:
            yield
        finally:
            # A driver may lose a cancellation that arrives together with an answer.
            ended.set()
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    async def _keep(self, database: Database, ended: asyncio.Event) -> None:
        while not ended.is_set():
            await asyncio.sleep(RENEW_SECONDS)
            try:
                async with database.sessions.begin() as session:
                    until = await _lease_end(session)
                    if not await self.move(session, next_check_at=until):
                        return
            except Exception as error:
                if not is_outage(error):
                    raise
            else:
                self.until = until


async def take(session: AsyncSession, provider: str, limit: int) -> Sequence[Lease]:
    """Take the leases of due attempts at this provider, the longest due first."""
    if limit <= 0:
        return []
    due = select(Attempt.id).where(Attempt.next_check_at <= now(), Attempt.provider == provider)
    found = due.order_by(Attempt.next_check_at).limit(limit).with_for_update(skip_locked=True)
    ids = (await session.execute(found)).scalars().all()
    until = await _lease_end(session) if ids else None
    for attempt_id in ids:
        await session.execute(update(Attempt).where(Attempt.id == attempt_id).values(next_check_at=until))
    return [Lease(attempt_id, until) for attempt_id in ids if until is not None]


async def _lease_end(session: AsyncSession) -> datetime:
    clock: datetime = (await session.execute(select(now()))).scalar_one()
    return clock + timedelta(seconds=LEASE_SECONDS)
