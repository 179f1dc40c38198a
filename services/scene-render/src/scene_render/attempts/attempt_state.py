"""The states of an attempt, and the only code that changes them.

    INTENT ──submission answered──▶ SUBMITTED ──▶ SUCCEEDED | FAILED | CANCELLED
       └────may have been paid────▶ UNKNOWN ──found, or settled by a person──▶ SUBMITTED | FAILED

Each change is one UPDATE that names the states it may follow, so a late or duplicate writer changes nothing. It also
sets the times at which the scheduler checks the attempt again, and clears those that no longer apply.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, CursorResult, func, update
from sqlalchemy.ext.asyncio import AsyncSession

from scene_render.models import Attempt, AttemptState
from shared.persistence.database import now

ANSWER_MARGIN_SECONDS = 1.0
"""How long after its time limit an unanswered submission is reconciled."""
NOTHING_DUE: Mapping[str, Any] = {"next_check_at": None, "release_slot_at": None, "pay_again_at": None}


def reconcile_at(submit_seconds: float) -> Any:  # noqa: ANN401 - a column's value
    """Return when to reconcile an INTENT that is written now, if its submission has no answer by then."""
    return now(submit_seconds + ANSWER_MARGIN_SECONDS)


@dataclass(frozen=True)
class AttemptTransitions:
    """Every change of an attempt's state. Each method returns whether the attempt was in a state that allows it."""

    session: AsyncSession
    attempt: Attempt

    async def resubmit(self, submit_seconds: float) -> bool:
        """Stay at INTENT to send it again; only one caller may. The provider certainly does not have it."""
        posts = self.attempt.posts + 1
        values = {
            **NOTHING_DUE,
            "posts": posts,
            "intended_at": now(),
            "next_check_at": reconcile_at(submit_seconds),
            "looked_for": False,
        }
        if not await self._move(("INTENT",), "INTENT", Attempt.posts == self.attempt.posts, **values):
            return False
        self.attempt.posts = posts
        return True

    async def submit(self, before: AttemptState, task_id: str, check_after: float) -> bool:
        """Note that the provider has the task, to be checked in `check_after` seconds."""
        values = {
            **NOTHING_DUE,
            "task_id": task_id,
            "submitted_at": now(),
            "failure_kind": None,
            "failure_reason": None,
            "next_check_at": now(check_after),
        }
        return await self._move((before,), "SUBMITTED", **values)

    async def succeed(self) -> bool:
        """Note that the provider's task succeeded."""
        begun = func.coalesce(Attempt.running_since, Attempt.submitted_at)
        return await self._end("SUBMITTED", "SUCCEEDED", running_since=begun, failure_kind=None, failure_reason=None)

    async def fail(self, before: AttemptState, kind: str, reason: str) -> bool:
        """Note that the provider's task failed or certainly never started."""
        return await self._end(before, "FAILED", failure_kind=kind, failure_reason=reason)

    async def withdraw(self, before: AttemptState) -> bool:
        """Note that nothing was sent, or that a person says so."""
        return await self._end(before, "FAILED")

    async def reject_clip(self, kind: str, reason: str) -> bool:
        """Note that the task succeeded, but its clip cannot be used."""
        return await self._move(("SUCCEEDED",), "FAILED", failure_kind=kind, failure_reason=reason)

    async def cancel(self) -> bool:
        """Note that the provider's task was ended on our request."""
        return await self._end("SUBMITTED", "CANCELLED")

    async def lose(
        self, before: AttemptState, kind: str, reason: str, release_slot_after: float, pay_again_after: float | None
    ) -> bool:
        """Note that the attempt may have been accepted and paid. All times in seconds."""
        values = {
            **NOTHING_DUE,
            "failure_kind": kind,
            "failure_reason": reason,
            "release_slot_at": now(release_slot_after),
            "pay_again_at": None if pay_again_after is None else now(pay_again_after),
        }
        return await self._move((before,), "UNKNOWN", **values)

    async def stay_unknown(self, reason: str) -> bool:
        """Note why an UNKNOWN attempt could not be settled."""
        return await self._move(("UNKNOWN",), "UNKNOWN", failure_reason=reason)

    async def _end(self, before: AttemptState, state: AttemptState, **values: Any) -> bool:  # noqa: ANN401 - columns
        return await self._move((before,), state, **NOTHING_DUE, ended_at=now(), **values)

    async def _move(
        self,
        before: tuple[AttemptState, ...],
        state: AttemptState,
        *also: ColumnElement[bool],
        **values: Any,  # noqa: ANN401 - columns
    ) -> bool:
        change = update(Attempt).where(Attempt.id == self.attempt.id, Attempt.state.in_(before), *also)
        result = await self.session.execute(
            change.values(state=state, **values), execution_options={"synchronize_session": False}
        )
        assert isinstance(result, CursorResult)  # noqa: S101 - for the type checker
        return result.rowcount == 1
