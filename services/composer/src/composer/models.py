"""The tables of the composer."""

from datetime import datetime
from typing import Any, Literal

from sqlalchemy import JSON, Boolean, Integer, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.persistence.database import Moment, identifier
from shared.persistence.inbox import inbox_table
from shared.persistence.outbox import outbox_table

FilmState = Literal["gathering", "composing", "composed", "failed", "cancelled"]


class Base(DeclarativeBase):
    """The schema of this service."""


inbox = inbox_table(Base.metadata)
outbox = outbox_table(Base.metadata)


class Film(Base):
    """The film of a video and its state. `storyboard` may arrive after the first clips."""

    __tablename__ = "films"

    video_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    state: Mapped[FilmState] = mapped_column(String(20))
    storyboard: Mapped[dict[str, Any] | None] = mapped_column(JSON, default=None)
    epoch: Mapped[int] = mapped_column(Integer, default=0)
    """The latest known epoch of the video; see `shared.contracts.epochs`."""
    film: Mapped[dict[str, Any] | None] = mapped_column(JSON, default=None)
    parameter_sets: Mapped[dict[str, str]] = mapped_column(JSON, default=dict, nullable=True)
    """The digest of the parameter sets that may be copied into it, by their number: those of the first clips."""
    copies: Mapped[bool] = mapped_column(Boolean, default=True, server_default="1")
    """Whether clips are copied into it where they can be; not after that failed once."""
    begun_at: Mapped[datetime] = mapped_column(Moment)


class FilmClip(Base):
    """The clip of one scene, from its event."""

    __tablename__ = "film_clips"

    video_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    scene_number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    clip: Mapped[dict[str, Any]] = mapped_column(JSON)
    provider: Mapped[str | None] = mapped_column(identifier(50), default=None)
    model: Mapped[str | None] = mapped_column(identifier(255), default=None)


class FilmPart(Base):
    """A part of a film; see `composer.film.parts`. `media` is None until it is made."""

    __tablename__ = "film_parts"

    video_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    media: Mapped[dict[str, Any] | None] = mapped_column(JSON, default=None)
