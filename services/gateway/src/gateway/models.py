"""The rows only the gateway writes. `videos` is the existing application's own table, under its own names."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import JSON, TIMESTAMP, Double, Integer, Numeric, String, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.database import Moment
from shared.inbox import inbox_table
from shared.outbox import outbox_table


class Base(DeclarativeBase):
    """The schema of this service."""


inbox = inbox_table(Base.metadata)
outbox = outbox_table(Base.metadata)


class Video(Base):
    """A video, from its request to its end. `progress` is 0-100 and never falls; `last_seq` numbers its events."""

    __tablename__ = "videos"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    video_id: Mapped[str] = mapped_column("videoId", String(255), unique=True)
    post_id: Mapped[str | None] = mapped_column("postId", String(255), default=None)
    niche: Mapped[str] = mapped_column(String(100))
    prompt: Mapped[str] = mapped_column(Text)
    story_script: Mapped[str] = mapped_column("storyScript", Text, default="")
    scenes: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    video_url: Mapped[str | None] = mapped_column("videoUrl", Text, default=None)
    thumbnail_url: Mapped[str | None] = mapped_column("thumbnailUrl", Text, default=None)
    duration: Mapped[int | None] = mapped_column(Integer, default=None)
    status: Mapped[str] = mapped_column(String(50), default="pending", server_default="pending", index=True)
    meta: Mapped[dict[str, Any]] = mapped_column("metadata", JSON, default=dict)
    created_at: Mapped[datetime] = mapped_column("createdAt", TIMESTAMP, server_default=text("CURRENT_TIMESTAMP"))
    completed_at: Mapped[datetime | None] = mapped_column("completedAt", TIMESTAMP, default=None)

    title: Mapped[str | None] = mapped_column(Text, default=None)
    owner: Mapped[str] = mapped_column(String(255), index=True)
    aspect_ratio: Mapped[str] = mapped_column("aspectRatio", String(10))
    scene_count: Mapped[int] = mapped_column("sceneCount", Integer)
    request_hash: Mapped[str | None] = mapped_column("requestHash", String(64), default=None)
    progress: Mapped[float] = mapped_column(Double, default=0.0)
    current_step: Mapped[str] = mapped_column("currentStep", String(50), default="storyboard")
    scene_states: Mapped[dict[str, Any]] = mapped_column("sceneStates", JSON, default=dict)
    cost_usd: Mapped[Decimal] = mapped_column("costUsd", Numeric(10, 4), default=Decimal(0))
    error_stage: Mapped[str | None] = mapped_column("errorStage", String(50), default=None)
    error_kind: Mapped[str | None] = mapped_column("errorKind", String(50), default=None)
    error_message: Mapped[str | None] = mapped_column("errorMessage", Text, default=None)
    film: Mapped[dict[str, Any] | None] = mapped_column(JSON, default=None)
    thumbnail: Mapped[dict[str, Any] | None] = mapped_column(JSON, default=None)
    last_seq: Mapped[int] = mapped_column("lastSeq", Integer, default=0)


class VideoEvent(Base):
    """One thing that happened to a video, as those who watch are told. In order of `seq`, without gaps."""

    __tablename__ = "video_events"

    video_id: Mapped[str] = mapped_column("videoId", String(36), primary_key=True)
    seq: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    type: Mapped[str] = mapped_column(String(50))
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column("createdAt", Moment)
