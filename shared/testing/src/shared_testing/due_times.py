"""What is due in scene-render's rows, as values: tests read, compare and bring about these like messages."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import text

from shared.persistence.database import Database

LONG_AGO = "2020-01-01 00:00:00.000000"


@dataclass(frozen=True)
class OfAttempt:
    """Something is due about an attempt."""

    attempt_id: UUID


class CheckDue(OfAttempt):
    """Its task must be polled."""


class SubmissionOverdue(OfAttempt):
    """The result of its submission must be checked."""


class UnknownOverdue(OfAttempt):
    """It is UNKNOWN, and its slot is to be free again."""


class PayAgainDue(OfAttempt):
    """It is UNKNOWN, and its scene is to be ordered once more."""


@dataclass(frozen=True)
class SceneOverdue:
    """A scene that waits for a provider that accepts nothing is to be given up."""

    video_id: UUID
    scene_number: int


Due = OfAttempt | SceneOverdue
Times = Mapping[Due, Any]

CHANGES: Mapping[type[Due], str] = {
    CheckDue: "UPDATE attempts SET next_check_at = :at WHERE id = :id AND state = 'SUBMITTED'",
    SubmissionOverdue: "UPDATE attempts SET next_check_at = :at WHERE id = :id AND state = 'INTENT'",
    UnknownOverdue: "UPDATE attempts SET release_slot_at = :at WHERE id = :id AND release_slot_at IS NOT NULL",
    PayAgainDue: "UPDATE attempts SET pay_again_at = :at WHERE id = :id AND pay_again_at IS NOT NULL",
    SceneOverdue: "UPDATE renders SET give_up_at = :at "
    "WHERE video_id = :video_id AND scene_number = :number AND give_up_at IS NOT NULL",
}


async def due_times(database: Database) -> Times:
    """When each thing is due."""
    of_attempts = "SELECT id, state, next_check_at, release_slot_at, pay_again_at FROM attempts ORDER BY number"
    of_scenes = "SELECT video_id, scene_number, give_up_at FROM renders"
    times: dict[Due, Any] = {}
    async with database.reading() as session:
        for name, state, check, release, again in await session.execute(text(of_attempts)):
            kind = SubmissionOverdue if state == "INTENT" else CheckDue
            moments = {kind: check, UnknownOverdue: release, PayAgainDue: again}
            times |= {due(UUID(name)): moment for due, moment in moments.items() if moment is not None}
        for video_id, number, moment in await session.execute(text(of_scenes)):
            if moment is not None:
                times[SceneOverdue(UUID(video_id), number)] = moment
    return times


async def bring_about(database: Database, due: Due) -> bool:
    """Make this due now. Return whether it still exists."""
    async with database.sessions.begin() as session:
        result: Any = await session.execute(text(CHANGES[type(due)]), _values(due))
        return bool(result.rowcount)


def _values(due: Due) -> dict[str, str | int]:
    if isinstance(due, SceneOverdue):
        return {"at": LONG_AGO, "video_id": str(due.video_id), "number": due.scene_number}
    return {"at": LONG_AGO, "id": str(due.attempt_id)}
