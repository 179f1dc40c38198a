"""The pieces of a video's HLS stream."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.models import StreamPiece, Video
from gateway.videos.status import VideoStatus
from shared.contracts.events import StreamExtended
from shared.persistence.database import Database, now

LATE_SECONDS = 15 * 60
"""How long after the film its stream may still grow: as long as all retries of a piece take."""


@dataclass(frozen=True)
class Stream:
    """The pieces that can be played, in order. `is_ended`: no further one will come."""

    pieces: Sequence[StreamExtended]
    is_ended: bool


async def save_piece(session: AsyncSession, event: StreamExtended) -> None:
    """Save a piece, replacing an earlier one of its number."""
    piece = event.model_dump(mode="json")
    await session.merge(StreamPiece(video_id=str(event.video_id), number=event.piece_number, piece=piece))


async def remove_pieces(session: AsyncSession, video_id: str) -> None:
    """Remove all pieces of a video."""
    await session.execute(delete(StreamPiece).where(StreamPiece.video_id == video_id))


async def stream_of(database: Database, row: Video) -> Stream:
    """Return the stream of a video."""
    saved = select(StreamPiece.piece).where(StreamPiece.video_id == row.video_id).order_by(StreamPiece.number)
    is_late = select(Video.id).where(Video.video_id == row.video_id, Video.completed_at < now(-LATE_SECONDS))
    async with database.reading() as session:
        pieces = [StreamExtended.model_validate(piece) for piece in (await session.scalars(saved)).all()]
        has_time = await session.scalar(is_late) is None
    playable = [piece for n, piece in enumerate(pieces, 1) if piece.piece_number == n]
    is_whole = bool(playable) and len(playable) == playable[0].piece_count
    return Stream(playable, is_whole or VideoStatus.of(row.status).is_without_film or not has_time)
