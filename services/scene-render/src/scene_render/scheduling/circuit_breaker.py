"""A provider that takes nothing is left alone for a while: scenes wait as they are instead of failing one by one.

A wrong key, an empty account and a rate limit park it at once, an outage after a few failures in a row. When the pause
is over one scene tries it; if that goes well all go on, else the next pause is longer.
"""

from collections.abc import Mapping

from sqlalchemy import CursorResult, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from scene_render.models import ProviderState
from scene_render.providers.base import SubmissionDeferred
from shared.persistence.database import now

OUTAGES_UNTIL_PARKED = 3
PAUSES: Mapping[str, tuple[float, float]] = {
    "outage": (5.0, 120.0),
    "rate_limit": (10.0, 600.0),
    "auth": (60.0, 600.0),
    "credits": (60.0, 600.0),
}
"""The first and the longest pause in seconds; each is twice the one before."""


def pause(kind: str, failures: int, told: float | None) -> float:
    """How long to leave a provider alone after so many failures in a row: as it says, else longer and longer."""
    if told is not None:
        return told
    first, longest = PAUSES[kind]
    before = failures - (OUTAGES_UNTIL_PARKED if kind == "outage" else 1)
    return float(min(first * 2 ** max(before, 0), longest))


def parks(kind: str, failures: int) -> bool:
    """Whether the provider is parked after so many failures in a row."""
    return kind != "outage" or failures >= OUTAGES_UNTIL_PARKED


async def parked(session: AsyncSession) -> dict[str, ProviderState]:
    """The providers that take nothing at the moment, in the order in which they will be tried again."""
    resting = select(ProviderState).where(ProviderState.parked_until > now()).order_by(ProviderState.parked_until)
    return {row.provider: row for row in (await session.execute(resting)).scalars()}


async def unproven(session: AsyncSession) -> dict[str, ProviderState]:
    """The providers that were parked and have taken nothing since."""
    rows = await session.execute(select(ProviderState).where(ProviderState.parked_until.is_not(None)))
    return {row.provider: row for row in rows.scalars()}


async def begin_trial(session: AsyncSession, provider: str, seconds: float) -> bool:
    """After a pause: let the caller's scene try the provider, and keep all others away for so long.

    Returns False if somebody else is trying, or it is not time yet.
    """
    mine = update(ProviderState).where(ProviderState.provider == provider, ProviderState.parked_until <= now())
    result = await session.execute(mine.values(parked_until=now(seconds)))
    assert isinstance(result, CursorResult)  # noqa: S101 - for the type checker
    return result.rowcount == 1


async def was_parked(session: AsyncSession, provider: str) -> bool:
    """Whether the provider was parked, and has taken nothing since."""
    return (await session.get_one(ProviderState, provider)).parked_until is not None


async def recover(session: AsyncSession, provider: str) -> bool:
    """The provider has taken a task: forget its failures. Returns whether it had been parked."""
    state = await session.get_one(ProviderState, provider)
    if not state.failures and state.parked_until is None:
        return False
    await session.refresh(state, with_for_update=True)
    parked_before = state.parked_until is not None
    state.failures, state.kind, state.reason = 0, None, None
    state.failing_since = state.parked_until = None
    return parked_before


async def note_failure(session: AsyncSession, provider: str, delay: SubmissionDeferred, scale: float) -> float | None:
    """The provider has put a submission off. Returns for how many seconds it is parked; None: not yet."""
    state = await session.get_one(ProviderState, provider)
    await session.refresh(state, with_for_update=True)
    if not state.failures:
        state.failing_since = now()
    state.failures += 1
    state.kind, state.reason = delay.kind, delay.reason
    if not parks(delay.kind, state.failures):
        await session.flush()
        return None
    seconds = pause(delay.kind, state.failures, delay.seconds) * scale
    state.parked_until = now(seconds)
    await session.flush()
    await session.refresh(state)
    return seconds
