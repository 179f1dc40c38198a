"""Assigns scenes to providers: at the request, and again when a provider stops accepting tasks."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from scene_render.capacity import circuit_breaker, routing
from scene_render.models import ProviderState, Render
from scene_render.providers.base import Provider
from scene_render.scenes import video_standing
from scene_render.scenes.order import providers_of
from shared.contracts.events import SceneDelayed
from shared.contracts.provider_selection import is_available, providers_for
from shared.persistence.database import now
from shared.persistence.unit_of_work import UnitOfWork


@dataclass(frozen=True)
class ProviderSelection:
    """Assigns scenes to `providers`. `order`: those that take new scenes, the preferred one first.

    `scene_wait_seconds`: how long a scene waits while no allowed provider accepts tasks.
    """

    providers: Mapping[str, Provider]
    order: Sequence[str]
    scene_wait_seconds: float = 3600.0

    def takes_new(self, name: str) -> bool:
        """Return whether new scenes may go to this provider."""
        return name in self.providers and is_available(name, self.order)

    async def route(self, work: UnitOfWork, render: Render) -> bool:
        """Assign the scene to the next provider. Returns False if none is left."""
        names = providers_for(providers_of(render), self.order)
        open_circuits = await circuit_breaker.open_circuits(work.session)
        name = routing.choose(names, render.tried, tuple(open_circuits))
        if name is None:
            return False
        if name != render.provider:
            render.provider, render.failures = name, 0
        if name in open_circuits:
            await self._delay(work, render, open_circuits[name])
        return True

    async def move_waiting(self, work: UnitOfWork, provider: str) -> None:
        """Move waiting scenes to the next provider that accepts tasks, or publish why they wait."""
        tripped = await circuit_breaker.tripped_circuits(work.session)
        waiting = select(Render).where(Render.state == "waiting", Render.provider == provider).with_for_update()
        for render in (await work.session.execute(waiting)).scalars():
            names = providers_for(providers_of(render), self.order)
            others = [name for name in names if name != provider]
            target = routing.choose(others, [*render.tried, *tripped], ())
            if target is None and provider not in names:
                target = routing.choose(others, render.tried, ())
            if target is not None:
                render.provider, render.failures = target, 0
                if render.available_at is not None:
                    render.available_at = now()
            elif provider in tripped:
                await self._delay(work, render, tripped[provider])
            elif not self.takes_new(provider) and render.available_at is not None:
                reason = f"{provider} takes no new scenes, and every other provider was tried."
                await video_standing.give_up(work, render, "no_provider", reason)

    async def seconds_starved(self, session: AsyncSession, render: Render) -> float:
        """Return for how many seconds no allowed provider has accepted tasks; 0 if one does."""
        names = providers_for(providers_of(render), self.order)
        tripped = await circuit_breaker.tripped_circuits(session)
        left = [name for name in names if name not in render.tried]
        if render.delayed_since is None or any(name not in tripped for name in left):
            return 0.0
        failing = [since for name in left if (since := tripped[name].failing_since) is not None]
        clock = (await session.execute(select(now()))).scalar_one()
        return (clock - max([render.delayed_since, *failing])).total_seconds()

    async def _delay(self, work: UnitOfWork, render: Render, state: ProviderState) -> None:
        """Publish why a scene waits, once for each provider."""
        if render.delayed_by == render.provider:
            return
        if render.delayed_by is None:
            render.delayed_since, render.give_up_at = now(), now(self.scene_wait_seconds)
        render.delayed_by = render.provider
        if render.is_reference:
            return
        delayed = SceneDelayed(
            video_id=uuid.UUID(render.video_id),
            scene_number=render.scene_number,
            provider=render.provider,
            kind=state.kind or "",
            reason=state.reason or "",
        )
        await work.emit(delayed)
