"""The checks of `doctor` in the composer: stalled films and unreferenced objects."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

from sqlalchemy import ColumnElement, func, not_, select

from composer.internal_messages import ClipsCollected, PartDue
from composer.models import Film, FilmClip, outbox
from composer.workflow.streams import is_gone
from shared.consistency import Check, Examined, Finding, found
from shared.contracts.media import (
    FILM_NAME,
    FILM_PARTS,
    PREVIEWS_NAME,
    STREAM_NAME,
    THUMBNAIL_NAME,
    VIDEOS_PREFIX,
    stream_prefix,
)
from shared.messaging.event_router import consumer_of
from shared.persistence.database import Database, now
from shared.persistence.unit_of_work import transaction
from shared.storage.base import Storage

BEGUN_SECONDS = 2 * 3600.0
"""Longer than composing with all retries takes."""
YOUNGEST = timedelta(hours=1)
BATCH = 500


async def _composing(examined: Examined) -> AsyncIterator[Finding]:
    messages = (PartDue, ClipsCollected)
    if not all(examined.is_queue_empty(consumer_of("composer", message)) for message in messages):
        return
    names = [message.name for message in messages]
    sent = select(outbox.c.id).where(outbox.c.name.in_(names), outbox.c.ordering_key == Film.video_id)
    lost = (Film.state == "composing", Film.begun_at < now(-BEGUN_SECONDS), not_(sent.exists()))
    video_ids = await _ids(examined.database, *lost)
    what = f"films begun over {BEGUN_SECONDS / 3600:.0f} hours ago whose composing no message continues"
    fix = partial(_compose, examined.database, video_ids)
    for finding in found(what, video_ids, "compose them again", fix):
        yield finding


async def _compose(database: Database, video_ids: Sequence[str]) -> int:
    """Composing makes what is missing, and a second message for a composed film changes nothing."""
    for video_id in video_ids:
        async with transaction(database) as work:
            await work.emit(ClipsCollected(video_id=UUID(video_id)))
    return len(video_ids)


async def _gathering(examined: Examined) -> AsyncIterator[Finding]:
    clips = select(func.count()).where(FilmClip.video_id == Film.video_id).scalar_subquery()
    waiting = (Film.state == "gathering", Film.storyboard.is_not(None), clips > 0)
    whole = []
    async with examined.database.reading() as session:
        for film in (await session.scalars(select(Film).where(*waiting))).all():
            present = select(FilmClip.scene_number).where(FilmClip.video_id == film.video_id)
            wanted = {scene["sceneNumber"] for scene in (film.storyboard or {}).get("scenes", ())}
            if wanted and wanted <= set((await session.scalars(present)).all()):
                whole.append(film.video_id)
    fix = partial(_compose, examined.database, whole)
    for finding in found("films whose clips are all there but which are not composed", whole, "compose them", fix):
        yield finding


async def _objects(examined: Examined) -> AsyncIterator[Finding]:
    storage = examined.storage
    if storage is None:
        return
    youngest = datetime.now(UTC) - YOUNGEST
    by_video: dict[str, list[str]] = {}
    async for one in storage.objects(VIDEOS_PREFIX):
        _, video_id, *name = one.key.split("/")
        if name[0] in (FILM_NAME, THUMBNAIL_NAME, FILM_PARTS, STREAM_NAME, PREVIEWS_NAME) and one.stored_at < youngest:
            by_video.setdefault(video_id, []).append(one.key)
    unwanted, unknown = [], []
    stored = list(by_video)
    for batch in (stored[at : at + BATCH] for at in range(0, len(stored), BATCH)):
        async with examined.database.reading() as session:
            rows = (await session.scalars(select(Film).where(Film.video_id.in_(batch)))).all()
        unwanted += [key for row in rows for key in by_video[row.video_id] if _is_unwanted(key, row)]
        unknown += sorted(set(batch) - {row.video_id for row in rows})
    fix = partial(_remove, storage, unwanted)
    what = "films, streams, thumbnails and parts of deleted, expired or cancelled videos that are still stored"
    for finding in found(what, unwanted, "remove them", fix):
        yield finding
    todo = "if no other deployment uses this bucket and no rows were lost, remove them by hand"
    for finding in found("stored films of videos that the composer does not know", unknown, todo):
        yield finding


async def _remove(storage: Storage, keys: Sequence[str]) -> int:
    for key in keys:
        await storage.delete(key)
    return len(keys)


def _is_unwanted(key: str, row: Film) -> bool:
    """Return whether an object belongs to a film that is permanently unavailable."""
    if row.state == "cancelled" and row.storyboard is not None:
        # It was not deleted: what there is of its stream can be watched.
        return not key.startswith(stream_prefix(row.video_id))
    return is_gone(row)


async def _ids(database: Database, *which: ColumnElement[bool]) -> list[str]:
    async with database.reading() as session:
        return list((await session.scalars(select(Film.video_id).where(*which).order_by(Film.begun_at))).all())


CHECKS = (
    Check("films that are composed", _composing),
    Check("films that wait for clips", _gathering),
    Check("stored films", _objects),
)
