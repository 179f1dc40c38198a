"""Webhook endpoints and deliveries as the API takes and shows them, and webhooks as they are posted."""

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
Types = Annotated[tuple[WebhookType, ...], Field(min_length=1, max_length=20, description="What it is told of")]
Description = Annotated[str, Field(max_length=500)]


class EndpointWish(BaseModel):
    """Where to post what happens to videos."""

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
            min_length=1, max_length=255, description="Whose videos, for who sees those of all; default: the caller's"
        ),
    ] = None


class EndpointPatch(BaseModel):
    """What is to be another; what is left out stays. Disabling an endpoint ends what is on its way to it."""

    model_config = ConfigDict(extra="forbid")

    url: Url | None = None
    types: Types | None = None
    description: Description | None = None
    enabled: bool | None = None


class EndpointLinks(Resource):
    """Where to go on."""

    self: str
    deliveries: str


class EndpointResource(Resource):
    """Where somebody is told what happens to the videos of `owner`."""

    endpoint_id: UUID
    owner: str
    url: str
    types: list[WebhookType]
    description: str
    enabled: bool
    disabled_because: str | None
    failing_since: AwareDatetime | None = Field(description="When it began to fail, if it has taken nothing since")
    old_secret_until: AwareDatetime | None = Field(description="Until then, the secret before signs along")
    created_at: AwareDatetime
    links: EndpointLinks


class SecretEndpointResource(EndpointResource):
    """An endpoint with its secret, which is shown this once."""

    secret: str = Field(description="Signs what is posted. Keep it: it is not shown again")


class EndpointPage(Resource):
    """Webhook endpoints, newest first. `nextCursor` is what comes as `after` for the next page."""

    data: list[EndpointResource]
    has_more: bool
    next_cursor: str | None


class DeliveryResource(Resource):
    """One webhook for one endpoint. `deliveryId` is its `webhook-id`, the same over all attempts."""

    delivery_id: UUID
    video_id: UUID | None
    type: str
    state: DeliveryState
    attempts: int
    next_at: AwareDatetime | None = Field(description="When it is tried next")
    last_at: AwareDatetime | None
    last_status: int | None
    last_answer: str | None = Field(description="How the last answer began, or why there was none")
    created_at: AwareDatetime


class DeliveryPage(Resource):
    """Deliveries, newest first. `nextCursor` is what comes as `after` for the next page."""

    data: list[DeliveryResource]
    has_more: bool
    next_cursor: str | None


class WebhookData(Resource):
    """How the video stands, as watchers are told it, and what the event adds."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow")

    video_id: UUID
    seq: int = Field(description="The number of the event: webhooks may come in any order")
    status: str
    progress: float
    post_id: str | None
    links: dict[str, str]
    omitted: list[str] = Field([], description="What was left out because it was too large; look at the video for it")


class WebhookBody(BaseModel):
    """What is posted, smaller than 20 kB, signed as Standard Webhooks says."""

    type: str
    timestamp: AwareDatetime
    data: WebhookData


def endpoint_resource(endpoint: WebhookEndpoint, public_url: str) -> EndpointResource:
    """An endpoint as the API shows it."""
    return EndpointResource(**_shown(endpoint, public_url))


def secret_endpoint_resource(endpoint: WebhookEndpoint, public_url: str) -> SecretEndpointResource:
    """An endpoint as the API shows it to whoever has made it or its secret."""
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


def delivery_resource(sent: WebhookDelivery) -> DeliveryResource:
    """A delivery as the API shows it."""
    return DeliveryResource(
        delivery_id=UUID(sent.delivery_id),
        video_id=UUID(sent.video_id) if sent.video_id else None,
        type=sent.type,
        state=sent.state,
        attempts=sent.attempts,
        next_at=_utc(sent.next_at),
        last_at=_utc(sent.last_at),
        last_status=sent.last_status,
        last_answer=sent.last_answer,
        created_at=sent.created_at.replace(tzinfo=UTC),
    )


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment else None
