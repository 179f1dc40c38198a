"""The film of a video in the database: what has arrived, what has been made, and what is due next.

Each function is a part of its caller's transaction, and its caller has locked the film's row.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from composer.film.parts import Part, encoded_part, key_of, sound_part, thumbnail_part, wanted_parts
from composer.film.plan import Holds, Rules, plan_film
from composer.film.segments import Encoded, Segment
from composer.internal_messages import ClipsCollected, PartDue, StreamPieceDue
from composer.models import Film, FilmClip, FilmPart
from composer.provenance.manifest import Origin
from composer.stream.plan import StreamPart, stream_parts
from shared.contracts.epochs import Standing
from shared.contracts.events import SceneFailed, StoryboardCreated, VideoComposing, VideoFailed, VideoResumed
from shared.contracts.media import FRAME_SIZE, Clip, MediaReference
from shared.contracts.story import Belonging
from shared.contracts.timeline import Slot, timeline
from shared.persistence.database import now
from shared.persistence.unit_of_work import UnitOfWork

STREAM_DELAY_SECONDS = 1.0
"""After the last clip the film comes first: nobody should wait for it because a piece of the stream is made."""


@dataclass(frozen=True)
class FilmInputs:
    """All that a film is planned from. `made` has the media of the parts that are made, by their keys."""

    storyboard: StoryboardCreated
    clips: Mapping[int, Clip]
    origins: Mapping[int, Origin]
    made: Mapping[str, MediaReference]
    rules: Rules

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Return the place of each scene in the film."""
        return timeline(self.storyboard.scenes)

    @property
    def size(self) -> tuple[int, int]:
        """Return the width and height of the film in pixels."""
        return FRAME_SIZE[self.storyboard.aspect_ratio]

    @property
    def has_all_clips(self) -> bool:
        """Return whether the clip of each scene has arrived."""
        return all(scene.scene_number in self.clips for scene in self.storyboard.scenes)

    @property
    def is_complete(self) -> bool:
        """Return whether all clips and all parts are there."""
        return self.has_all_clips and self.wanted_parts().keys() <= self.made.keys()

    def wanted_parts(self) -> Mapping[str, Part]:
        """Return the parts that can be made, by their keys. Raises `ClipTooShort`."""
        return {key_of(part): part for part in wanted_parts(self.slots, self.clips, self.size, self.rules)}

    def stream_parts(self) -> Iterator[StreamPart]:
        """Yield the pieces of the stream that can be made. Raises `ClipTooShort`."""
        return stream_parts(self.slots, self.clips, self.made, self.size, self.rules)

    def segments(self) -> list[Segment]:
        """Return the segments of the film."""
        return plan_film(self.slots, self.clips, self.rules)

    def encoded_media(self) -> Mapping[str, MediaReference]:
        """Return the media of the encoded segments, by the segments' keys."""
        encoded = (segment for segment in self.segments() if isinstance(segment, Encoded))
        return {one.key: self.made[key_of(encoded_part(one, self.size))] for one in encoded}

    def sound(self) -> MediaReference:
        """Return the media of the film's sound."""
        return self.made[key_of(sound_part(self.slots, self.clips, self.rules))]

    def thumbnail(self) -> MediaReference:
        """Return the media of the film's thumbnail."""
        return self.made[key_of(thumbnail_part(self.slots[0], self.clips[1]))]


async def locked_film(work: UnitOfWork, video_id: UUID) -> Film:
    """Lock the film's row, so that the transaction that saves the last input sees all the others."""
    film = await work.session.get(Film, str(video_id), with_for_update=True)
    if film is None:
        film = Film(video_id=str(video_id), state="gathering", begun_at=now(), copies=True)
        work.session.add(film)
        await work.session.flush()
    return film


async def inputs_of(session: AsyncSession, film: Film, holds: Holds) -> FilmInputs | None:
    """Return what has arrived for a film; None without its storyboard."""
    if film.storyboard is None:
        return None
    clips = list(await session.scalars(select(FilmClip).where(FilmClip.video_id == film.video_id)))
    parts = await session.scalars(select(FilmPart).where(FilmPart.video_id == film.video_id))
    known = {int(number): digest for number, digest in (film.parameter_sets or {}).items()}
    storyboard = StoryboardCreated.model_validate(film.storyboard)
    return FilmInputs(
        storyboard,
        {row.scene_number: Clip.model_validate(row.clip) for row in clips},
        {row.scene_number: Origin(row.provider or "unknown", row.model) for row in clips},
        {row.key: MediaReference.model_validate(row.media) for row in parts if row.media},
        Rules(known, film.copies, holds, storyboard.clip_sound),
    )


def remember_parameter_sets(film: Film, clip: Clip) -> None:
    """Save the parameter sets of a clip, unless an earlier clip has others with the same number."""
    if clip.cut_points:
        known = film.parameter_sets or {}
        number = str(clip.cut_points.parameter_set_id)
        film.parameter_sets = {number: clip.cut_points.parameter_sets, **known}


async def order_parts(work: UnitOfWork, film: Film, holds: Holds, *, again: bool = False) -> None:
    """Order the parts that can be made and are not ordered yet; join the film once all clips and parts are there.

    `again`: also order those that were ordered but are not made.

    Raises:
        ClipTooShort: a clip is too short for its scene.
    """
    if film.state not in ("gathering", "composing"):
        return
    await work.session.flush()
    inputs = await inputs_of(work.session, film, holds)
    if inputs is None:
        return
    video_id = UUID(film.video_id)
    ordered = set(await work.session.scalars(select(FilmPart.key).where(FilmPart.video_id == film.video_id)))
    wanted = inputs.wanted_parts()
    for key, part in wanted.items():
        if key not in ordered:
            work.session.add(FilmPart(video_id=film.video_id, key=key, kind=part.kind))
        if key not in ordered or (again and key not in inputs.made):
            await work.emit(PartDue(video_id=video_id, part=part))
    for piece in inputs.stream_parts():
        if piece.key not in ordered:
            work.session.add(FilmPart(video_id=film.video_id, key=piece.key, kind="stream"))
        if piece.key not in ordered or (again and piece.key not in inputs.made):
            due = StreamPieceDue(video_id=video_id, part=piece)
            await work.emit(due, after=STREAM_DELAY_SECONDS if inputs.has_all_clips else 0.0)
    if not inputs.has_all_clips:
        return
    if film.state == "gathering":
        film.state = "composing"
        await work.emit(VideoComposing(video_id=video_id))
    if wanted.keys() <= inputs.made.keys():
        await work.emit(ClipsCollected(video_id=video_id))


def apply(film: Film, event: SceneFailed | VideoFailed | VideoResumed) -> bool:
    """Apply a failure or a resumption unless it is out of date; return whether it changed the film."""
    before = Standing(film.epoch, film.state == "failed")
    after = before.after(event)
    if film.state in ("composed", "cancelled") or after == before:
        return False
    film.epoch = after.epoch
    if after.failed:
        film.state = "failed"
    elif before.failed:
        film.state = "gathering"
    return True


async def epoch_of(session: AsyncSession, video_id: UUID) -> int:
    """Return the latest known epoch of a video."""
    return await session.scalar(select(Film.epoch).where(Film.video_id == str(video_id))) or 0


async def owner_of(session: AsyncSession, video_id: UUID) -> Belonging:
    """Return the owner of a video, from its storyboard."""
    film = await session.get(Film, str(video_id))
    return Belonging.read(film.storyboard) if film else Belonging()
