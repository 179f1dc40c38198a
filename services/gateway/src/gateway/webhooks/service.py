"""The gateway's application layer of webhooks: who wants to be told, what is on its way to them, how it went.

A webhook is saved in the transaction of what it tells, together with the message that has it posted: a crash loses
none. It may be posted twice, under the same id.
"""

import base64
import random
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import structlog
from prometheus_client import Counter
from pydantic import JsonValue
from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute
from sqlalchemy.sql.elements import ColumnElement

from gateway.http.errors import ApiError
from gateway.internal_messages import LiveEvent, WebhookDue
from gateway.models import Video, WebhookDelivery, WebhookEndpoint
from gateway.webhooks.delivery_policy import (
    DEFAULT_TYPES,
    GIVEN_UP_AFTER_SECONDS,
    TEST,
    Answer,
    WebhookType,
    body_of,
    signed,
    type_of,
    wait_after,
)
from gateway.webhooks.webhook_sender import Courier, Parcel
from shared.persistence.database import Database, now
from shared.persistence.unit_of_work import UnitOfWork, transaction

log = structlog.get_logger()

DELIVERIES = Counter("multishot_webhook_attempts_total", "Attempts at webhooks by how they ended", ["outcome"])

MOST_PER_OWNER = 20
SECRET_BYTES = 32
OLD_SECRET_SECONDS = 24 * 3600.0
KEPT_DAYS = 30
LONGEST_PUT_OFF_SECONDS = 30.0


class EndpointNotFound(ApiError):
    """There is no such webhook endpoint."""

    http_status, problem_type, title = 404, "webhook-endpoint-not-found", "Webhook endpoint not found"

    def __init__(self, endpoint_id: UUID) -> None:
        super().__init__(f"There is no webhook endpoint {endpoint_id}.")
        self.endpoint_id = endpoint_id


class DeliveryNotFound(ApiError):
    """There is no such delivery."""

    http_status, problem_type, title = 404, "delivery-not-found", "Delivery not found"

    def __init__(self, delivery_id: UUID) -> None:
        super().__init__(f"There is no delivery {delivery_id} to this endpoint; they are kept for {KEPT_DAYS} days.")
        self.delivery_id = delivery_id


class EndpointDisabled(ApiError):
    """Nothing is sent to this webhook endpoint until it is enabled again."""

    http_status, problem_type, title = 409, "webhook-endpoint-disabled", "Webhook endpoint disabled"

    def __init__(self, endpoint_id: UUID, because: str) -> None:
        super().__init__(f"This endpoint is disabled: {because} Enable it first.")
        self.endpoint_id = endpoint_id
        self.because = because


class TooManyEndpoints(ApiError):
    """This owner has as many webhook endpoints as one may have."""

    http_status, problem_type, title = 409, "too-many-webhook-endpoints", "Too many webhook endpoints"

    def __init__(self, owner: str) -> None:
        super().__init__(f"{owner} has {MOST_PER_OWNER} webhook endpoints already, and may not have more.")
        self.owner = owner


@dataclass(frozen=True)
class EndpointChange:
    """What is to be another with an endpoint; None: it stays."""

    url: str | None = None
    types: Sequence[WebhookType] | None = None
    description: str | None = None
    enabled: bool | None = None


class Webhooks:
    """All endpoints, and what is sent to them."""

    def __init__(self, database: Database, courier: Courier, public_url: str = "") -> None:
        self.database = database
        self.courier = courier
        self.public_url = public_url

    # --- what people ask for

    async def add(
        self, owner: str, url: str, types: Sequence[WebhookType] = DEFAULT_TYPES, description: str = ""
    ) -> WebhookEndpoint:
        """Add an endpoint. It is told of what happens from now on to the videos of its owner.

        Raises:
            AddressRefused: nothing is posted to this URL.
            TooManyEndpoints: the owner has enough of them.
        """
        await self.courier.check(url)
        endpoint = WebhookEndpoint(
            endpoint_id=str(uuid.uuid4()),
            owner=owner,
            url=url,
            types=list(dict.fromkeys(types)),
            description=description,
            secret=_new_secret(),
            created_at=now(),
        )
        async with transaction(self.database) as work:
            of_owner = select(func.count()).where(WebhookEndpoint.owner == owner)
            if (await work.session.execute(of_owner)).scalar_one() >= MOST_PER_OWNER:
                raise TooManyEndpoints(owner)
            work.session.add(endpoint)
        return await self.get(UUID(endpoint.endpoint_id), owner=None)

    async def get(self, endpoint_id: UUID, *, owner: str | None) -> WebhookEndpoint:
        """One endpoint; `owner`: only theirs. Raises `EndpointNotFound`."""
        async with self.database.reading() as session:
            return await _endpoint(session, endpoint_id, owner)

    async def page(self, limit: int, after: int | None, *, owner: str | None) -> Sequence[WebhookEndpoint]:
        """Endpoints, newest first, those older than the one with the number `after`."""
        which = _older(WebhookEndpoint.id, after) + ([WebhookEndpoint.owner == owner] if owner is not None else [])
        newest = select(WebhookEndpoint).where(*which).order_by(WebhookEndpoint.id.desc()).limit(limit)
        async with self.database.reading() as session:
            return (await session.execute(newest)).scalars().all()

    async def change(self, endpoint_id: UUID, change: EndpointChange, *, owner: str | None) -> WebhookEndpoint:
        """Change an endpoint. What is on its way goes to the new URL; disabling it ends what is on its way.

        Raises:
            EndpointNotFound: there is none.
            AddressRefused: nothing is posted to this URL.
        """
        if change.url is not None:
            await self.get(endpoint_id, owner=owner)
            await self.courier.check(change.url)
        async with transaction(self.database) as work:
            endpoint = await _endpoint(work.session, endpoint_id, owner, lock=True)
            endpoint.url = change.url or endpoint.url
            endpoint.types = list(dict.fromkeys(change.types or endpoint.types))
            if change.description is not None:
                endpoint.description = change.description
            if change.enabled is False and endpoint.disabled_because is None:
                await _disable(work.session, endpoint, "Its owner wished so.")
            if change.enabled:
                endpoint.disabled_because = None
                endpoint.failing_since = None
        return await self.get(endpoint_id, owner=owner)

    async def remove(self, endpoint_id: UUID, *, owner: str | None) -> None:
        """Remove an endpoint, and all that was or is on its way to it. Raises `EndpointNotFound`."""
        async with transaction(self.database) as work:
            endpoint = await _endpoint(work.session, endpoint_id, owner, lock=True)
            of_it = WebhookDelivery.endpoint_id == endpoint.endpoint_id
            await work.session.execute(delete(WebhookDelivery).where(of_it))
            await work.session.delete(endpoint)

    async def rotate(self, endpoint_id: UUID, *, owner: str | None) -> WebhookEndpoint:
        """Give an endpoint a new secret. The one before signs along for a day. Raises `EndpointNotFound`."""
        async with transaction(self.database) as work:
            endpoint = await _endpoint(work.session, endpoint_id, owner, lock=True)
            endpoint.old_secret = endpoint.secret
            endpoint.old_secret_until = now(OLD_SECRET_SECONDS)
            endpoint.secret = _new_secret()
        return await self.get(endpoint_id, owner=owner)

    async def test(self, endpoint_id: UUID, *, owner: str | None) -> WebhookDelivery:
        """Send an endpoint a webhook that tells of nothing.

        Raises:
            EndpointNotFound: there is none.
            EndpointDisabled: nothing is sent to it.
        """
        async with transaction(self.database) as work:
            endpoint = await _endpoint(work.session, endpoint_id, owner, lock=True)
            _require_enabled(endpoint)
            data: dict[str, JsonValue] = {"endpointId": endpoint.endpoint_id, "text": "It works."}
            delivery_id = await _send(work, endpoint.endpoint_id, TEST, data)
        return await self.delivery(endpoint_id, delivery_id, owner=owner)

    async def delivery(self, endpoint_id: UUID, delivery_id: UUID, *, owner: str | None) -> WebhookDelivery:
        """One delivery. Raises `EndpointNotFound`, `DeliveryNotFound`."""
        async with self.database.reading() as session:
            endpoint = await _endpoint(session, endpoint_id, owner)
            return await _delivery(session, endpoint, delivery_id)

    async def deliveries(
        self, endpoint_id: UUID, limit: int, after: int | None, state: str | None = None, *, owner: str | None
    ) -> Sequence[WebhookDelivery]:
        """What was and is sent to an endpoint, newest first, older than number `after`. Raises `EndpointNotFound`."""
        async with self.database.reading() as session:
            endpoint = await _endpoint(session, endpoint_id, owner)
            which = [WebhookDelivery.endpoint_id == endpoint.endpoint_id, *_older(WebhookDelivery.id, after)]
            which += [WebhookDelivery.state == state] if state else []
            newest = select(WebhookDelivery).where(*which).order_by(WebhookDelivery.id.desc()).limit(limit)
            return (await session.execute(newest)).scalars().all()

    async def retry(self, endpoint_id: UUID, delivery_id: UUID, *, owner: str | None) -> WebhookDelivery:
        """Send one again, now, under its old id, be it delivered, failed or waiting.

        Raises:
            EndpointNotFound, DeliveryNotFound: there is none.
            EndpointDisabled: nothing is sent to it.
        """
        async with transaction(self.database) as work:
            endpoint = await _endpoint(work.session, endpoint_id, owner, lock=True)
            _require_enabled(endpoint)
            sent = await _delivery(work.session, endpoint, delivery_id, lock=True)
            sent.state = "pending"
            await _schedule(work, sent, 0.0)
        return await self.delivery(endpoint_id, delivery_id, owner=owner)

    # --- what happens

    async def announce(self, work: UnitOfWork, video: Video, live: LiveEvent) -> None:
        """Something happened to a video: send it to all who want to know, in the same transaction."""
        kind = type_of(live.type)
        enabled = select(WebhookEndpoint).where(
            WebhookEndpoint.owner == video.owner, WebhookEndpoint.disabled_because.is_(None)
        )
        endpoints = (await work.session.execute(enabled)).scalars().all()
        links: JsonValue = {"self": f"{self.public_url}/api/v1/videos/{video.video_id}"}
        for endpoint in endpoints:
            if kind in endpoint.types:
                data: dict[str, JsonValue] = {**live.data, "postId": video.post_id, "links": links}
                await _send(work, endpoint.endpoint_id, kind, data, video.video_id)

    async def parcel(self, due: WebhookDue) -> Parcel | None:
        """What is to be posted now; None: nothing any more."""
        signs_along = WebhookEndpoint.old_secret_until > now()
        found = (
            select(WebhookDelivery, WebhookEndpoint, signs_along)
            .join(WebhookEndpoint, WebhookEndpoint.endpoint_id == WebhookDelivery.endpoint_id)
            .where(
                WebhookDelivery.delivery_id == str(due.delivery_id),
                WebhookDelivery.turn == due.turn,
                WebhookDelivery.state == "pending",
                WebhookEndpoint.disabled_because.is_(None),
            )
        )
        async with self.database.reading() as session:
            row = (await session.execute(found)).first()
        if row is None:
            return None
        sent, endpoint, with_old = row
        keys = [endpoint.secret, *([endpoint.old_secret] if with_old and endpoint.old_secret else [])]
        headers = signed(keys, sent.delivery_id, datetime.now(UTC), sent.body)
        return Parcel(sent.delivery_id, endpoint.endpoint_id, endpoint.owner, endpoint.url, sent.body, headers)

    async def put_off(self, work: UnitOfWork, due: WebhookDue) -> None:
        """The endpoint is busy: have this one come back, the later the longer it waits already."""
        longest = min(2.0**due.put_off, LONGEST_PUT_OFF_SECONDS)
        later = due.model_copy(update={"put_off": min(due.put_off + 1, 10)})
        await work.emit(later, after=longest * random.uniform(0.5, 1.0))  # noqa: S311 - so that they spread

    async def record(self, work: UnitOfWork, due: WebhookDue, parcel: Parcel, answer: Answer) -> None:
        """Save how an attempt went, and what follows from it."""
        # The endpoint first, as everywhere: whoever disables it goes on to its deliveries.
        given_up = WebhookEndpoint.failing_since <= now(-GIVEN_UP_AFTER_SECONDS)
        which = select(WebhookEndpoint, given_up).where(WebhookEndpoint.endpoint_id == parcel.endpoint_id)
        row = (await work.session.execute(which.with_for_update())).first()
        if row is None:
            return
        endpoint, has_failed_for_long = row
        its = select(WebhookDelivery).where(WebhookDelivery.delivery_id == parcel.delivery_id).with_for_update()
        sent = (await work.session.execute(its)).scalar_one_or_none()
        if sent is None:
            return
        sent.attempts += 1
        sent.last_at = now()
        sent.last_status = answer.status
        sent.last_answer = answer.text
        if answer.is_taken:
            sent.state = "delivered"
            sent.next_at = None
            endpoint.failing_since = None
        elif answer.is_gone:
            await _disable(work.session, endpoint, "It answered 410 Gone.")
        elif sent.turn == due.turn and sent.state == "pending":
            if endpoint.failing_since is None:
                endpoint.failing_since = now()
            wait = wait_after(sent.attempts, random.random(), answer.retry_after)  # noqa: S311 - not a secret
            if wait is not None:
                await _schedule(work, sent, wait)
            else:
                sent.state = "failed"
                sent.next_at = None
                if has_failed_for_long:
                    await _disable(work.session, endpoint, "It has taken nothing for three days.")
        if sent.state != "pending":
            await _erase_of_deleted(work.session, WebhookDelivery.id == sent.id)
        outcome = (
            "delivered" if answer.is_taken else "gone" if answer.is_gone else "refused" if answer.status else "lost"
        )
        DELIVERIES.labels(outcome).inc()
        log.info("webhook.posted", outcome=outcome, status=answer.status, type=sent.type, about=sent.video_id)


def _new_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()}"


def _older(number: InstrumentedAttribute[int], after: int | None) -> list[ColumnElement[bool]]:
    return [] if after is None else [number < after]


async def _endpoint(
    session: AsyncSession, endpoint_id: UUID, owner: str | None, *, lock: bool = False
) -> WebhookEndpoint:
    query = select(WebhookEndpoint).where(WebhookEndpoint.endpoint_id == str(endpoint_id))
    if lock:
        query = query.with_for_update()
    endpoint = (await session.execute(query)).scalar_one_or_none()
    if endpoint is None or owner not in (None, endpoint.owner):
        raise EndpointNotFound(endpoint_id)
    return endpoint


async def _delivery(
    session: AsyncSession, endpoint: WebhookEndpoint, delivery_id: UUID, *, lock: bool = False
) -> WebhookDelivery:
    query = select(WebhookDelivery).where(
        WebhookDelivery.delivery_id == str(delivery_id), WebhookDelivery.endpoint_id == endpoint.endpoint_id
    )
    if lock:
        query = query.with_for_update()
    sent = (await session.execute(query)).scalar_one_or_none()
    if sent is None:
        raise DeliveryNotFound(delivery_id)
    return sent


def _require_enabled(endpoint: WebhookEndpoint) -> None:
    if endpoint.disabled_because is not None:
        raise EndpointDisabled(UUID(endpoint.endpoint_id), endpoint.disabled_because)


async def _send(
    work: UnitOfWork, endpoint_id: str, kind: str, data: dict[str, JsonValue], video_id: str | None = None
) -> UUID:
    """Save a webhook and the message that has it posted. Returns its id."""
    delivery_id = uuid.uuid4()
    sent = WebhookDelivery(
        delivery_id=str(delivery_id),
        endpoint_id=endpoint_id,
        video_id=video_id,
        type=kind,
        body=body_of(kind, datetime.now(UTC), data),
        turn=0,
        created_at=now(),
    )
    work.session.add(sent)
    await _schedule(work, sent, 0.0)
    return delivery_id


async def _schedule(work: UnitOfWork, sent: WebhookDelivery, wait: float) -> None:
    """Have it posted after so many seconds, and not by any message that is on its way already."""
    sent.turn += 1
    sent.next_at = now(wait)
    await work.session.flush()
    await work.emit(WebhookDue(delivery_id=UUID(sent.delivery_id), turn=sent.turn), after=wait)


async def _erase_of_deleted(session: AsyncSession, *which: ColumnElement[bool]) -> None:
    """Drop deliveries of deleted videos that are done: their bodies hold text. What is on its way still arrives."""
    deleted = select(Video.video_id).where(Video.deleted_at.is_not(None))
    done = (WebhookDelivery.state != "pending", WebhookDelivery.video_id.in_(deleted), *which)
    await session.execute(delete(WebhookDelivery).where(*done))


async def _disable(session: AsyncSession, endpoint: WebhookEndpoint, because: str) -> None:
    """Send nothing more to an endpoint, what is on its way included."""
    endpoint.disabled_because = because
    await session.flush()
    under_way = (WebhookDelivery.endpoint_id == endpoint.endpoint_id, WebhookDelivery.state == "pending")
    ended = update(WebhookDelivery).where(*under_way).values(state="failed", next_at=None)
    await session.execute(ended.execution_options(synchronize_session=False))
