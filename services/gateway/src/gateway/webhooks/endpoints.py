"""Webhook endpoints: their addresses, event types and secrets."""

import base64
import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.http.errors import ApiError
from gateway.models import WebhookDelivery, WebhookEndpoint
from gateway.webhooks.delivery_policy import DEFAULT_TYPES, WebhookType
from gateway.webhooks.webhook_sender import WebhookSender
from shared.persistence.database import Database, now
from shared.persistence.unit_of_work import transaction

MAX_PER_OWNER = 20
SECRET_BYTES = 32
OLD_SECRET_SECONDS = 24 * 3600.0


class EndpointNotFound(ApiError):
    """The webhook endpoint does not exist, or the caller may not see it."""

    http_status, problem_type, title = 404, "webhook-endpoint-not-found", "Webhook endpoint not found"

    def __init__(self, endpoint_id: UUID) -> None:
        super().__init__(f"Webhook endpoint {endpoint_id} not found.")
        self.endpoint_id = endpoint_id


class EndpointDisabled(ApiError):
    """The webhook endpoint receives nothing until it is enabled again."""

    http_status, problem_type, title = 409, "webhook-endpoint-disabled", "Webhook endpoint disabled"

    def __init__(self, endpoint_id: UUID, because: str) -> None:
        super().__init__(f"This webhook endpoint is disabled: {because} Enable it and try again.")
        self.endpoint_id = endpoint_id
        self.because = because


class TooManyEndpoints(ApiError):
    """The owner has reached the maximum number of webhook endpoints."""

    http_status, problem_type, title = 409, "too-many-webhook-endpoints", "Too many webhook endpoints"

    def __init__(self, owner: str) -> None:
        super().__init__(f"{owner} already has {MAX_PER_OWNER} webhook endpoints, the maximum. Remove one first.")
        self.owner = owner


@dataclass(frozen=True)
class EndpointChange:
    """New values for an endpoint; None leaves a value as it is."""

    url: str | None = None
    types: Sequence[WebhookType] | None = None
    description: str | None = None
    enabled: bool | None = None


class WebhookEndpoints:
    """Manage webhook endpoints."""

    def __init__(self, database: Database, sender: WebhookSender) -> None:
        self.database = database
        self.sender = sender

    async def add(
        self, owner: str, url: str, types: Sequence[WebhookType] = DEFAULT_TYPES, description: str = ""
    ) -> WebhookEndpoint:
        """Add an endpoint for future events of its owner's videos.

        Raises:
            AddressRefused: webhooks may not be sent to this URL.
            TooManyEndpoints: the owner has `MAX_PER_OWNER` already.
        """
        await self.sender.check(url)
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
            if (await work.session.execute(of_owner)).scalar_one() >= MAX_PER_OWNER:
                raise TooManyEndpoints(owner)
            work.session.add(endpoint)
        return await self.get(UUID(endpoint.endpoint_id), owner=None)

    async def get(self, endpoint_id: UUID, *, owner: str | None) -> WebhookEndpoint:
        """Return one endpoint; `owner` restricts to theirs. Raises `EndpointNotFound`."""
        async with self.database.reading() as session:
            return await find_endpoint(session, endpoint_id, owner)

    async def page(self, limit: int, after: int | None, *, owner: str | None) -> Sequence[WebhookEndpoint]:
        """Return endpoints, newest first, with ids below `after`; `owner` restricts to theirs."""
        which = [WebhookEndpoint.id < after] if after is not None else []
        which += [WebhookEndpoint.owner == owner] if owner is not None else []
        newest = select(WebhookEndpoint).where(*which).order_by(WebhookEndpoint.id.desc()).limit(limit)
        async with self.database.reading() as session:
            return (await session.execute(newest)).scalars().all()

    async def change(self, endpoint_id: UUID, change: EndpointChange, *, owner: str | None) -> WebhookEndpoint:
        """Change an endpoint. Pending deliveries go to the new URL; disabling the endpoint cancels them.

        Raises:
            EndpointNotFound: there is no such endpoint.
            AddressRefused: webhooks may not be sent to this URL.
        """
        if change.url is not None:
            await self.get(endpoint_id, owner=owner)
            await self.sender.check(change.url)
        async with transaction(self.database) as work:
            endpoint = await find_endpoint(work.session, endpoint_id, owner, lock=True)
            endpoint.url = change.url or endpoint.url
            endpoint.types = list(dict.fromkeys(change.types or endpoint.types))
            if change.description is not None:
                endpoint.description = change.description
            if change.enabled is False and endpoint.disabled_because is None:
                await disable_endpoint(work.session, endpoint, "Its owner disabled it.")
            if change.enabled:
                endpoint.disabled_because = None
                endpoint.failing_since = None
        return await self.get(endpoint_id, owner=owner)

    async def remove(self, endpoint_id: UUID, *, owner: str | None) -> None:
        """Remove an endpoint and all its deliveries, pending ones included. Raises `EndpointNotFound`."""
        async with transaction(self.database) as work:
            endpoint = await find_endpoint(work.session, endpoint_id, owner, lock=True)
            of_endpoint = WebhookDelivery.endpoint_id == endpoint.endpoint_id
            await work.session.execute(delete(WebhookDelivery).where(of_endpoint))
            await work.session.delete(endpoint)

    async def rotate(self, endpoint_id: UUID, *, owner: str | None) -> WebhookEndpoint:
        """Replace the secret of an endpoint. The old one stays valid for a day. Raises `EndpointNotFound`."""
        async with transaction(self.database) as work:
            endpoint = await find_endpoint(work.session, endpoint_id, owner, lock=True)
            endpoint.old_secret = endpoint.secret
            endpoint.old_secret_until = now(OLD_SECRET_SECONDS)
            endpoint.secret = _new_secret()
        return await self.get(endpoint_id, owner=owner)


async def find_endpoint(
    session: AsyncSession, endpoint_id: UUID, owner: str | None, *, lock: bool = False
) -> WebhookEndpoint:
    """Return an endpoint that the owner may see (None sees all). Raises `EndpointNotFound`."""
    query = select(WebhookEndpoint).where(WebhookEndpoint.endpoint_id == str(endpoint_id))
    if lock:
        query = query.with_for_update()
    endpoint = (await session.execute(query)).scalar_one_or_none()
    if endpoint is None or owner not in (None, endpoint.owner):
        raise EndpointNotFound(endpoint_id)
    return endpoint


def require_enabled(endpoint: WebhookEndpoint) -> None:
    """Raise `EndpointDisabled` if the endpoint is disabled."""
    if endpoint.disabled_because is not None:
        raise EndpointDisabled(UUID(endpoint.endpoint_id), endpoint.disabled_because)


async def disable_endpoint(session: AsyncSession, endpoint: WebhookEndpoint, because: str) -> None:
    """Disable a locked endpoint and fail its pending deliveries."""
    endpoint.disabled_because = because
    await session.flush()
    pending = (WebhookDelivery.endpoint_id == endpoint.endpoint_id, WebhookDelivery.state == "pending")
    failed = update(WebhookDelivery).where(*pending).values(state="failed", next_at=None)
    await session.execute(failed.execution_options(synchronize_session=False))


def _new_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()}"
