"""Connects a video's row with billing, which handles amounts only."""

from sqlalchemy.ext.asyncio import AsyncSession

from gateway.billing.charge_rules import check_charge
from gateway.billing.charges import Charges
from gateway.billing.service import Billing, Reservation
from gateway.models import Video
from gateway.storyboards.mapping import storyboard_of
from gateway.videos.mapping import quality_of
from gateway.videos.status import VideoStatus
from shared.contracts.events import SceneCharged, StoryboardCreated, StoryCharged, VideoRequested
from shared.contracts.story import Storyboard
from shared.persistence.unit_of_work import UnitOfWork


class VideoCosts:
    """Keeps estimate, reservation and charges of a video in its row."""

    def __init__(self, billing: Billing, charges: Charges) -> None:
        self.billing = billing
        self.charges = charges

    async def reserve(self, work: UnitOfWork, row: Video, request: VideoRequested, *, within_caps: bool) -> None:
        """Reserve the estimate of a new video.

        Raises:
            BudgetExceeded: it does not fit, and `within_caps` is set.
        """
        usd = self.billing.estimates.of_request(request)
        row.estimated_cost_usd = usd
        _save(row, await self.billing.reserve(work, row.video_id, row.owner, usd, within_caps=within_caps))

    async def reserve_again(self, work: UnitOfWork, row: Video, storyboard: Storyboard) -> None:
        """Reserve the estimate of an approved storyboard instead of what was reserved before.

        Raises:
            BudgetExceeded: it does not fit.
        """
        held = _reservation_of(row)
        await self.estimate(work.session, row, storyboard)
        _save(row, await self.billing.reserve_again(work, held, row.estimated_cost_usd))

    async def estimate(self, session: AsyncSession, row: Video, storyboard: Storyboard) -> None:
        """Estimate a written storyboard, including what writing it has cost."""
        rendering = self.billing.estimates.of_storyboard(storyboard, quality_of(row), row.providers or ())
        row.estimated_cost_usd = rendering + await self.charges.storyboard_usd(session, row.video_id)

    async def record_charge(self, work: UnitOfWork, row: Video, event: SceneCharged | StoryCharged) -> None:
        """Save a charge of a video.

        Raises:
            ChargeImplausible: it does not fit the video.
        """
        if row.request_hash is not None:
            written = StoryboardCreated.model_validate(row.storyboard) if row.storyboard else None
            highest = self.billing.estimates.highest(
                event.provider,
                storyboard_of(written) if written else None,
                # A draft that is charged is no draft: it counts as the next tier.
                "standard" if row.quality == "draft" else quality_of(row),
                float(row.duration or 0),
                row.scene_count,
            )
            known = (row.reserved_usd, row.estimated_cost_usd)
            # A provider that only scene-render knows reserves within the same cap.
            expected = self.billing.caps.video if highest is None else max(highest, *known)
            check_charge(event, row.owner, expected)
        totals = await self.charges.record(work, event)
        row.cost_usd, row.held_usd = totals.booked, totals.held
        if isinstance(event, StoryCharged) and row.storyboard is not None:
            row.estimated_cost_usd += totals.increase

    async def correct(self, work: UnitOfWork, row: Video) -> None:
        """Change the reservation to what the video may still cost, or did cost once it has ended."""
        spent = row.cost_usd + row.held_usd
        due = spent if VideoStatus.of(row.status).is_terminal else max(row.estimated_cost_usd, spent)
        if due != row.reserved_usd and row.budget_day:
            await self.billing.correct(work, _reservation_of(row), due)
            row.reserved_usd = due


def _reservation_of(row: Video) -> Reservation:
    return Reservation(row.video_id, row.owner, row.budget_day, row.simulated, row.reserved_usd)


def _save(row: Video, reservation: Reservation) -> None:
    row.budget_day, row.simulated, row.reserved_usd = reservation.day, reservation.simulated, reservation.usd
