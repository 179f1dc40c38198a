"""The rows only the storyboard service writes."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.database import Moment
from shared.inbox import inbox_table
from shared.outbox import outbox_table


class Base(DeclarativeBase):
    """The schema of this service."""


inbox = inbox_table(Base.metadata)
outbox = outbox_table(Base.metadata)


class StoryboardRow(Base):
    """The one storyboard of a video, with the request it answers."""

    __tablename__ = "storyboards"

    video_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    request_hash: Mapped[str] = mapped_column(String(64))
    request: Mapped[dict[str, Any]] = mapped_column(JSON)
    storyboard: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(Moment)
