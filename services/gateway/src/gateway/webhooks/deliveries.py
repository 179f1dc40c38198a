"""Webhook deliveries: recorded with the event they report, sent until they succeed or are given up.

A delivery and the message that sends it are saved in the transaction of their event, so a crash loses none. A delivery
may be sent twice, under the same id.
"""

import random
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import structlog
from prometheus_client import Counter
from pydantic import JsonValue
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.elements import ColumnElement

from gateway.http.errors import ApiError
from gateway.internal_messages import LiveEvent, WebhookDue
from gateway.models import Video, WebhookDelivery, WebhookEndpoint
from gateway.webhooks.delivery_policy import (
    DISABLE_AFTER_SECONDS,
    TEST_TYPE,
    EndpointResponse,
    body_of,
    retry_delay,
    sign,
    type_of,
)
from gateway.webhooks.endpoints import disable_endpoint, find_endpoint, require_enabled
from gateway.webhooks.webhook_sender import WebhookRequest, WebhookSender
from shared.persistence.database import Database, now
from shared.persistence.unit_of_work import UnitOfWork, transaction

log = structlog.get_logger()

ATTEMPTS = Counter("multishot_webhook_attempts_total", "Webhook delivery attempts by outcome", ["outcome"])

KEPT_DAYS = 30
MAX_DEFERRAL_SECONDS = 30.0


class DeliveryNotFound(ApiError):
    """The endpoint has no such delivery."""

    http_status, problem_type, title = 404, "delivery-not-found", "Delivery not found"

    def __init__(self, delivery_id: UUID) -> None:
        super().__init__(f"Delivery {delivery_id} not found. Deliveries are kept for {KEPT_DAYS} days.")
        self.delivery_id = delivery_id


class WebhookDeliveries:
    """Record, send and list webhook deliveries."""

    def __init__(self, database: Database, sender: WebhookSender, public_url: str = "") -> None:
        self.database = database
        self.sender = sender
        self.public_url = public_url

    # --- what callers of the API do

    async def test(self, endpoint_id: UUID, *, owner: str | None) -> WebhookDelivery:
        """Send a test webhook to an endpoint.

        Raises:
            EndpointNotFound: there is no such endpoint.
            EndpointDisabled: the endpoint is disabled.
        """
        async with transaction(self.database) as work:
            endpoint = await find_endpoint(work.session, endpoint_id, owner, lock=True)
            require_enabled(endpoint)
            data: dict[str, JsonValue] = {"endpointId": endpoint.endpoint_id, "text": "It works."}
            delivery_id = await _add(work, endpoint.endpoint_id, TEST_TYPE, data)
        return await self.get(endpoint_id, delivery_id, owner=owner)

    async def get(self, endpoint_id: UUID, delivery_id: UUID, *, owner: str | None) -> WebhookDelivery:
        """Return one delivery. Raises `EndpointNotFound`, `DeliveryNotFound`."""
        async with self.database.reading() as session:
            endpoint = await find_endpoint(session, endpoint_id, owner)
            return await _find(session, endpoint, delivery_id)

    async def page(
        self, endpoint_id: UUID, limit: int, after: int | None, state: str | None = None, *, owner: str | None
    ) -> Sequence[WebhookDelivery]:
        """Return deliveries of an endpoint, newest first, with ids below `after`. Raises `EndpointNotFound`."""
        async with self.database.reading() as session:
            endpoint = await find_endpoint(session, endpoint_id, owner)
            which = [WebhookDelivery.endpoint_id == endpoint.endpoint_id]
            which += [WebhookDelivery.id < after] if after is not None else []
            which += [WebhookDelivery.state == state] if state else []
            newest = select(WebhookDelivery).where(*which).order_by(WebhookDelivery.id.desc()).limit(limit)
            return (await session.execute(newest)).scalars().all()

    async def retry(self, endpoint_id: UUID, delivery_id: UUID, *, owner: str | None) -> WebhookDelivery:
        """Send a delivery again now, under its old id, whatever its state.

        Raises:
            EndpointNotFound, DeliveryNotFound: there is no such endpoint or delivery.
            EndpointDisabled: the endpoint is disabled.
        """
        async with transaction(self.database) as work:
            endpoint = await find_endpoint(work.session, endpoint_id, owner, lock=True)
            require_enabled(endpoint)
            delivery = await _find(work.session, endpoint, delivery_id, lock=True)
            delivery.state = "pending"
            await _schedule(work, delivery, 0.0)
        return await self.get(endpoint_id, delivery_id, owner=owner)

    # --- what events and messages do

    async def announce(self, work: UnitOfWork, video: Video, live: LiveEvent) -> None:
        """Add a delivery for each endpoint subscribed to an event, in the transaction of the event."""
        kind = type_of(live.type)
        enabled = select(WebhookEndpoint).where(
            WebhookEndpoint.owner == video.owner, WebhookEndpoint.disabled_because.is_(None)
        )
        endpoints = (await work.session.execute(enabled)).scalars().all()
        links: JsonValue = {"self": f"{self.public_url}/api/v1/videos/{video.video_id}"}
        for endpoint in endpoints:
            if kind in endpoint.types:
                data: dict[str, JsonValue] = {**live.data, "postId": video.post_id, "links": links}
                await _add(work, endpoint.endpoint_id, kind, data, video.video_id)

    async def prepare(self, due: WebhookDue) -> WebhookRequest | None:
        """Return the request to send now; None if the message is out of date."""
        old_secret_is_valid = WebhookEndpoint.old_secret_until > now()
        found = (
            select(WebhookDelivery, WebhookEndpoint, old_secret_is_valid)
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
        delivery, endpoint, with_old = row
        secrets = [endpoint.secret, *([endpoint.old_secret] if with_old and endpoint.old_secret else [])]
        headers = sign(secrets, delivery.delivery_id, datetime.now(UTC), delivery.body)
        return WebhookRequest(
            delivery.delivery_id, endpoint.endpoint_id, endpoint.owner, endpoint.url, delivery.body, headers
        )

    async def defer(self, work: UnitOfWork, due: WebhookDue) -> None:
        """Try again later because the endpoint is busy; the delay doubles with each deferral."""
        longest = min(2.0**due.deferrals, MAX_DEFERRAL_SECONDS)
        later = due.model_copy(update={"deferrals": min(due.deferrals + 1, 10)})
        await work.emit(later, after=longest * random.uniform(0.5, 1.0))  # noqa: S311 - jitter

    async def record(
        self, work: UnitOfWork, due: WebhookDue, request: WebhookRequest, response: EndpointResponse
    ) -> None:
        """Save the outcome of an attempt, and schedule the next one if it failed."""
        # Lock the endpoint before its delivery, as everywhere: disabling an endpoint goes on to its deliveries.
        is_overdue = WebhookEndpoint.failing_since <= now(-DISABLE_AFTER_SECONDS)
        which = select(WebhookEndpoint, is_overdue).where(WebhookEndpoint.endpoint_id == request.endpoint_id)
        row = (await work.session.execute(which.with_for_update())).first()
        if row is None:
            return
        endpoint, has_failed_for_long = row
        query = select(WebhookDelivery).where(WebhookDelivery.delivery_id == request.delivery_id).with_for_update()
        delivery = (await work.session.execute(query)).scalar_one_or_none()
        if delivery is None:
            return
        delivery.attempts += 1
        delivery.last_at = now()
        delivery.last_status = response.status
        delivery.last_answer = response.text
        if response.is_success:
            delivery.state = "delivered"
            delivery.next_at = None
            endpoint.failing_since = None
        elif response.is_gone:
            await disable_endpoint(work.session, endpoint, "It returned 410 Gone.")
        elif delivery.turn == due.turn and delivery.state == "pending":
            if endpoint.failing_since is None:
                endpoint.failing_since = now()
            delay = retry_delay(delivery.attempts, random.random(), response.retry_after)  # noqa: S311 - not a secret
            if delay is not None:
                await _schedule(work, delivery, delay)
            else:
                delivery.state = "failed"
                delivery.next_at = None
                if has_failed_for_long:
                    await disable_endpoint(work.session, endpoint, "All deliveries failed for three days.")
        if delivery.state != "pending":
            await _erase_of_deleted_videos(work.session, WebhookDelivery.id == delivery.id)
        ATTEMPTS.labels(response.outcome).inc()
        log.info(
            "webhook.attempted",
            outcome=response.outcome,
            status=response.status,
            type=delivery.type,
            about=delivery.video_id,
        )


async def _find(
    session: AsyncSession, endpoint: WebhookEndpoint, delivery_id: UUID, *, lock: bool = False
) -> WebhookDelivery:
    query = select(WebhookDelivery).where(
        WebhookDelivery.delivery_id == str(delivery_id), WebhookDelivery.endpoint_id == endpoint.endpoint_id
    )
    if lock:
        query = query.with_for_update()
    delivery = (await session.execute(query)).scalar_one_or_none()
    if delivery is None:
        raise DeliveryNotFound(delivery_id)
    return delivery


async def _add(
    work: UnitOfWork, endpoint_id: str, kind: str, data: dict[str, JsonValue], video_id: str | None = None
) -> UUID:
    """Save a delivery and the message that sends it; return the id of the delivery."""
    delivery_id = uuid.uuid4()
    delivery = WebhookDelivery(
        delivery_id=str(delivery_id),
        endpoint_id=endpoint_id,
        video_id=video_id,
        type=kind,
        body=body_of(kind, datetime.now(UTC), data),
        turn=0,
        created_at=now(),
    )
    work.session.add(delivery)
    await _schedule(work, delivery, 0.0)
    return delivery_id


async def _schedule(work: UnitOfWork, delivery: WebhookDelivery, delay: float) -> None:
    """Send a delivery after `delay` seconds. The new `turn` makes earlier messages for it out of date."""
    delivery.turn += 1
    delivery.next_at = now(delay)
    await work.session.flush()
    await work.emit(WebhookDue(delivery_id=UUID(delivery.delivery_id), turn=delivery.turn), after=delay)


async def _erase_of_deleted_videos(session: AsyncSession, *which: ColumnElement[bool]) -> None:
    """Delete finished deliveries of deleted videos, because their bodies hold text. Pending ones are still sent."""
    deleted = select(Video.video_id).where(Video.deleted_at.is_not(None))
    done = (WebhookDelivery.state != "pending", WebhookDelivery.video_id.in_(deleted), *which)
    await session.execute(delete(WebhookDelivery).where(*done))
