"""The checks of `doctor` in the scene-render service: slots, money, scenes and clips against attempts."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

from botocore.exceptions import ClientError
from sqlalchemy import ColumnElement, and_, func, not_, select

from scene_render.internal_messages import ClipReady
from scene_render.models import Attempt, CancelledVideo, ProviderSlot, ProviderState, Render, Spend, budgets, outbox
from scene_render.scenes.scene_state import has_stopped, needs
from shared.consistency import Check, Examined, Finding, found
from shared.contracts.media import CLIP_NAME, VIDEOS_PREFIX, Clip
from shared.messaging.event_router import consumer_of
from shared.money.budget import ALL, SIMULATED
from shared.money.prices import UNIT
from shared.persistence.database import Database, now
from shared.persistence.unit_of_work import transaction
from shared.storage.base import Storage
from shared.storage.bucket_lifecycle import add_rules, missing_rules
from shared.storage.s3 import S3Storage

OVERDUE_SECONDS = 600.0
COLLECTED_SECONDS = 2 * 3600.0
"""Fetching a clip, with all retries, takes less."""
YOUNGEST = timedelta(hours=1)
BATCH = 500
CANNOT_READ_RULES = ("AccessDenied", "NotImplemented", "MethodNotAllowed")
"""Not every server has lifecycle rules, and a service needs no right to read them."""
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")


async def _slots(examined: Examined) -> AsyncIterator[Finding]:
    async with examined.database.reading() as session:
        held = list((await session.scalars(select(ProviderSlot.attempt_id).where(_is_leaked()))).all())
    fix = partial(_free, examined.database)
    for finding in found("provider slots held by attempts that have ended or do not exist", held, "free them", fix):
        yield finding


def _is_leaked() -> ColumnElement[bool]:
    alive = select(Attempt.id).where(Attempt.id == ProviderSlot.attempt_id, Attempt.state.not_in(ENDED))
    return and_(ProviderSlot.attempt_id.is_not(None), not_(alive.exists()))


async def _free(database: Database) -> int:
    """Free leaked slots. An attempt ends and frees its slot in one transaction, so a slot held later is leaked."""
    async with transaction(database) as work:
        query = select(ProviderSlot).where(_is_leaked()).with_for_update()
        rows = (await work.session.scalars(query)).all()
        for row in rows:
            row.attempt_id = None
    return len(rows)


async def _money(examined: Examined) -> AsyncIterator[Finding]:
    alive = select(Attempt.id).where(Attempt.id == Spend.attempt_id, Attempt.state.not_in(ENDED))
    lost = select(Spend.attempt_id).where(Spend.reserved_usd > 0, not_(alive.exists()))
    unknown = select(Attempt.id).where(Attempt.state == "UNKNOWN").order_by(Attempt.intended_at)
    by_day = select(Spend.day, Spend.simulated, func.sum(Spend.reserved_usd), func.sum(Spend.booked_usd))
    async with examined.database.reading() as session:
        reserved = (await session.scalars(lost)).all()
        unsettled = (await session.scalars(unknown)).all()
        used = (await session.execute(select(budgets).where(budgets.c.scope.in_((ALL, SIMULATED + ALL))))).all()
        totals = (await session.execute(by_day.group_by(Spend.day, Spend.simulated))).all()
    todo = "compare with the provider's bill; the money counts as spent until then"
    for finding in found("reservations of attempts that have ended or do not exist", reserved, todo):
        yield finding
    todo = "settle them (POST /api/v1/charges/<attemptId>/settle) once the provider's account shows what they cost"
    for finding in found("attempts that may have been paid without an answer", unsettled, todo):
        yield finding
    spent = {
        (SIMULATED + ALL if simulated else ALL, day): round((float(held) + float(booked)) / float(UNIT))
        for day, simulated, held, booked in totals
    }
    wrong = [f"{row.scope} {row.day}" for row in used if row.used != spent.get((row.scope, row.day), 0)]
    todo = "compare the attempts of these days with the provider's bill"
    for finding in found("daily budgets that differ from what attempts reserved and cost", wrong, todo):
        yield finding


async def _schedule(examined: Examined) -> AsyncIterator[Finding]:
    if not examined.is_running:
        return
    overdue = now(-OVERDUE_SECONDS)
    free = select(ProviderSlot.number).where(
        ProviderSlot.provider == Render.provider, ProviderSlot.attempt_id.is_(None)
    )
    paused = select(ProviderState.provider).where(
        ProviderState.provider == Render.provider, ProviderState.open_until > overdue
    )
    waiting = (Render.state == "waiting", Render.available_at < overdue, free.exists(), not_(paused.exists()))
    checks = select(Attempt.id).where(Attempt.next_check_at < overdue).order_by(Attempt.next_check_at)
    async with examined.database.reading() as session:
        idle = (await session.scalars(select(Render).where(*waiting).order_by(Render.available_at))).all()
        unchecked = (await session.scalars(checks)).all()
    minutes = f"{OVERDUE_SECONDS / 60:.0f} minutes"
    todo = "start scene-render; its log says what its schedulers lack"
    what = f"scenes that have waited for more than {minutes} while a slot is free"
    for finding in found(what, [_name(render) for render in idle], todo):
        yield finding
    for finding in found(f"attempts whose check is overdue by more than {minutes}", unchecked, todo):
        yield finding


async def _scenes(examined: Examined) -> AsyncIterator[Finding]:
    uncollected: list[Attempt] = []
    queue_is_empty = examined.is_queue_empty(consumer_of("scene-render", ClipReady))
    async with examined.database.reading() as session:
        running = (await session.scalars(select(Render).where(Render.state == "running"))).all()
        stopped = [_name(render) for render in running if await has_stopped(session, render)]
        sent = select(outbox.c.id).where(outbox.c.name == ClipReady.name, outbox.c.ordering_key == Attempt.id)
        waiting = (Attempt.state == "SUCCEEDED", Attempt.ended_at < now(-COLLECTED_SECONDS), not_(sent.exists()))
        its_render = and_(Render.video_id == Attempt.video_id, Render.scene_number == Attempt.scene_number)
        rows = select(Attempt, Render).join(Render, its_render).where(*waiting, Render.state == "running")
        if queue_is_empty:
            uncollected = [one for one, render in (await session.execute(rows)).all() if needs(render, one)]
    todo = "delete these videos and request them again; nothing is ordered by itself"
    for finding in found("running scenes that no attempt can complete", stopped, todo):
        yield finding
    names = [f"{one.video_id} scene {one.scene_number}" for one in uncollected]
    fix = partial(_collect, examined.database, uncollected)
    what = "clips that their provider finished over 2 hours ago and that no message fetches"
    for finding in found(what, names, "fetch them", fix):
        yield finding


async def _collect(database: Database, attempts: Sequence[Attempt]) -> int:
    """Fetch clips again. That is idempotent, and a clip that is not needed changes nothing."""
    for one in attempts:
        async with transaction(database) as work:
            await work.emit(ClipReady(video_id=UUID(one.video_id), attempt_id=UUID(one.id)))
    return len(attempts)


async def _clips(examined: Examined) -> AsyncIterator[Finding]:
    if (storage := examined.storage) is None:
        return
    cancelled = select(CancelledVideo.video_id).where(CancelledVideo.video_id == Render.video_id)
    async with examined.database.reading() as session:
        rendered = (
            await session.scalars(select(Render).where(Render.state == "rendered", not_(cancelled.exists())))
        ).all()
    youngest = datetime.now(UTC) - YOUNGEST
    stored: set[str] = set()
    old: dict[str, list[str]] = {}
    async for one in storage.objects(VIDEOS_PREFIX):
        _, video_id, *name = one.key.split("/")
        if len(name) == 1 and name[0].startswith(CLIP_NAME):
            stored.add(one.key)
            if one.stored_at < youngest:
                old.setdefault(video_id, []).append(one.key)
    lost = [
        _name(render) for render in rendered if render.clip and Clip.model_validate(render.clip).media.key not in stored
    ]
    todo = "restore the objects from a backup; films that are composed already do not need them"
    for finding in found("rendered scenes whose clip is missing from the storage", lost, todo):
        yield finding
    unwanted, unknown = [], []
    video_ids = list(old)
    for batch in (video_ids[at : at + BATCH] for at in range(0, len(video_ids), BATCH)):
        async with examined.database.reading() as session:
            rows = (await session.scalars(select(Render).where(Render.video_id.in_(batch)))).all()
        by_video: dict[str, list[Render]] = {}
        for row in rows:
            by_video.setdefault(row.video_id, []).append(row)
        unknown += sorted(set(batch) - set(by_video))
        unwanted += [key for video_id, scenes in by_video.items() if _has_expired(scenes) for key in old[video_id]]
    fix = partial(_remove, storage, unwanted)
    for finding in found("clips of expired videos that are still stored", unwanted, "remove them", fix):
        yield finding
    todo = "if no other deployment uses this bucket and no rows were lost, remove them by hand"
    for finding in found("stored clips of videos that scene-render does not know", unknown, todo):
        yield finding


def _has_expired(scenes: Sequence[Render]) -> bool:
    """Return whether a video's clips were removed when its film expired: rendered scenes have none."""
    return all(scene.state == "rendered" and scene.clip is None for scene in scenes)


async def _remove(storage: Storage, keys: Sequence[str]) -> int:
    for key in keys:
        await storage.delete(key)
    return len(keys)


async def _bucket(examined: Examined) -> AsyncIterator[Finding]:
    if not isinstance(storage := examined.storage, S3Storage):
        return
    try:
        missing = await missing_rules(storage)
    except ClientError as error:
        if error.response["Error"]["Code"] in CANNOT_READ_RULES:
            return
        raise
    fix = partial(add_rules, storage, missing)
    for finding in found("lifecycle rules missing from the bucket", [rule["ID"] for rule in missing], "set them", fix):
        yield finding


def _name(render: Render) -> str:
    return f"{render.video_id} scene {render.scene_number}"


CHECKS = (
    Check("slots", _slots),
    Check("the money of attempts", _money),
    Check("the schedule", _schedule),
    Check("scenes", _scenes),
    Check("stored clips", _clips),
    Check("the bucket's lifecycle rules", _bucket),
)
