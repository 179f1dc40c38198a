"""What language models answered, kept: an answer that was paid for is never asked for again."""

from dataclasses import dataclass
from decimal import Decimal

import structlog
from sqlalchemy.exc import IntegrityError

from shared.contracts.events import StoryRequested
from shared.database import Database, now
from storyboard.completion import Ending
from storyboard.models import LlmAnswerRow
from storyboard.writer import fingerprint

log = structlog.get_logger()


@dataclass(frozen=True)
class Answer:
    """What a model said, and what that took. `refused`: it said that it would not answer. `ending`: how it ended."""

    text: str
    refused: bool = False
    ending: Ending = "stop"
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)


class Answers:
    """The answers of one model. It has its own short transactions: money is spent before anything is announced."""

    def __init__(self, database: Database, model: str) -> None:
        self.database = database
        self.model = model

    async def get(self, request: StoryRequested, turn: int) -> Answer | None:
        """What was answered to this request in this turn; None where it was not asked yet."""
        async with self.database.reading() as session:
            row = await session.get(LlmAnswerRow, (fingerprint(request), self.model, turn))
        if row is None:
            return None
        return Answer(row.answer, row.refused, row.ending, row.input_tokens, row.output_tokens, row.cost_usd)

    async def keep(self, request: StoryRequested, turn: int, answer: Answer) -> Answer:
        """Keep an answer; returns the one that counts, which another delivery may have kept before."""
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
        try:
            async with self.database.sessions.begin() as session:
                session.add(row)
        except IntegrityError:
            log.warning("llm.paid_twice", turn=turn, cost_usd=float(answer.cost_usd))
            return await self.get(request, turn) or answer
        return answer
