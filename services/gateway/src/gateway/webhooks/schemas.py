"""Webhook endpoints and deliveries in the API, and the bodies of webhooks."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from gateway.http.resource import Resource
from gateway.models import WebhookDelivery, WebhookEndpoint
from gateway.webhooks.delivery_policy import DEFAULT_TYPES, WebhookType

DeliveryState = Literal["pending", "delivered", "failed"]
Url = Annotated[str, Field(min_length=1, max_length=2000, description="https, on a public address")]
Types = Annotated[tuple[WebhookType, ...], Field(min_length=1, max_length=20, description="The events to send")]
Description = Annotated[str, Field(max_length=500)]


class EndpointRequest(BaseModel):
    """A new webhook endpoint."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"url": "https://app.example/hooks/multishot", "types": list(DEFAULT_TYPES)}},
    )

    url: Url
    types: Types = DEFAULT_TYPES
    description: Description = ""
    owner: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=255,
            description="Owner of the videos; default: the caller",
        ),
    ] = None


class EndpointPatch(BaseModel):
    """Changes to a webhook endpoint. Disabling an endpoint fails its pending deliveries."""

    model_config = ConfigDict(extra="forbid")

    url: Url | None = None
    types: Types | None = None
    description: Description | None = None
    enabled: bool | None = None


class EndpointLinks(Resource):
    """Links to related resources."""

    self: str
    deliveries: str


class EndpointResource(Resource):
    """A URL that receives the events of the videos of `owner`."""

    endpoint_id: UUID
    owner: str
    url: str
    types: list[WebhookType]
    description: str
    enabled: bool
    disabled_because: str | None
    failing_since: AwareDatetime | None = Field(description="Start of the failures, if nothing has succeeded since")
    old_secret_until: AwareDatetime | None = Field(description="Until then the old secret signs as well")
    created_at: AwareDatetime
    links: EndpointLinks


class SecretEndpointResource(EndpointResource):
    """An endpoint with its secret, which is shown only once."""

    secret: str = Field(description="The signing secret. Store it: it is not shown again")


class EndpointPage(Resource):
    """Webhook endpoints, newest first. Pass `nextCursor` as `after` for the next page."""

    data: list[EndpointResource]
    has_more: bool
    next_cursor: str | None


class DeliveryResource(Resource):
    """One webhook to one endpoint. `deliveryId` is the `webhook-id` of all its attempts."""

    delivery_id: UUID
    video_id: UUID | None
    type: str
    state: DeliveryState
    attempts: int
    next_at: AwareDatetime | None = Field(description="When the next attempt is due")
    last_at: AwareDatetime | None
    last_status: int | None
    last_answer: str | None = Field(description="The beginning of the last response, or why there was none")
    created_at: AwareDatetime


class DeliveryPage(Resource):
    """Deliveries, newest first. Pass `nextCursor` as `after` for the next page."""

    data: list[DeliveryResource]
    has_more: bool
    next_cursor: str | None


class WebhookData(Resource):
    """The state of the video, as live events have it, and the data of the event."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow")

    video_id: UUID
    seq: int = Field(description="The number of the event, because webhooks may arrive out of order")
    status: str
    progress: float
    post_id: str | None
    links: dict[str, str]
    omitted: list[str] = Field([], description="Fields left out because they were too large; get the video for them")


class WebhookBody(BaseModel):
    """The body of a webhook, smaller than 20 kB, signed according to Standard Webhooks."""

    type: str
    timestamp: AwareDatetime
    data: WebhookData


def endpoint_resource(endpoint: WebhookEndpoint, public_url: str) -> EndpointResource:
    """Return an endpoint as the API shows it."""
    return EndpointResource(**_shown(endpoint, public_url))


def secret_endpoint_resource(endpoint: WebhookEndpoint, public_url: str) -> SecretEndpointResource:
    """Return an endpoint with its secret, for the response that creates or rotates it."""
    return SecretEndpointResource(**_shown(endpoint, public_url), secret=endpoint.secret)


def _shown(endpoint: WebhookEndpoint, public_url: str) -> dict[str, Any]:
    own = f"{public_url}/api/v1/webhook-endpoints/{endpoint.endpoint_id}"
    until = _utc(endpoint.old_secret_until)
    return {
        "endpoint_id": endpoint.endpoint_id,
        "owner": endpoint.owner,
        "url": endpoint.url,
        "types": endpoint.types,
        "description": endpoint.description,
        "enabled": endpoint.disabled_because is None,
        "disabled_because": endpoint.disabled_because,
        "failing_since": _utc(endpoint.failing_since),
        "old_secret_until": until if until is not None and until > datetime.now(UTC) else None,
        "created_at": _utc(endpoint.created_at),
        "links": EndpointLinks(self=own, deliveries=f"{own}/deliveries"),
    }


def delivery_resource(delivery: WebhookDelivery) -> DeliveryResource:
    """Return a delivery as the API shows it."""
    return DeliveryResource(
        delivery_id=UUID(delivery.delivery_id),
        video_id=UUID(delivery.video_id) if delivery.video_id else None,
        type=delivery.type,
        state=delivery.state,
        attempts=delivery.attempts,
        next_at=_utc(delivery.next_at),
        last_at=_utc(delivery.last_at),
        last_status=delivery.last_status,
        last_answer=delivery.last_answer,
        created_at=delivery.created_at.replace(tzinfo=UTC),
    )


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment else None
