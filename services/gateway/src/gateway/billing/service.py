"""What videos are going to cost, what they have cost, and whether there is money for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import partial
from uuid import UUID

from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.access.keys import budget_of
from gateway.billing.charge_rules import check_charge
from gateway.http.errors import ApiError
from gateway.models import Charge, Video, budgets
from gateway.videos.mapping import view_of
from gateway.videos.status import VideoStatus
from shared.contracts.events import ChargeReviewed, SceneCharged, StoryboardRequested, StoryCharged, VideoRequested
from shared.contracts.provider_selection import first_provider, is_available
from shared.contracts.story import Scene
from shared.money import budget
from shared.money.budget import Budget, Caps
from shared.money.prices import FREE, UNIT, Tariff, estimate_request, estimate_story
from shared.persistence.database import Database, now
from shared.persistence.unit_of_work import UnitOfWork, transaction
from shared.settings import RenderSettings

WRITER = "llm"
"""The provider under which a language model's money is booked."""
UNCAPPED = Caps(None, None, None)
TOLD = ("owner", "provider", "day", "state", "held_usd", "booked_usd", "revision")
"""What a charge takes over from its event as it is."""


class ChargeNotFound(ApiError):
    """There is no such charge."""

    http_status, problem_type, title = 404, "charge-not-found", "Charge not found"

    def __init__(self, attempt_id: UUID) -> None:
        super().__init__(f"There is no charge of an attempt {attempt_id}.")
        self.attempt_id = attempt_id


class ChargeNotUnknown(ApiError):
    """What became of the attempt is known; there is nothing to settle."""

    http_status, problem_type, title = 409, "nothing-to-settle", "Nothing to settle"

    def __init__(self, attempt_id: UUID, state: str) -> None:
        super().__init__(f"The charge of attempt {attempt_id} is {state}; only unknown ones can be settled.")
        self.attempt_id = attempt_id
        self.state = state


@dataclass(frozen=True)
class Quote:
    """What a request is going to cost, in USD, and how much of each cap is used."""

    provider: str
    estimate: Decimal
    caps: Caps
    used_by_owner_today: Decimal
    used_today: Decimal
    simulated: bool


@dataclass(frozen=True)
class Spent:
    """What one provider took for one owner on one day, in USD. `unknown` is a part of `held`."""

    day: str
    owner: str
    provider: str
    attempts: int
    held: Decimal
    unknown: Decimal
    booked: Decimal
    simulated: bool = False


class Money:
    """Estimates, promises and charges. A promise is what a video may cost, taken from the budgets when it is accepted.

    When the video has ended the promise is what it really took, and what is still held for it.
    """

    def __init__(self, database: Database, settings: RenderSettings, storyboard_usd: Decimal = FREE) -> None:
        """`storyboard_usd`: what a language model is expected to take for a storyboard."""
        self.database = database
        self.storyboard_usd = storyboard_usd
        self.caps = settings.caps
        self.providers: tuple[str, ...] = settings.providers
        self.simulated = settings.providers_simulated
        self.tariffs: Mapping[str, Tariff | None] = {name: settings.tariff(name) for name in settings.providers}

    # --- promises

    async def promise(self, work: UnitOfWork, row: Video, wish: VideoRequested, *, within_caps: bool) -> None:
        """Take what a new video is going to cost from the budgets.

        Raises:
            BudgetExceeded: it does not fit, and `within_caps` was asked for.
        """
        row.estimated_cost_usd = self.estimate_wish(wish)
        row.promised_usd = FREE
        caps = await self._caps_of(work.session, row.owner) if within_caps else UNCAPPED
        of_video = await self._take(work, row, caps)
        if row.promised_usd:
            await budget.check(work.session, budgets, of_video, row.promised_usd)

    async def promise_anew(self, work: UnitOfWork, row: Video, scenes: Sequence[Scene]) -> None:
        """Take what an approved storyboard is going to cost from today's budgets, instead of what was promised before.

        Raises:
            BudgetExceeded: it does not fit.
        """
        before = UNCAPPED.budgets(row.video_id, row.owner, row.budget_day, simulated=row.simulated)
        work.before_commit.append(partial(budget.adjust, work.session, budgets, before, -row.promised_usd))
        row.estimated_cost_usd = await self.estimate_written(work.session, row, scenes)
        await self._take(work, row, await self._caps_of(work.session, row.owner))

    async def _take(self, work: UnitOfWork, row: Video, caps: Caps) -> tuple[Budget, ...]:
        """Take the estimate from the budgets when all else is done: nobody waits meanwhile for the row of the day."""
        row.budget_day = await budget.today(work.session)
        row.simulated = self.simulated
        of_video = caps.budgets(row.video_id, row.owner, row.budget_day, simulated=row.simulated)
        row.promised_usd = row.estimated_cost_usd
        if row.promised_usd:
            work.before_commit.append(partial(budget.reserve, work.session, budgets, of_video, row.promised_usd))
        return of_video

    async def _caps_of(self, session: AsyncSession, owner: str) -> Caps:
        """The caps for an owner, whose keys may have narrower ones."""
        own = await budget_of(session, owner)
        if own is None or (self.caps.owner_day is not None and self.caps.owner_day <= own):
            return self.caps
        return replace(self.caps, owner_day=own)

    def estimate(self, scenes: Sequence[Scene], wished: Sequence[str] = ()) -> Decimal:
        """What a video of these scenes is going to cost, rendered by who was wished for."""
        return estimate_story(self._tariff(wished), scenes)

    def estimate_wish(self, wish: VideoRequested) -> Decimal:
        """What a request is going to cost, as far as can be told."""
        if wish.storyboard is not None:
            return self.estimate(wish.storyboard.scenes, wish.providers)
        rendering = estimate_request(self._tariff(wish.providers), wish.duration, wish.scene_count)
        return rendering + self.storyboard_usd

    async def estimate_written(self, session: AsyncSession, row: Video, scenes: Sequence[Scene]) -> Decimal:
        """What a video of these scenes is going to cost, with what their storyboard has cost already."""
        written = select(func.sum(Charge.booked_usd)).where(Charge.video_id == row.video_id, Charge.provider == WRITER)
        return self.estimate(scenes, row.providers or ()) + _usd(await session.scalar(written))

    async def check_storyboard(self, session: AsyncSession, wish: StoryboardRequested) -> None:
        """Look whether there is money for a storyboard alone. Who asks the model reserves it, within the same caps.

        Raises:
            BudgetExceeded: there is none.
        """
        if self.storyboard_usd:
            caps = replace(await self._caps_of(session, wish.owner), video=None)
            of_day = caps.budgets(wish.video_id, wish.owner, await budget.today(session))
            await budget.check(session, budgets, of_day, self.storyboard_usd)

    def _tariff(self, wished: Sequence[str]) -> Tariff | None:
        """Return the tariff of the provider that scenes are offered to first; None: it is free."""
        return self.tariffs.get(first_provider(wished, self.providers))

    async def correct(self, work: UnitOfWork, row: Video) -> None:
        """Keep the promise of a video true to what has become of it."""
        spent = row.cost_usd + row.held_usd
        due = spent if VideoStatus.of(row.status).is_terminal else max(row.estimated_cost_usd, spent)
        difference = due - row.promised_usd
        if difference and row.budget_day:
            of_video = UNCAPPED.budgets(row.video_id, row.owner, row.budget_day, simulated=row.simulated)
            await budget.adjust(work.session, budgets, of_video, difference)
            row.promised_usd = due

    async def quote(self, wish: VideoRequested) -> Quote:
        """What a request would cost."""
        async with self.database.reading() as session:
            day = await budget.today(session)
            caps = await self._caps_of(session, wish.owner)
            _, owner, all_ = caps.budgets(wish.video_id, wish.owner, day, simulated=self.simulated)
            return Quote(
                provider=first_provider(wish.providers, self.providers),
                estimate=self.estimate_wish(wish),
                caps=caps,
                used_by_owner_today=await budget.used(session, budgets, owner),
                used_today=await budget.used(session, budgets, all_),
                simulated=self.simulated,
            )

    # --- charges

    async def record(self, work: UnitOfWork, row: Video, event: SceneCharged | StoryCharged) -> None:
        """Save what an attempt holds or took, and add it up for its video.

        Raises:
            ChargeImplausible: it does not fit the video.
        """
        if row.request_hash is not None:
            check_charge(event, row.owner, self._most_expected(row, event.provider))
        more = await self._save(work, event)
        sums = select(func.sum(Charge.booked_usd), func.sum(Charge.held_usd)).where(Charge.video_id == row.video_id)
        booked, held = (await work.session.execute(sums)).one()
        row.cost_usd, row.held_usd = _usd(booked), _usd(held)
        if isinstance(event, StoryCharged) and row.storyboard is not None:
            row.estimated_cost_usd += more

    async def record_alone(self, work: UnitOfWork, event: StoryCharged) -> None:
        """Save what a storyboard that was asked for alone took, and take it from the budgets of its day."""
        more = await self._save(work, event)
        of_day = UNCAPPED.budgets(event.video_id, event.owner, event.day)
        work.before_commit.append(partial(budget.adjust, work.session, budgets, of_day, more))

    async def _save(self, work: UnitOfWork, event: SceneCharged | StoryCharged) -> Decimal:
        """Save a charge; returns by how much it is more than before."""
        charge = await work.session.get(Charge, str(event.attempt_id), with_for_update=True)
        if charge is not None and charge.revision >= event.revision:
            return FREE
        before = charge.held_usd + charge.booked_usd if charge is not None else FREE
        if charge is None:
            charge = Charge(attempt_id=str(event.attempt_id), video_id=str(event.video_id))
            work.session.add(charge)
        for name in TOLD:
            setattr(charge, name, getattr(event, name))
        charge.scene_number = event.scene_number if isinstance(event, SceneCharged) else 0
        charge.simulated = isinstance(event, SceneCharged) and event.simulated
        charge.task_id = event.task_id or charge.task_id
        charge.reason = event.reason
        charge.updated_at = now()
        await work.session.flush()
        return event.held_usd + event.booked_usd - _usd(before)

    def _most_expected(self, row: Video, provider: str) -> Decimal | None:
        """What a video may cost, rendered by the dearest provider; None: nobody knows, and there is no cap."""
        if not is_available(provider, self.providers):
            return self.caps.video  # who renders reserves within the same cap
        scenes = view_of(row).scenes
        dearest = (
            estimate_story(tariff, scenes)
            if scenes
            else estimate_request(tariff, float(row.duration or 0), row.scene_count)
            for tariff in self.tariffs.values()
        )
        return max(row.promised_usd, row.estimated_cost_usd, *dearest)

    async def spend(
        self, first: date, last: date, owner: str | None, provider: str | None, *, visible_owner: str | None
    ) -> list[Spent]:
        """Return what was spent between two days, by day, owner and provider; `visible_owner`: only theirs."""
        which = [Charge.day >= first.isoformat(), Charge.day <= last.isoformat()]
        which += [Charge.owner == name for name in (owner, visible_owner) if name is not None]
        which += [Charge.provider == provider] if provider else []
        unknown = func.sum(case((Charge.state == "unknown", Charge.held_usd), else_=0))
        keys = (Charge.day, Charge.owner, Charge.provider, Charge.simulated)
        sums = (func.count().label("attempts"), func.sum(Charge.held_usd), unknown, func.sum(Charge.booked_usd))
        async with self.database.reading() as session:
            found = await session.execute(select(*keys, *sums).where(*which).group_by(*keys).order_by(*keys))
            return [
                Spent(day, who, name, int(attempts), _usd(held), _usd(lost), _usd(booked), simulated)
                for day, who, name, simulated, attempts, held, lost, booked in found
            ]

    async def charges(
        self, state: str | None, video_id: UUID | None, limit: int, *, owner: str | None
    ) -> Sequence[Charge]:
        """Charges, the latest first; `owner`: only theirs."""
        which = [Charge.state == state] if state else []
        which += [Charge.video_id == str(video_id)] if video_id else []
        which += [Charge.owner == owner] if owner is not None else []
        async with self.database.reading() as session:
            latest = select(Charge).where(*which).order_by(Charge.updated_at.desc(), Charge.attempt_id).limit(limit)
            return (await session.execute(latest)).scalars().all()

    async def review(
        self, attempt_id: UUID, *, paid: bool, task_id: str | None, cost: Decimal | None, again: bool, by: str
    ) -> Charge:
        """A person says what became of an unknown attempt; who renders settles it.

        Raises:
            ChargeNotFound: there is none of this attempt.
            ChargeNotUnknown: it is known what became of it.
        """
        async with transaction(self.database) as work:
            charge = await work.session.get(Charge, str(attempt_id), with_for_update=True)
            if charge is None:
                raise ChargeNotFound(attempt_id)
            if charge.state != "unknown":
                raise ChargeNotUnknown(attempt_id, charge.state)
            reviewed = ChargeReviewed(
                video_id=UUID(charge.video_id),
                attempt_id=attempt_id,
                paid=paid,
                task_id=task_id,
                cost_usd=cost,
                again=again,
                by=by,
            )
            await work.emit(reviewed)
            return charge


def _usd(amount: Decimal | float | None) -> Decimal:
    return FREE if amount is None else Decimal(str(amount)).quantize(UNIT)
