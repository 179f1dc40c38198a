"""The ledger of charges: what each paid attempt holds or cost, what was spent, and how unknown charges are settled."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import partial
from uuid import UUID

from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.http.errors import ApiError
from gateway.models import Charge, budgets
from shared.contracts.events import ChargeReviewed, SceneCharged, StoryCharged
from shared.money import budget
from shared.money.budget import UNCAPPED
from shared.money.prices import FREE, UNIT
from shared.persistence.database import Database, now
from shared.persistence.unit_of_work import UnitOfWork, transaction

LANGUAGE_MODEL = "llm"
"""The provider under which a language model's charges are booked."""
EVENT_FIELDS = ("owner", "provider", "day", "state", "held_usd", "booked_usd", "revision")
"""What a charge copies from its event."""


class ChargeNotFound(ApiError):
    """No charge has this attempt id."""

    http_status, problem_type, title = 404, "charge-not-found", "Charge not found"

    def __init__(self, attempt_id: UUID) -> None:
        super().__init__(f"There is no charge for attempt {attempt_id}.")
        self.attempt_id = attempt_id


class ChargeNotUnknown(ApiError):
    """The outcome of the attempt is known, so there is nothing to settle."""

    http_status, problem_type, title = 409, "nothing-to-settle", "Nothing to settle"

    def __init__(self, attempt_id: UUID, state: str) -> None:
        super().__init__(f"The charge for attempt {attempt_id} is {state}; only unknown charges can be settled.")
        self.attempt_id = attempt_id
        self.state = state


@dataclass(frozen=True)
class Totals:
    """What a video has cost and holds, in USD, and by how much the last charge increased the sum."""

    booked: Decimal
    held: Decimal
    increase: Decimal


@dataclass(frozen=True)
class Spent:
    """What one provider charged one owner on one day, in USD. `unknown` is part of `held`."""

    day: str
    owner: str
    provider: str
    attempts: int
    held: Decimal
    unknown: Decimal
    booked: Decimal
    simulated: bool = False


class Charges:
    """All charges, as the services that pay last reported them."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def record(self, work: UnitOfWork, event: SceneCharged | StoryCharged) -> Totals:
        """Save a charge and add up those of its video."""
        increase = await self._save(work, event)
        of_video = Charge.video_id == str(event.video_id)
        sums = select(func.sum(Charge.booked_usd), func.sum(Charge.held_usd)).where(of_video)
        booked, held = (await work.session.execute(sums)).one()
        return Totals(_usd(booked), _usd(held), increase)

    async def record_alone(self, work: UnitOfWork, event: StoryCharged) -> None:
        """Save the charge of a storyboard without a video, and take it from the budgets of its day."""
        increase = await self._save(work, event)
        of_day = UNCAPPED.budgets(event.video_id, event.owner, event.day)
        work.before_commit.append(partial(budget.adjust, work.session, budgets, of_day, increase))

    async def storyboard_usd(self, session: AsyncSession, video_id: str) -> Decimal:
        """Return what the storyboard of a video has cost."""
        written = select(func.sum(Charge.booked_usd))
        written = written.where(Charge.video_id == video_id, Charge.provider == LANGUAGE_MODEL)
        return _usd(await session.scalar(written))

    async def _save(self, work: UnitOfWork, event: SceneCharged | StoryCharged) -> Decimal:
        """Save a charge unless a later one is there. Returns by how much it is more than before."""
        charge = await work.session.get(Charge, str(event.attempt_id), with_for_update=True)
        if charge is not None and charge.revision >= event.revision:
            return FREE
        before = charge.held_usd + charge.booked_usd if charge is not None else FREE
        if charge is None:
            charge = Charge(attempt_id=str(event.attempt_id), video_id=str(event.video_id))
            work.session.add(charge)
        for name in EVENT_FIELDS:
            setattr(charge, name, getattr(event, name))
        charge.scene_number = (event.scene_number or 0) if isinstance(event, SceneCharged) else 0
        charge.purpose = event.purpose if isinstance(event, SceneCharged) else "storyboard"
        charge.model = event.model if isinstance(event, SceneCharged) else charge.model
        charge.simulated = isinstance(event, SceneCharged) and event.simulated
        charge.task_id = event.task_id or charge.task_id
        charge.reason = event.reason
        charge.updated_at = now()
        await work.session.flush()
        return event.held_usd + event.booked_usd - _usd(before)

    async def spend(self, first: date, last: date, owners: Sequence[str | None], provider: str | None) -> list[Spent]:
        """Sum up what was spent from the first day to the last, by day, owner and provider.

        Every name in `owners` narrows it down; None does not.
        """
        which = [Charge.day >= first.isoformat(), Charge.day <= last.isoformat()]
        which += [Charge.owner == name for name in owners if name is not None]
        which += [Charge.provider == provider] if provider else []
        unknown = func.sum(case((Charge.state == "unknown", Charge.held_usd), else_=0))
        keys = (Charge.day, Charge.owner, Charge.provider, Charge.simulated)
        sums = (func.count().label("attempts"), func.sum(Charge.held_usd), unknown, func.sum(Charge.booked_usd))
        async with self.database.reading() as session:
            found = await session.execute(select(*keys, *sums).where(*which).group_by(*keys).order_by(*keys))
            return [
                Spent(day, owner, name, int(attempts), _usd(held), _usd(lost), _usd(booked), simulated)
                for day, owner, name, simulated, attempts, held, lost, booked in found
            ]

    async def of_video(self, video_id: UUID) -> Sequence[Charge]:
        """List all charges of a video."""
        async with self.database.reading() as session:
            return list(await session.scalars(select(Charge).where(Charge.video_id == str(video_id))))

    async def latest(
        self, state: str | None, video_id: UUID | None, limit: int, *, owner: str | None
    ) -> Sequence[Charge]:
        """List charges, the latest first. `owner` restricts them to one owner."""
        which = [Charge.state == state] if state else []
        which += [Charge.video_id == str(video_id)] if video_id else []
        which += [Charge.owner == owner] if owner is not None else []
        async with self.database.reading() as session:
            latest = select(Charge).where(*which).order_by(Charge.updated_at.desc(), Charge.attempt_id).limit(limit)
            return (await session.execute(latest)).scalars().all()

    async def settle(
        self, attempt_id: UUID, *, paid: bool, task_id: str | None, cost: Decimal | None, again: bool, by: str
    ) -> Charge:
        """Publish a person's decision on an unknown charge; scene-render settles it.

        Raises:
            ChargeNotFound: no charge has this attempt id.
            ChargeNotUnknown: the outcome is known already.
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
