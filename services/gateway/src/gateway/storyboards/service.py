"""Storyboards without a video: request one, read it. The storyboard service writes it and answers by event."""

import asyncio
from dataclasses import replace
from uuid import UUID

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.billing.service import Billing
from gateway.http.errors import ApiError, Problem
from gateway.models import Storyboard as StoryboardRow
from shared.contracts.events import Event, StoryboardDrafted, StoryboardFailed, StoryboardRequested
from shared.messaging.errors import RequestConflicts
from shared.persistence.database import Database, now
from shared.persistence.unit_of_work import UnitOfWork, transaction

FIRST_LOOK_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 0.5


class StoryboardNotFound(ApiError):
    """There is no such storyboard."""

    http_status, problem_type, title = 404, "storyboard-not-found", "Storyboard not found"

    def __init__(self, storyboard_id: UUID) -> None:
        super().__init__(f"There is no storyboard {storyboard_id}.")
        self.storyboard_id = storyboard_id


class StoryboardNotWritten(ApiError):
    """The storyboard could not be written."""

    http_status, problem_type, title = 502, "storyboard-not-written", "No storyboard"

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind

    def problem(self) -> Problem:
        """Return the problem. A request that no storyboard fits is the caller's fault; other failures are not."""
        status = 422 if self.kind == "storyboard" else self.http_status
        return replace(super().problem(), status=status, extra={"kind": self.kind})


class Storyboards:
    """Requests and reads storyboards without a video. `wait_seconds`: how long one request waits for one."""

    def __init__(self, database: Database, billing: Billing, wait_seconds: float) -> None:
        self.database = database
        self.billing = billing
        self.wait_seconds = wait_seconds

    async def request(self, body: StoryboardRequested) -> None:
        """Accept a request. The same request again changes nothing.

        Raises:
            RequestConflicts: the id was used for another request.
            BudgetExceeded: there is no money for it today.
        """
        try:
            async with transaction(self.database) as work:
                if await self._open(work, body):
                    await self.billing.check_storyboard(work.session, body)
                    await work.emit(body)
        except IntegrityError:
            # The same id was used twice at once; the other one was faster.
            async with transaction(self.database) as work:
                await self._open(work, body)

    async def get(self, storyboard_id: UUID, *, owner: str | None) -> StoryboardRow:
        """Return one storyboard, of one owner if given. Raises `StoryboardNotFound`."""
        async with self.database.reading() as session:
            row = await _row(session, storyboard_id)
        if row is None or owner not in (None, row.request.get("owner")):
            raise StoryboardNotFound(storyboard_id)
        return row

    async def wait(self, storyboard_id: UUID, *, owner: str | None) -> StoryboardRow:
        """Return one storyboard once it is written or has failed, or after `wait_seconds`."""
        # Polled: the answer may arrive at another replica, and all of them see the row.
        pause = FIRST_LOOK_SECONDS
        end = asyncio.get_running_loop().time() + self.wait_seconds
        while (
            row := await self.get(storyboard_id, owner=owner)
        ).state == "pending" and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
        return row

    async def record(self, work: UnitOfWork, event: Event) -> None:
        """Save a request or its result; a written storyboard is never replaced."""
        if isinstance(event, StoryboardRequested):
            await self._open(work, event)
            return
        row = await _row(work.session, event.video_id, lock=True)
        if row is None:
            # Its request is still on the way.
            row = _unknown(event.video_id)
            work.session.add(row)
        if isinstance(event, StoryboardDrafted):
            row.state, row.drafted = "drafted", event.model_dump(mode="json")
            row.error_kind = row.error_message = None
        elif isinstance(event, StoryboardFailed) and row.state != "drafted":
            row.state, row.error_kind, row.error_message = "failed", event.kind, event.reason

    async def _open(self, work: UnitOfWork, body: StoryboardRequested) -> bool:
        """Save a request. Returns whether it is new."""
        request = body.model_dump(mode="json")
        row = await _row(work.session, body.video_id, lock=True)
        if row is None:
            row = _unknown(body.video_id)
            work.session.add(row)
        elif row.request == request:
            return False
        elif row.request:
            raise RequestConflicts(body.video_id)
        row.request = request
        return True


async def _row(session: AsyncSession, storyboard_id: UUID, *, lock: bool = False) -> StoryboardRow | None:
    return await session.get(StoryboardRow, str(storyboard_id), with_for_update=lock)


def _unknown(storyboard_id: UUID) -> StoryboardRow:
    return StoryboardRow(storyboard_id=str(storyboard_id), request={}, state="pending", created_at=now())
