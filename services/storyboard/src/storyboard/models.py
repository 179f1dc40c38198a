"""The tables of the storyboard service."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import JSON, Numeric, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.money.budget import budget_table
from shared.persistence.database import Moment, identifier
from shared.persistence.inbox import inbox_table
from shared.persistence.outbox import outbox_table
from storyboard.completion import Ending


class Base(DeclarativeBase):
    """The schema of this service."""


inbox = inbox_table(Base.metadata)
outbox = outbox_table(Base.metadata)
budgets = budget_table(Base.metadata)


class StoryboardRow(Base):
    """The storyboard of a video, with its request."""

    __tablename__ = "storyboards"

    video_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    request_hash: Mapped[str] = mapped_column(String(64))
    request: Mapped[dict[str, Any]] = mapped_column(JSON)
    storyboard: Mapped[dict[str, Any]] = mapped_column(JSON)
    repairs: Mapped[list[str] | None] = mapped_column(JSON)
    """The changes to the writer's draft. None in rows of older versions."""
    state: Mapped[str] = mapped_column(String(20), default="filming", server_default="filming")
    """`awaiting_review`, then `filming` or `cancelled`; `filming` at once without a review; or `deleted`."""
    created_at: Mapped[datetime] = mapped_column(Moment)


class DraftRow(Base):
    """A storyboard that was requested alone; a video may use it, edited or not."""

    __tablename__ = "drafts"

    storyboard_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    storyboard: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(Moment, index=True)


class LlmAnswerRow(Base):
    """The answer of a language model in one turn of a request, saved as soon as it is paid."""

    __tablename__ = "llm_answers"

    request_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    model: Mapped[str] = mapped_column(identifier(128), primary_key=True)
    turn: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    video_id: Mapped[str] = mapped_column(String(36), index=True)
    answer: Mapped[str] = mapped_column(Text(1_000_000))
    refused: Mapped[bool]
    ending: Mapped[Ending] = mapped_column(String(20), default="stop", server_default="stop")
    """How the answer ended: cut at the token limit, stopped by a filter, ..."""
    input_tokens: Mapped[int]
    output_tokens: Mapped[int]
    cost_usd: Mapped[Decimal] = mapped_column(Numeric(12, 6))
    created_at: Mapped[datetime] = mapped_column(Moment, index=True)
