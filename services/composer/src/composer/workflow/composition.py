"""Makes the parts of a film, and the film: the slow steps, each followed by one transaction."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import structlog
from prometheus_client import Counter

from composer.film.description import description
from composer.film.join import JoinFailed
from composer.film.parts import Part, key_of
from composer.film.plan import Holds
from composer.film.segments import Encoded
from composer.film.verification import FilmWrong, Verify, verify_film
from composer.internal_messages import PreviewsDue
from composer.models import Film, FilmPart
from composer.previews.thumbnail import NoPictureTaken
from composer.provenance.credentials import Credentials
from composer.provenance.manifest import manifest
from composer.provenance.signing import FilmNotSigned, sign
from composer.workflow.film_state import FilmInputs, inputs_of, locked_film, order_parts
from composer.workflow.rendering import FILE_TYPES, Renderer
from shared.contracts.events import VideoComposed, VideoProgressed, VideoStoring
from shared.contracts.media import FRAME_RATE, MediaReference, film_key, film_part_key, film_parts_prefix, thumbnail_key
from shared.contracts.story import Belonging
from shared.contracts.timeline import total_frames
from shared.media.ffmpeg import FfmpegFailed, FfmpegTimedOut, blames_machine
from shared.messaging.errors import StepFailed, TryAgainLater
from shared.messaging.event_router import Delivery, EphemeralPublisher
from shared.persistence.database import Database
from shared.persistence.unit_of_work import idempotent_transaction
from shared.storage.base import Storage
from shared.storage.errors import ObjectDamaged
from shared.storage.work_folder import work_folder

log = structlog.get_logger()

ATTEMPTS = 3
"""After this many failures of a step the video fails."""
FRAMES = Counter("multishot_film_frames_total", "Frames of finished films by how they came into it", ["how"])
FALLBACKS = Counter("multishot_film_fallbacks_total", "Films that are encoded because copying failed", ["reason"])


@dataclass(frozen=True)
class Composition:
    """Makes parts and films. `holds` and `verify`: see the settings. Without `credentials`, films are not signed."""

    database: Database
    storage: Storage
    renderer: Renderer
    ephemeral: EphemeralPublisher
    work_folder: Path | None
    holds: Holds
    verify: Verify
    credentials: Credentials | None

    async def make_part(self, video_id: UUID, part: Part, delivery: Delivery) -> None:
        """Make and store a part, and join the film if it was the last one.

        Raises:
            StepFailed: the part cannot be made.
        """
        key = key_of(part)
        async with self.database.reading() as session:
            film = await session.get(Film, str(video_id))
            row = await session.get(FilmPart, (str(video_id), key))
        if film is None or film.state not in ("gathering", "composing") or row is None or row.media:
            return
        try:
            with _retried(delivery), work_folder(self.work_folder, "part") as folder:
                path = await self.renderer.make(part, folder)
                media = await self._store_part(video_id, part, path)
        except (JoinFailed, FilmWrong) as error:
            await self._stop_copying(video_id, error, delivery, part)
            return
        async with idempotent_transaction(self.database, delivery) as work:
            film = await locked_film(work, video_id)
            row = await work.session.get(FilmPart, (str(video_id), key))
            if row is not None:
                row.media = media.model_dump(mode="json")
            await order_parts(work, film, self.holds)
        if film.state == "cancelled":
            await self.remove(video_id)
        elif film.state == "composing":
            await self._publish_progress(film)

    async def compose(self, video_id: UUID, delivery: Delivery) -> None:
        """Join, verify and store the film of a video, if all its clips and parts are there; else order what is missing.

        Raises:
            StepFailed: the film cannot be joined.
        """
        async with self.database.reading() as session:
            film = await session.get_one(Film, str(video_id))
            inputs = await inputs_of(session, film, self.holds)
        if film.state not in ("gathering", "composing") or inputs is None:
            return
        if film.state == "gathering" or not inputs.is_complete:
            async with idempotent_transaction(self.database, delivery) as work:
                await order_parts(work, await locked_film(work, video_id), self.holds, again=True)
            return
        try:
            with _retried(delivery), work_folder(self.work_folder, "film") as folder:
                sound, picture = inputs.sound(), inputs.thumbnail()
                made = await self.renderer.fetch([sound, picture], folder)
                path = await self._join(inputs, made[sound.key], folder)
                await self.ephemeral.publish(VideoStoring(video_id=video_id))
                stored = await self.storage.put(film_key(video_id), path, "video/mp4")
                # While scenes are rendered again there can be several; it is the one of this film.
                thumbnail = await self.storage.put(thumbnail_key(video_id), made[picture.key], picture.content_type)
        except (JoinFailed, FilmWrong) as error:
            await self._stop_copying(video_id, error, delivery)
            return
        composed = _composed(film, inputs, stored, thumbnail)
        async with idempotent_transaction(self.database, delivery) as work:
            film = await locked_film(work, video_id)
            if film.state == "composing":
                film.state = "composed"
                film.film = composed.model_dump(mode="json")
                await work.emit(composed)
                await work.emit(PreviewsDue(video_id=video_id))
        if film.state == "cancelled":
            await self.remove(video_id)
            return
        FRAMES.labels("encoded").inc(composed.encoded_frames)
        FRAMES.labels("copied").inc(total_frames(inputs.slots) - composed.encoded_frames)
        log.info("video.composed", seconds=composed.duration, bytes=stored.size, encoded_frames=composed.encoded_frames)

    async def remove(self, video_id: UUID) -> None:
        """Remove the film of a video, its thumbnail and its parts."""
        for prefix in (film_key(video_id), thumbnail_key(video_id), film_parts_prefix(video_id)):
            await self.storage.delete(prefix)

    async def _store_part(self, video_id: UUID, part: Part, path: Path) -> MediaReference:
        suffix, content_type = FILE_TYPES[part.kind]
        return await self.storage.put(film_part_key(video_id, key_of(part), suffix), path, content_type)

    async def _join(self, inputs: FilmInputs, sound: Path, folder: Path) -> Path:
        film = folder / "film.mp4"
        segments = inputs.segments()
        about = description(inputs.storyboard, inputs.slots)
        await self.renderer.join(segments, inputs.encoded_media(), sound, film, about)
        await asyncio.to_thread(verify_film, film, segments, inputs.size, self.verify)
        if self.credentials is None:
            return film
        # Last, as it covers each byte; it keeps the index first.
        signed = folder / "signed.mp4"
        what = manifest(inputs.storyboard, inputs.origins)
        try:
            await asyncio.to_thread(sign, film, signed, what, self.credentials)
        except FilmNotSigned as error:
            reason = "The film could not be signed: the key or the certificates in PROVENANCE_FOLDER cannot be used."
            raise StepFailed("signing", reason, str(error)) from error
        return signed

    async def _stop_copying(
        self, video_id: UUID, error: JoinFailed | FilmWrong, delivery: Delivery, part: Part | None = None
    ) -> None:
        """Encode all of a film whose clips could not be copied.

        Raises:
            StepFailed: nothing is copied already.
        """
        async with idempotent_transaction(self.database, delivery) as work:
            film = await locked_film(work, video_id)
            if film.copies:
                film.copies = False
                await order_parts(work, film, self.holds)
                FALLBACKS.labels(type(error).__name__).inc()
                log.warning("film.encoded_instead", reason=str(error))
                return
            inputs = await inputs_of(work.session, film, self.holds)
            if part is not None and inputs and key_of(part) not in inputs.wanted_parts():
                return  # it was ordered before copying stopped
            if delivery.attempt < ATTEMPTS:
                raise error
            raise StepFailed("composing", f"The film could not be joined: {error}.") from error

    async def _publish_progress(self, film: Film) -> None:
        async with self.database.reading() as session:
            inputs = await inputs_of(session, film, self.holds)
        if inputs:
            wanted = inputs.wanted_parts().keys()
            percent = 100 * len(wanted & inputs.made.keys()) / len(wanted)
            await self.ephemeral.publish(VideoProgressed(video_id=UUID(film.video_id), percent=percent))


@contextlib.contextmanager
def _retried(delivery: Delivery) -> Iterator[None]:
    """Fail the step if ffmpeg fails in its last attempt. A fault of the machine may take longer to end."""
    try:
        yield
    except ConnectionError:
        raise
    except (FfmpegFailed, FfmpegTimedOut, NoPictureTaken, OSError, MemoryError) as error:
        if blames_machine(error):
            log.warning("composer.machine_at_fault", error=str(error))
            raise TryAgainLater("the composer lacked memory or space, or its encoder was killed") from error
        if delivery.attempt < ATTEMPTS:
            raise
        raise StepFailed("composing", f"The film could not be joined: {error}.") from error
    except ObjectDamaged as error:
        raise TryAgainLater("a stored clip or part is damaged") from error


def _composed(film: Film, inputs: FilmInputs, stored: MediaReference, thumbnail: MediaReference) -> VideoComposed:
    width, height = inputs.size
    return VideoComposed(
        video_id=inputs.storyboard.video_id,
        film=stored,
        thumbnail=thumbnail,
        duration=total_frames(inputs.slots) / FRAME_RATE,
        width=width,
        height=height,
        encoded_frames=sum(segment.frames for segment in inputs.segments() if isinstance(segment, Encoded)),
        **dict(Belonging.read(film.storyboard)),
    )
