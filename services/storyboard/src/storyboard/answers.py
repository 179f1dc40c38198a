"""What language models answered, kept: an answer that was paid for is never asked for again."""

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
"""Who takes the money, where charges are shown beside those of who renders."""


@dataclass(frozen=True)
class Answer:
    """What a model said, and what that took. `refused`: it said that it would not answer. `ending`: how it ended."""

    text: str
    refused: bool = False
    ending: Ending = "stop"
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)


@dataclass(frozen=True)
class Reservation:
    """What is held of these budgets for one answer, in USD."""

    budgets: tuple[Budget, ...]
    usd: Decimal
    day: str


class NoMoneyToAsk(StepFailed):
    """The answer of a language model does not fit into the budgets. It was not asked."""

    def __init__(self, exceeded: BudgetExceeded) -> None:
        super().__init__("budget", str(exceeded))


class Answers:
    """The answers of one model, and the money for them.

    It has its own short transactions: money is reserved before a model is asked, and booked with its answer, before
    anything follows from it.
    """

    def __init__(self, database: Database, model: str, caps: Caps = UNCAPPED) -> None:
        self.database = database
        self.model = model
        self.caps = caps

    async def get(self, request: StoryRequested, turn: int) -> Answer | None:
        """What was answered to this request in this turn; None where it was not asked yet."""
        async with self.database.reading() as session:
            row = await session.get(LlmAnswerRow, (fingerprint(request), self.model, turn))
        if row is None:
            return None
        return Answer(row.answer, row.refused, row.ending, row.input_tokens, row.output_tokens, row.cost_usd)

    async def reserve(self, request: StoryRequested, usd: Decimal) -> Reservation:
        """Hold what an answer may cost.

        Raises:
            NoMoneyToAsk: it does not fit into the budgets.
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
        """Give back what is held for an answer that surely cost nothing."""
        async with transaction(self.database) as work:
            await budget.adjust(work.session, budgets, held.budgets, -held.usd)

    async def keep(self, request: StoryRequested, turn: int, answer: Answer, held: Reservation) -> Answer:
        """Keep and book an answer; returns the one that counts, which another delivery may have kept before."""
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
                await self._tell(work, request, turn, held.day)
        except IntegrityError:
            # What is held stays held: this answer was paid as well.
            log.warning("llm.paid_twice", turn=turn, cost_usd=float(answer.cost_usd))
            return await self.get(request, turn) or answer
        return answer

    async def _tell(self, work: UnitOfWork, request: StoryRequested, turn: int, day: str) -> None:
        """Tell others what all answers to a request have taken; nothing where they are free."""
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
