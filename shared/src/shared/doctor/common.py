"""The checks of every service: its outbox and its storage."""

from collections.abc import AsyncIterator

from sqlalchemy import func, select

from shared.consistency import Check, Examined, Finding
from shared.persistence.database import now

SENT_WITHIN_SECONDS = 600.0
HANDLED_WITHIN_SECONDS = 2 * 3600.0
"""The embedded mode deletes an outbox row when its message is handled: after all retries, and after composing."""
MANY_ATTEMPTS = 10


async def _outbox(examined: Examined) -> AsyncIterator[Finding]:
    outbox = examined.database.metadata.tables["outbox"]
    seconds = HANDLED_WITHIN_SECONDS if examined.queues is None else SENT_WITHIN_SECONDS
    many = outbox.c.attempts >= MANY_ATTEMPTS
    overdue = select(func.count()).where(outbox.c.available_at < now(-seconds), ~many)
    refused = select(outbox.c.name, func.count()).where(many).group_by(outbox.c.name)
    async with examined.database.reading() as session:
        waiting = (await session.execute(overdue)).scalar_one()
        rejected = (await session.execute(refused)).all()
    if waiting and examined.is_running:
        what = f"outbox messages due for more than {seconds / 60:.0f} minutes"
        yield Finding(what, waiting, "start the service, whose relay sends them; /readyz says what it lacks")
    if rejected:
        what = f"outbox messages that could not be sent in {MANY_ATTEMPTS} attempts or more"
        names, total = [name for name, _ in rejected], sum(count for _, count in rejected)
        yield Finding(what, total, "the log says why (outbox.not_sent); they are sent once that is repaired", names)


async def _storage(examined: Examined) -> AsyncIterator[Finding]:
    if examined.storage is not None and (fault := await examined.storage.fault()):
        yield Finding("storage that cannot be used", 1, f"correct STORAGE_URL or its credentials ({fault})")


OF_EVERY_SERVICE = (Check("the outbox", _outbox), Check("the storage", _storage))
