"""What `doctor` compares in the gateway: videos with their films, events, money and webhooks."""

from collections.abc import AsyncIterator, Sequence
from decimal import Decimal
from functools import partial
from uuid import UUID

from sqlalchemy import ColumnElement, func, not_, or_, select
from sqlalchemy.sql.elements import SQLCoreOperations
from sqlalchemy.sql.functions import coalesce

from gateway.eta.video_progress import AWAITING_STEPS
from gateway.internal_messages import WebhookDue
from gateway.models import Charge, Storyboard, Video, VideoEvent, WebhookDelivery, outbox
from gateway.videos.expiry import Expiry
from gateway.videos.status import TERMINAL_STATUSES
from shared.consistency import Check, Examined, Finding, found
from shared.contracts.media import FILM_NAME, THUMBNAIL_NAME, VIDEOS_PREFIX, MediaReference
from shared.messaging.event_router import consumer_of
from shared.persistence.database import Database, now
from shared.persistence.unit_of_work import transaction

SILENT_SECONDS = 6 * 3600.0
"""Rendering at a busy provider may take hours without an event; a video without one for this long is stuck."""
POSTED_SECONDS = 3600.0
"""A webhook message that is retried, or waits for its endpoint, takes less."""
TOLERANCE_USD = 0.00005
"""SQLite adds fractions as floats."""


def checks(expiry: Expiry) -> tuple[Check, ...]:
    """Return the gateway's checks."""
    return (
        Check("films", _films),
        Check("when films expire", partial(_expiry, expiry)),
        Check("the event log", _events),
        Check("the money of videos", _money),
        Check("webhooks", _webhooks),
        Check("unfinished videos", _unfinished),
    )


async def _films(examined: Examined) -> AsyncIterator[Finding]:
    if examined.storage is None:
        return
    is_there = (Video.status == "completed", Video.deleted_at.is_(None))
    async with examined.database.reading() as session:
        rows = (await session.execute(select(Video.video_id, Video.film, Video.thumbnail).where(*is_there))).all()
    sizes = {
        one.key: one.size
        async for one in examined.storage.objects(VIDEOS_PREFIX)
        if one.key.endswith((f"/{FILM_NAME}", f"/{THUMBNAIL_NAME}"))
    }
    lost = []
    for row in rows:
        references = [MediaReference.model_validate(one) for one in (row.film, row.thumbnail) if one]
        if any(sizes.get(reference.key) != reference.size for reference in references):
            lost.append(row.video_id)
    # Some may have expired or been deleted meanwhile.
    lost = await _still(examined.database, lost, *is_there)
    what = "completed videos whose film or thumbnail is missing from the storage, or has another size"
    todo = "restore the objects from a backup, or delete these videos and request them again"
    for finding in found(what, lost, todo):
        yield finding


async def _expiry(expiry: Expiry, examined: Examined) -> AsyncIterator[Finding]:
    undated = (
        Video.status == "completed",
        Video.deleted_at.is_(None),
        Video.request_hash.is_not(None),
        not_(Video.kept),
        Video.expires_at.is_(None),
    )
    video_ids = await _ids(examined.database, *undated)
    todo = f"let them expire {expiry.days} days from now"
    fix = partial(expiry.date, examined.database, video_ids)
    for finding in found("completed videos that neither expire nor are kept", video_ids, todo, fix):
        yield finding


async def _events(examined: Examined) -> AsyncIterator[Finding]:
    last = select(func.max(VideoEvent.seq)).where(VideoEvent.video_id == Video.video_id).scalar_subquery()
    differs = await _ids(examined.database, Video.deleted_at.is_(None), Video.last_seq != coalesce(last, 0))
    todo = "clients that reconnect miss these events; GET /api/v1/videos/<id> shows the state"
    for finding in found("videos whose event log does not end with their last event", differs, todo):
        yield finding


async def _money(examined: Examined) -> AsyncIterator[Finding]:
    booked, held = (
        select(func.sum(column)).where(Charge.video_id == Video.video_id).scalar_subquery()
        for column in (Charge.booked_usd, Charge.held_usd)
    )
    wrong = or_(_differ(Video.cost_usd, coalesce(booked, 0)), _differ(Video.held_usd, coalesce(held, 0)))
    todo = "compare their charges (GET /api/v1/charges?videoId=...) with the provider's bill"
    for finding in found(
        "videos whose cost is not the sum of their charges", await _ids(examined.database, wrong), todo
    ):
        yield finding
    ended = (Video.status.in_(TERMINAL_STATUSES), Video.budget_day != "")
    wrong = _differ(Video.reserved_usd, Video.cost_usd + Video.held_usd)
    todo = "budgets of that day count too much or too little until the day is over"
    what = "ended videos that take another amount from the budgets than they cost"
    for finding in found(what, await _ids(examined.database, *ended, wrong), todo):
        yield finding


def _differ(one: SQLCoreOperations[Decimal], other: SQLCoreOperations[Decimal]) -> ColumnElement[bool]:
    return func.abs(one - other) > TOLERANCE_USD


async def _webhooks(examined: Examined) -> AsyncIterator[Finding]:
    if not examined.is_queue_empty(consumer_of("gateway", WebhookDue)):
        return
    sent = select(outbox.c.id).where(
        outbox.c.name == WebhookDue.name, outbox.c.ordering_key == WebhookDelivery.delivery_id
    )
    lost = (WebhookDelivery.state == "pending", WebhookDelivery.next_at < now(-POSTED_SECONDS), not_(sent.exists()))
    async with examined.database.reading() as session:
        ids = (await session.scalars(select(WebhookDelivery.delivery_id).where(*lost))).all()
    fix = partial(_post_again, examined.database, ids)
    for finding in found("webhooks due for more than an hour that no message posts", ids, "post them now", fix):
        yield finding


async def _post_again(database: Database, delivery_ids: Sequence[str]) -> int:
    """Post them as their next turn: a message that turns up after all is out of date."""
    posted = 0
    for delivery_id in delivery_ids:
        async with transaction(database) as work:
            its = select(WebhookDelivery).where(WebhookDelivery.delivery_id == delivery_id).with_for_update()
            row = (await work.session.scalars(its)).one_or_none()
            if row is not None and row.state == "pending":
                row.turn, row.next_at = row.turn + 1, now()
                await work.emit(WebhookDue(delivery_id=UUID(delivery_id), turn=row.turn))
                posted += 1
    return posted


async def _unfinished(examined: Examined) -> AsyncIterator[Finding]:
    if not examined.is_running:
        return
    hours = f"{SILENT_SECONDS / 3600:.0f} hours"
    spoke = select(VideoEvent.seq).where(
        VideoEvent.video_id == Video.video_id, VideoEvent.created_at >= now(-SILENT_SECONDS)
    )
    silent = await _ids(
        examined.database,
        Video.status.in_(("pending", "processing")),
        Video.current_step.not_in(AWAITING_STEPS),
        Video.request_hash.is_not(None),
        Video.created_at < now(-SILENT_SECONDS),
        not_(spoke.exists()),
    )
    todo = "look at dead letters and at what doctor says of the other services; cancel them if nothing helps"
    for finding in found(f"videos without an event for {hours}", silent, todo):
        yield finding
    async with examined.database.reading() as session:
        waiting = (Storyboard.state == "pending", Storyboard.created_at < now(-SILENT_SECONDS))
        ids = (await session.scalars(select(Storyboard.storyboard_id).where(*waiting))).all()
    for finding in found(f"storyboards that are not written after {hours}", ids, "look at dead letters of storyboard"):
        yield finding


async def _ids(database: Database, *which: ColumnElement[bool]) -> list[str]:
    async with database.reading() as session:
        return list((await session.scalars(select(Video.video_id).where(*which).order_by(Video.id))).all())


async def _still(database: Database, video_ids: Sequence[str], *which: ColumnElement[bool]) -> list[str]:
    return [one for one in video_ids if await _ids(database, Video.video_id == one, *which)]
