"""Saves the answers of language models, so that a paid answer is never requested again."""

from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from uuid import NAMESPACE_OID, uuid5

import structlog
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from shared.contracts.events import StoryboardRequested, StoryCharged, StoryRequested
from shared.messaging.errors import StepFailed
from shared.money import budget
from shared.money.budget import Budget, BudgetExceeded, Caps
from shared.money.prices import FREE, UNIT
from shared.persistence.database import Database, now
from shared.persistence.unit_of_work import UnitOfWork, transaction
from storyboard.completion import Ending
from storyboard.models import LlmAnswerRow, budgets
from storyboard.writer import fingerprint

log = structlog.get_logger()

UNCAPPED = Caps(None, None, None)
PROVIDER = "llm"
"""The provider name in charges."""


@dataclass(frozen=True)
class Answer:
    """An answer of a model and its cost. `refused`: the model declined to answer. `ending`: why it ended."""

    text: str
    refused: bool = False
    ending: Ending = "stop"
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)


@dataclass(frozen=True)
class Reservation:
    """The amount reserved from these budgets for one answer, in USD."""

    budgets: tuple[Budget, ...]
    usd: Decimal
    day: str


class NoMoneyToAsk(StepFailed):
    """An answer of the language model would exceed the budgets. Nothing was sent."""

    def __init__(self, exceeded: BudgetExceeded) -> None:
        super().__init__("budget", str(exceeded))


class Answers:
    """The answers of one model and their cost.

    It uses its own short transactions: money is reserved before the model is asked, and booked together with the answer
    before the answer is used.
    """

    def __init__(self, database: Database, model: str, caps: Caps = UNCAPPED) -> None:
        self.database = database
        self.model = model
        self.caps = caps

    async def get(self, request: StoryRequested, turn: int) -> Answer | None:
        """Return the saved answer to this request in this turn; None if there is none."""
        async with self.database.reading() as session:
            row = await session.get(LlmAnswerRow, (fingerprint(request), self.model, turn))
        if row is None:
            return None
        return Answer(row.answer, row.refused, row.ending, row.input_tokens, row.output_tokens, row.cost_usd)

    async def reserve(self, request: StoryRequested, usd: Decimal) -> Reservation:
        """Reserve the maximal cost of an answer.

        Raises:
            NoMoneyToAsk: the budgets are exceeded.
        """
        async with transaction(self.database) as work:
            day = await budget.today(work.session)
            if usd:
                of_request = self.caps.budgets(request.video_id, request.owner, day)
                try:
                    await budget.reserve(work.session, budgets, of_request, usd)
                except BudgetExceeded as exceeded:
                    raise NoMoneyToAsk(exceeded) from exceeded
        return Reservation(UNCAPPED.budgets(request.video_id, request.owner, day), usd, day)

    async def release(self, held: Reservation) -> None:
        """Release the reservation of an answer that certainly cost nothing."""
        async with transaction(self.database) as work:
            await budget.adjust(work.session, budgets, held.budgets, -held.usd)

    async def keep(self, request: StoryRequested, turn: int, answer: Answer, held: Reservation) -> Answer:
        """Save and book an answer. Returns the valid one, which another delivery may have saved before."""
        row = LlmAnswerRow(
            request_hash=fingerprint(request),
            model=self.model,
            turn=turn,
            video_id=str(request.video_id),
            answer=answer.text,
            refused=answer.refused,
            ending=answer.ending,
            input_tokens=answer.input_tokens,
            output_tokens=answer.output_tokens,
            cost_usd=answer.cost_usd,
            created_at=now(),
        )
        took = answer.cost_usd.quantize(UNIT, ROUND_UP)
        try:
            async with transaction(self.database) as work:
                work.session.add(row)
                await work.session.flush()
                await budget.adjust(work.session, budgets, held.budgets, took - held.usd)
                await self._publish_charge(work, request, turn, held.day)
        except IntegrityError:
            # The reservation stays: this answer was paid too.
            log.warning("llm.paid_twice", turn=turn, cost_usd=float(answer.cost_usd))
            return await self.get(request, turn) or answer
        return answer

    async def _publish_charge(self, work: UnitOfWork, request: StoryRequested, turn: int, day: str) -> None:
        """Publish the total cost of all answers to a request, unless it is zero."""
        answers = (LlmAnswerRow.request_hash == fingerprint(request), LlmAnswerRow.model == self.model)
        taken = Decimal(str(await work.session.scalar(select(func.sum(LlmAnswerRow.cost_usd)).where(*answers)) or 0))
        if not taken:
            return
        charged = StoryCharged(
            video_id=request.video_id,
            attempt_id=uuid5(NAMESPACE_OID, f"{fingerprint(request)} {self.model}"),
            revision=turn + 1,
            owner=request.owner,
            provider=PROVIDER,
            day=day,
            state="settled",
            held_usd=FREE,
            booked_usd=taken.quantize(UNIT, ROUND_UP),
            alone=isinstance(request, StoryboardRequested),
        )
        await work.emit(charged)
