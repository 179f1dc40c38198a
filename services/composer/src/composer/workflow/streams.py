"""Makes the pieces of streams: the slow steps, each followed by one transaction."""

from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import structlog

from composer.film.join import JoinFailed
from composer.models import Film, FilmPart
from composer.sound.mix import mix_sound
from composer.stream.pieces import PieceWrong, StreamPiece, make_stream_piece
from composer.stream.plan import StreamPart
from composer.workflow.film_state import locked_film
from composer.workflow.rendering import Renderer
from shared.contracts.events import StreamExtended
from shared.contracts.media import MediaReference, StreamSegment, stream_key, stream_prefix
from shared.messaging.errors import StepFailed
from shared.messaging.event_router import Delivery
from shared.persistence.database import Database
from shared.persistence.unit_of_work import idempotent_transaction
from shared.storage.base import Storage
from shared.storage.work_folder import work_folder

log = structlog.get_logger()


@dataclass(frozen=True)
class Streams:
    """Makes and removes the pieces of streams."""

    database: Database
    storage: Storage
    renderer: Renderer
    work_folder: Path | None

    async def make_piece(self, video_id: UUID, part: StreamPart, delivery: Delivery) -> None:
        """Make and store a piece.

        Raises:
            StepFailed: it cannot be made.
        """
        async with self.database.reading() as session:
            film = await session.get(Film, str(video_id))
        if film is None or is_gone(film):
            return
        with work_folder(self.work_folder, "stream") as folder:
            try:
                piece = await self._make(part, folder)
            except (JoinFailed, PieceWrong) as error:
                raise StepFailed("stream", f"Piece {part.number} of the stream cannot be made: {error}.") from error
            extended = await self._store(video_id, part, piece)
        async with idempotent_transaction(self.database, delivery) as work:
            film = await locked_film(work, video_id)
            if not is_gone(film):
                row = await work.session.get(FilmPart, (film.video_id, part.key))
                if row is not None:
                    row.media = extended.init.model_dump(mode="json")
                await work.emit(extended)
        if is_gone(film):
            await self.storage.delete(f"{stream_prefix(video_id)}{part.number}-")
            return
        log.info("stream.extended", piece=part.number, segments=len(piece.segments))

    async def remove(self, video_id: UUID) -> None:
        """Remove the stream of a video."""
        await self.storage.delete(stream_prefix(video_id))

    async def _make(self, part: StreamPart, folder: Path) -> StreamPiece:
        picture, sound = folder / "picture.mp4", folder / "sound.m4a"
        await self.renderer.join(part.segments, part.encoded, None, picture)
        files = await self.renderer.fetch([one.media for one in part.sounds], folder)
        tracks = [(one.track, files[one.media.key]) for one in part.sounds]
        # The loudness of a film is measured when all of it is there.
        await mix_sound(tracks, part.frames, sound, self.renderer.ffmpeg, evened=False)
        return await make_stream_piece(picture, sound, part.frames, folder / "piece")

    async def _store(self, video_id: UUID, part: StreamPart, piece: StreamPiece) -> StreamExtended:
        async def put(name: str, path: Path) -> MediaReference:
            return await self.storage.put(stream_key(video_id, part.number, name), path, "video/mp4")

        segments = [
            StreamSegment(media=await put(str(number), segment.path), frames=segment.frames)
            for number, segment in enumerate(piece.segments)
        ]
        return StreamExtended(
            video_id=video_id,
            piece_number=part.number,
            piece_count=part.count,
            init=await put("init", piece.init),
            segments=tuple(segments),
            longest_frames=max(part.longest_frames, *(segment.frames for segment in segments)),
        )


def is_gone(film: Film) -> bool:
    """Return whether a film was cancelled, deleted or has expired."""
    return film.state == "cancelled" or (film.state == "composed" and film.film is None)
