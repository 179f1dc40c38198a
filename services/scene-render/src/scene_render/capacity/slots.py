"""Concurrency slots: a row for each task that a provider may run for us at the same time, over all replicas."""

import contextlib
from collections.abc import Iterable

from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from scene_render.models import ProviderSlot, ProviderState
from scene_render.providers.base import Provider
from shared.persistence.database import Database


async def provide_slots(database: Database, providers: Iterable[Provider]) -> None:
    """Create the slots of each provider, and remove surplus free ones.

    It waits for no locks on existing rows: a frozen replica may hold them.
    """
    for provider in providers:
        async with database.sessions.begin() as session:
            state = select(ProviderState.provider).where(ProviderState.provider == provider.name)
            known = (await session.execute(state)).first() is not None
            numbers = select(ProviderSlot.number).where(ProviderSlot.provider == provider.name)
            present = set((await session.execute(numbers)).scalars())
            surplus = select(ProviderSlot).where(
                ProviderSlot.provider == provider.name,
                ProviderSlot.number >= provider.concurrency,
                ProviderSlot.attempt_id.is_(None),
            )
            for slot in (await session.execute(surplus.with_for_update(skip_locked=True))).scalars():
                await session.delete(slot)
        if not known:
            with contextlib.suppress(IntegrityError):  # created by another replica
                async with database.sessions.begin() as session:
                    await session.execute(insert(ProviderState).values(provider=provider.name, failures=0))
        for number in set(range(provider.concurrency)) - present:
            try:
                async with database.sessions.begin() as session:
                    await session.execute(insert(ProviderSlot).values(provider=provider.name, number=number))
            except IntegrityError:
                continue  # created by another replica


async def lock_free_slot(session: AsyncSession, provider: str) -> ProviderSlot | None:
    """Lock a free slot of this provider, skipping locked ones."""
    free = select(ProviderSlot).where(ProviderSlot.provider == provider, ProviderSlot.attempt_id.is_(None))
    return (await session.execute(free.limit(1).with_for_update(skip_locked=True))).scalar_one_or_none()


async def has_free_slot(session: AsyncSession, provider: str) -> bool:
    """Return whether a slot is free, even if another transaction has locked it."""
    free = select(func.count()).where(ProviderSlot.provider == provider, ProviderSlot.attempt_id.is_(None))
    return (await session.execute(free)).scalar_one() > 0


async def free(session: AsyncSession, attempt_id: str) -> None:
    """Free the slot of an attempt."""
    await session.execute(update(ProviderSlot).where(ProviderSlot.attempt_id == attempt_id).values(attempt_id=None))
