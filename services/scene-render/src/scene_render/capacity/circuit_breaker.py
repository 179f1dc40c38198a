"""A circuit breaker for each provider: no scene is sent to a provider that accepts none.

A wrong key, an empty account and a rate limit open the circuit at once, an outage after a few failures in a row. When
the pause is over, one scene probes the provider (half-open): if it is accepted, the circuit closes; otherwise the next
pause is longer.
"""

from collections.abc import Mapping

from sqlalchemy import CursorResult, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from scene_render.models import ProviderState
from scene_render.providers.base import SubmissionDeferred
from shared.persistence.database import now

OUTAGES_UNTIL_OPEN = 3
PAUSES: Mapping[str, tuple[float, float]] = {
    "outage": (5.0, 120.0),
    "rate_limit": (10.0, 600.0),
    "auth": (60.0, 600.0),
    "credits": (60.0, 600.0),
}
"""The first and the longest pause in seconds. Each pause is twice as long as the previous one."""


def pause(kind: str, failures: int, retry_after: float | None) -> float:
    """Return the pause in seconds after consecutive failures: `retry_after`, else an exponential backoff."""
    if retry_after is not None:
        return retry_after
    first, longest = PAUSES[kind]
    before = failures - (OUTAGES_UNTIL_OPEN if kind == "outage" else 1)
    return float(min(first * 2 ** max(before, 0), longest))


def opens(kind: str, failures: int) -> bool:
    """Return whether this number of consecutive failures opens the circuit."""
    return kind != "outage" or failures >= OUTAGES_UNTIL_OPEN


async def open_circuits(session: AsyncSession) -> dict[str, ProviderState]:
    """Return the providers with an open circuit, in the order in which they are probed."""
    found = select(ProviderState).where(ProviderState.open_until > now()).order_by(ProviderState.open_until)
    return {row.provider: row for row in (await session.execute(found)).scalars()}


async def tripped_circuits(session: AsyncSession) -> dict[str, ProviderState]:
    """Return the providers with an open or half-open circuit."""
    rows = await session.execute(select(ProviderState).where(ProviderState.open_until.is_not(None)))
    return {row.provider: row for row in rows.scalars()}


async def begin_probe(session: AsyncSession, provider: str, seconds: float) -> bool:
    """Reserve the probe of a provider for the caller's scene, for this many seconds.

    Returns False if another scene probes it, or if its pause is not over.
    """
    mine = update(ProviderState).where(ProviderState.provider == provider, ProviderState.open_until <= now())
    result = await session.execute(mine.values(open_until=now(seconds)))
    assert isinstance(result, CursorResult)  # noqa: S101 - for the type checker
    return result.rowcount == 1


async def is_tripped(session: AsyncSession, provider: str) -> bool:
    """Return whether the provider's circuit is open or half-open."""
    return (await session.get_one(ProviderState, provider)).open_until is not None


async def close(session: AsyncSession, provider: str) -> bool:
    """Close the circuit, because the provider accepted a task. Returns whether it was open or half-open."""
    state = await session.get_one(ProviderState, provider)
    if not state.failures and state.open_until is None:
        return False
    await session.refresh(state, with_for_update=True)
    was_tripped = state.open_until is not None
    state.failures, state.kind, state.reason = 0, None, None
    state.failing_since = state.open_until = None
    return was_tripped


async def note_failure(session: AsyncSession, provider: str, delay: SubmissionDeferred, scale: float) -> float | None:
    """Record a deferred submission. Returns for how many seconds the circuit is open; None: it is still closed."""
    state = await session.get_one(ProviderState, provider)
    await session.refresh(state, with_for_update=True)
    if not state.failures:
        state.failing_since = now()
    state.failures += 1
    state.kind, state.reason = delay.kind, delay.reason
    if not opens(delay.kind, state.failures):
        await session.flush()
        return None
    seconds = pause(delay.kind, state.failures, delay.seconds) * scale
    state.open_until = now(seconds)
    await session.flush()
    await session.refresh(state)
    return seconds
