"""The checks of `doctor` in the storyboard service: text to be erased, reservations without an answer."""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from decimal import ROUND_UP
from functools import partial

from sqlalchemy import select

from shared.consistency import Check, Examined, Finding, found
from shared.money.prices import UNIT
from shared.persistence.database import Database, now
from shared.persistence.unit_of_work import transaction
from storyboard.handlers import erase
from storyboard.models import LlmAnswerRow, StoryboardRow, budgets

ANSWERED_WITHIN_SECONDS = 3600.0
BUDGET_OF_VIDEO = "video:"


async def _deleted(examined: Examined) -> AsyncIterator[Finding]:
    answered = select(LlmAnswerRow.turn).where(
        LlmAnswerRow.video_id == StoryboardRow.video_id, LlmAnswerRow.answer != ""
    )
    deleted = select(StoryboardRow, answered.exists()).where(StoryboardRow.state == "deleted")
    async with examined.database.reading() as session:
        rows = (await session.execute(deleted)).all()
    left = [row.video_id for row, has_answer in rows if row.request or row.storyboard or row.repairs or has_answer]
    fix = partial(_erase, examined.database, left)
    for finding in found("deleted videos whose text is still saved", left, "erase it", fix):
        yield finding


async def _erase(database: Database, video_ids: Sequence[str]) -> int:
    for video_id in video_ids:
        async with transaction(database) as work:
            await erase(work, video_id)
    return len(video_ids)


async def _money(examined: Examined) -> AsyncIterator[Finding]:
    is_old = (budgets.c.scope.startswith(BUDGET_OF_VIDEO), budgets.c.opened_at < now(-ANSWERED_WITHIN_SECONDS))
    async with examined.database.reading() as session:
        used = (await session.execute(select(budgets.c.scope, budgets.c.used).where(*is_old))).all()
        costs = (await session.execute(select(LlmAnswerRow.video_id, LlmAnswerRow.cost_usd))).all()
    answered: defaultdict[str, int] = defaultdict(int)
    for video_id, cost in costs:
        answered[video_id] += int(cost.quantize(UNIT, ROUND_UP) / UNIT)
    held = [video_id for scope, units in used if units > answered[video_id := scope.removeprefix(BUDGET_OF_VIDEO)]]
    todo = "a model may have been paid without its answer having been saved; compare with its provider's bill"
    for finding in found("videos with money held for model answers that are not saved", held, todo):
        yield finding


CHECKS = (Check("deleted videos", _deleted), Check("the money of model answers", _money))
