"""Whose turn it is: slots, and the scenes that wait for them."""

import contextlib
from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import exists, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from scene_render.internal_messages import SlotOffered
from scene_render.models import ProviderSlot, ProviderState, Render, VideoStanding
from scene_render.providers.base import Provider
from shared.persistence.database import Database, now
from shared.persistence.unit_of_work import transaction

CANDIDATES = 10


async def provide_slots(database: Database, providers: Iterable[Provider]) -> None:
    """Make as many slots as each provider has; take surplus ones away unless they are in use.

    It waits for no lock on what is there: another replica may hold it and be frozen.
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
            with contextlib.suppress(IntegrityError):  # another replica starts at the same moment
                async with database.sessions.begin() as session:
                    await session.execute(insert(ProviderState).values(provider=provider.name, failures=0))
        for number in set(range(provider.concurrency)) - present:
            try:
                async with database.sessions.begin() as session:
                    await session.execute(insert(ProviderSlot).values(provider=provider.name, number=number))
            except IntegrityError:
                continue  # another replica starts at the same moment


async def wake_waiting(database: Database) -> None:
    """Offer a slot of each provider that scenes wait for, be it one that is configured no more."""
    waiting = select(Render.provider, func.min(Render.video_id)).where(Render.state == "waiting")
    async with transaction(database) as work:
        for provider, video_id in (await work.session.execute(waiting.group_by(Render.provider))).all():
            await work.emit(SlotOffered(video_id=UUID(video_id), provider=provider))


async def free_slot_of(session: AsyncSession, provider: str) -> ProviderSlot | None:
    """A free slot of this provider, locked for this transaction; None if all are taken or locked."""
    free = select(ProviderSlot).where(ProviderSlot.provider == provider, ProviderSlot.attempt_id.is_(None))
    return (await session.execute(free.limit(1).with_for_update(skip_locked=True))).scalar_one_or_none()


async def some_slot_is_free(session: AsyncSession, provider: str) -> bool:
    """Whether a slot is free, be it locked by somebody who may yet leave it free."""
    free = select(func.count()).where(ProviderSlot.provider == provider, ProviderSlot.attempt_id.is_(None))
    return (await session.execute(free)).scalar_one() > 0


async def next_render(session: AsyncSession, provider: str) -> Render | None:
    """The scene whose turn it is, locked for this transaction.

    People before batches; then who has the fewest scenes running, by owner and by video; then who came first.
    """
    running = aliased(Render)
    of_owner = (
        select(func.count())
        .where(running.state == "running", running.provider == provider, running.owner == Render.owner)
        .scalar_subquery()
    )
    other = aliased(Render)
    of_video = select(func.count()).where(other.state == "running", other.video_id == Render.video_id).scalar_subquery()
    failed = exists().where(VideoStanding.video_id == Render.video_id, VideoStanding.failed)
    waiting = (
        select(Render.video_id, Render.scene_number)
        .where(
            Render.provider == provider,
            Render.state == "waiting",
            ~failed,
            Render.available_at <= now(),
        )
        .order_by(Render.batch, of_owner, of_video, Render.requested_at, Render.scene_number)
        .limit(CANDIDATES)
    )
    # Looked up without locks, then locked one by one: locking while sorting would lock the whole queue.
    for video_id, scene_number in (await session.execute(waiting)).all():
        one = select(Render).where(
            Render.video_id == video_id, Render.scene_number == scene_number, Render.state == "waiting"
        )
        render = (await session.execute(one.with_for_update(skip_locked=True))).scalar_one_or_none()
        if render is not None:
            return render
    return None


async def free(session: AsyncSession, attempt_id: str) -> None:
    """Free the slot of an attempt: the provider's task has ended."""
    await session.execute(update(ProviderSlot).where(ProviderSlot.attempt_id == attempt_id).values(attempt_id=None))
