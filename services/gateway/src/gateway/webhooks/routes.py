"""The REST API of webhooks."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from gateway.access.dependencies import Reader, Writer
from gateway.http.json_body import json_only
from gateway.models import WebhookDelivery, WebhookEndpoint
from gateway.webhooks.deliveries import WebhookDeliveries
from gateway.webhooks.delivery_policy import TYPES
from gateway.webhooks.endpoints import EndpointChange, WebhookEndpoints
from gateway.webhooks.schemas import (
    DeliveryPage,
    DeliveryResource,
    DeliveryState,
    EndpointPage,
    EndpointPatch,
    EndpointRequest,
    EndpointResource,
    SecretEndpointResource,
    WebhookBody,
    delivery_resource,
    endpoint_resource,
    secret_endpoint_resource,
)

Limit = Annotated[int, Query(ge=1, le=100)]
After = Annotated[str | None, Query(pattern=r"^[0-9]{1,18}$", description="The `nextCursor` of the previous page")]


def routes(endpoints: WebhookEndpoints, deliveries: WebhookDeliveries, public_url: str) -> APIRouter:
    """Return the routes of webhooks."""
    router = APIRouter(prefix="/api/v1/webhook-endpoints", tags=["webhooks"])

    @router.post("", status_code=201, dependencies=[Depends(json_only)], responses={409: {}})
    async def add_webhook_endpoint(body: EndpointRequest, response: Response, caller: Writer) -> SecretEndpointResource:
        """Send the events of your videos to a URL. The response shows the secret, only once."""
        owner = body.owner or caller.owner
        if owner != caller.owner and not caller.sees_all:
            caller.require("admin")
        endpoint = await endpoints.add(owner, body.url, body.types, body.description)
        resource = secret_endpoint_resource(endpoint, public_url)
        response.headers["Location"] = resource.links.self
        return resource

    @router.get("")
    async def list_webhook_endpoints(
        request: Request, response: Response, caller: Reader, limit: Limit = 20, after: After = None
    ) -> EndpointPage:
        """List the webhook endpoints, newest first."""
        found = await endpoints.page(limit + 1, int(after) if after else None, owner=caller.visible_owner)
        cursor = _next(found, limit)
        _link(cursor, request, response)
        shown = [endpoint_resource(endpoint, public_url) for endpoint in found[:limit]]
        return EndpointPage(data=shown, has_more=cursor is not None, next_cursor=cursor)

    @router.get("/{endpoint_id}")
    async def get_webhook_endpoint(endpoint_id: UUID, caller: Reader) -> EndpointResource:
        """Get a webhook endpoint: whether deliveries fail, and why it is disabled."""
        return endpoint_resource(await endpoints.get(endpoint_id, owner=caller.visible_owner), public_url)

    @router.patch("/{endpoint_id}", dependencies=[Depends(json_only)])
    async def change_webhook_endpoint(endpoint_id: UUID, patch: EndpointPatch, caller: Writer) -> EndpointResource:
        """Change a webhook endpoint, disable it, or enable it again."""
        change = EndpointChange(patch.url, patch.types, patch.description, patch.enabled)
        return endpoint_resource(await endpoints.change(endpoint_id, change, owner=caller.visible_owner), public_url)

    @router.delete("/{endpoint_id}", status_code=204)
    async def remove_webhook_endpoint(endpoint_id: UUID, caller: Writer) -> None:
        """Remove a webhook endpoint and all its deliveries."""
        await endpoints.remove(endpoint_id, owner=caller.visible_owner)

    @router.post("/{endpoint_id}/rotate")
    async def rotate_webhook_secret(endpoint_id: UUID, caller: Writer) -> SecretEndpointResource:
        """Create a new secret, shown only once. For a day webhooks are signed with both, so that you can switch."""
        return secret_endpoint_resource(await endpoints.rotate(endpoint_id, owner=caller.visible_owner), public_url)

    @router.post("/{endpoint_id}/test", status_code=202, responses={409: {}})
    async def test_webhook_endpoint(endpoint_id: UUID, caller: Writer) -> DeliveryResource:
        """Send a `webhook.test` event. Its delivery shows the outcome."""
        return delivery_resource(await deliveries.test(endpoint_id, owner=caller.visible_owner))

    @router.get("/{endpoint_id}/deliveries")
    async def list_webhook_deliveries(
        endpoint_id: UUID,
        request: Request,
        response: Response,
        caller: Reader,
        limit: Limit = 20,
        after: After = None,
        state: DeliveryState | None = None,
    ) -> DeliveryPage:
        """List the deliveries of a webhook endpoint, newest first. They are kept for 30 days."""
        number = int(after) if after else None
        found = await deliveries.page(endpoint_id, limit + 1, number, state, owner=caller.visible_owner)
        cursor = _next(found, limit)
        _link(cursor, request, response)
        shown = [delivery_resource(delivery) for delivery in found[:limit]]
        return DeliveryPage(data=shown, has_more=cursor is not None, next_cursor=cursor)

    @router.post("/{endpoint_id}/deliveries/{delivery_id}/retry", status_code=202, responses={409: {}})
    async def retry_webhook_delivery(endpoint_id: UUID, delivery_id: UUID, caller: Writer) -> DeliveryResource:
        """Send a delivery again now, with the same `webhook-id`."""
        return delivery_resource(await deliveries.retry(endpoint_id, delivery_id, owner=caller.visible_owner))

    return router


def _next(found: Sequence[WebhookEndpoint | WebhookDelivery], limit: int) -> str | None:
    """Return the cursor of the next page; None if `found`, read with one row more than `limit`, is the last page."""
    return str(found[limit - 1].id) if len(found) > limit else None


def _link(cursor: str | None, request: Request, response: Response) -> None:
    if cursor is not None:
        response.headers["Link"] = f'<?{request.url.include_query_params(after=cursor).query}>; rel="next"'


def describe(outgoing: APIRouter) -> None:
    """Describe the webhooks in the OpenAPI document."""
    for kind in TYPES:
        what = kind.partition(".")[2].replace("_", " ")
        outgoing.add_api_route(
            kind,
            _receive,
            methods=["POST"],
            status_code=204,
            tags=["webhooks"],
            summary=f"A video: {what}",
            operation_id=f"receive_{kind.replace('.', '_')}",
        )


async def _receive(
    _body: WebhookBody,
    _webhook_id: Annotated[str, Header(alias="webhook-id", description="The same for all attempts")],
    _webhook_timestamp: Annotated[int, Header(alias="webhook-timestamp", description="Unix time of this attempt")],
    _webhook_signature: Annotated[str, Header(alias="webhook-signature", description="`v1,…`, one for each secret")],
) -> None:
    """Respond with 2xx within 15 seconds; 410 disables the endpoint; anything else is retried."""
