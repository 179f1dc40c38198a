"""Reservations: what videos may cost is taken from the budgets before any money is spent. Amounts are in USD."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.access.keys import budget_of
from gateway.billing.estimates import Estimates
from gateway.models import budgets
from shared.contracts.events import StoryboardRequested, VideoRequested
from shared.contracts.provider_selection import first_provider
from shared.contracts.story import Quality
from shared.money import budget
from shared.money.budget import UNCAPPED, Budget, Caps
from shared.money.prices import FREE
from shared.persistence.database import Database
from shared.persistence.unit_of_work import UnitOfWork
from shared.settings import RenderSettings


@dataclass(frozen=True)
class Quote:
    """What a request would cost, in USD, and how much of each cap is used."""

    provider: str
    quality: Quality
    estimate: Decimal
    tiers: Mapping[Quality, Decimal]
    """The estimate of the same request in each tier."""
    caps: Caps
    used_by_owner_today: Decimal
    used_today: Decimal
    simulated: bool


@dataclass(frozen=True)
class Reservation:
    """What the budgets of `day` hold for a video, in USD. `simulated`: the money is not real."""

    video_id: str
    owner: str
    day: str
    simulated: bool
    usd: Decimal

    def budgets(self, caps: Caps = UNCAPPED) -> tuple[Budget, ...]:
        """Return the budgets it was taken from."""
        return caps.budgets(self.video_id, self.owner, self.day, simulated=self.simulated)


class Billing:
    """Reserves the estimate of a video when it is accepted, and corrects it to what the video really costs."""

    def __init__(self, database: Database, settings: RenderSettings, storyboard_usd: Decimal = FREE) -> None:
        """Set caps and prices. `storyboard_usd`: what a language model is expected to charge for one storyboard."""
        self.database = database
        self.caps = settings.caps
        self.simulated = settings.providers_simulated
        self.estimates = Estimates(settings, storyboard_usd)

    async def reserve(
        self, work: UnitOfWork, video_id: str, owner: str, usd: Decimal, *, within_caps: bool
    ) -> Reservation:
        """Reserve the estimate of a new video in today's budgets.

        Raises:
            BudgetExceeded: it does not fit, and `within_caps` is set.
        """
        caps = await self._caps_of(work.session, owner) if within_caps else UNCAPPED
        reservation = await self._take(work, video_id, owner, usd, caps)
        if usd:
            await budget.check(work.session, budgets, reservation.budgets(caps), usd)
        return reservation

    async def reserve_again(self, work: UnitOfWork, held: Reservation, usd: Decimal) -> Reservation:
        """Release a reservation and reserve another amount for the same video in today's budgets.

        Raises:
            BudgetExceeded: it does not fit.
        """
        work.before_commit.append(partial(budget.adjust, work.session, budgets, held.budgets(), -held.usd))
        caps = await self._caps_of(work.session, held.owner)
        return await self._take(work, held.video_id, held.owner, usd, caps)

    async def correct(self, work: UnitOfWork, held: Reservation, usd: Decimal) -> None:
        """Change the amount of a reservation, whatever the caps are: the money is spent already, or released."""
        await budget.adjust(work.session, budgets, held.budgets(), usd - held.usd)

    async def _take(self, work: UnitOfWork, video_id: str, owner: str, usd: Decimal, caps: Caps) -> Reservation:
        """Take an amount from the budgets at the end of the transaction, to hold the lock on the day's row briefly."""
        day = await budget.today(work.session)
        reservation = Reservation(video_id, owner, day, self.simulated, usd)
        if usd:
            work.before_commit.append(partial(budget.reserve, work.session, budgets, reservation.budgets(caps), usd))
        return reservation

    async def _caps_of(self, session: AsyncSession, owner: str) -> Caps:
        """Return the caps for an owner, whose keys may have lower ones."""
        own = await budget_of(session, owner)
        if own is None or (self.caps.owner_day is not None and self.caps.owner_day <= own):
            return self.caps
        return replace(self.caps, owner_day=own)

    async def check_storyboard(self, session: AsyncSession, request: StoryboardRequested) -> None:
        """Check that the budgets have room for one storyboard. The service that asks the model reserves it.

        Raises:
            BudgetExceeded: they do not.
        """
        usd = self.estimates.storyboard_usd
        if usd:
            caps = replace(await self._caps_of(session, request.owner), video=None)
            of_day = caps.budgets(request.video_id, request.owner, await budget.today(session))
            await budget.check(session, budgets, of_day, usd)

    async def quote(self, request: VideoRequested) -> Quote:
        """Return what a request would cost."""
        async with self.database.reading() as session:
            day = await budget.today(session)
            caps = await self._caps_of(session, request.owner)
            _, owner, all_ = caps.budgets(request.video_id, request.owner, day, simulated=self.simulated)
            return Quote(
                provider=first_provider(request.providers, self.estimates.providers),
                quality=request.quality,
                estimate=self.estimates.of_request(request),
                tiers=self.estimates.of_tiers(request),
                caps=caps,
                used_by_owner_today=await budget.used(session, budgets, owner),
                used_today=await budget.used(session, budgets, all_),
                simulated=self.simulated,
            )
