"""The tables that only the gateway writes. `videos` has the existing application's name and columns."""

from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from sqlalchemy import JSON, TIMESTAMP, BigInteger, Boolean, Double, Index, Integer, Numeric, String, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from gateway.remaining_time import Eta
from shared.contracts.story import DEFAULT_OWNER
from shared.money.budget import budget_table
from shared.persistence.database import Moment, identifier
from shared.persistence.inbox import inbox_table
from shared.persistence.outbox import outbox_table

OwnerName = identifier(255)

EMPTY_OBJECT = text("(json_object())")


class Base(DeclarativeBase):
    """The schema of this service."""


inbox = inbox_table(Base.metadata)
outbox = outbox_table(Base.metadata)
budgets = budget_table(Base.metadata)


class Video(Base):
    """A video, from its request to its end. `progress` is 0-100 and never falls; `last_seq` numbers its events.

    A new field touches this class (with a migration), `videos/projection.py` if events set it, and `videos/schemas.py`
    if the API shows it.
    """

    __tablename__ = "videos"
    __table_args__ = (Index("ix_videos_expiry", "status", "expiresAt"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    video_id: Mapped[str] = mapped_column("videoId", String(255), unique=True)
    post_id: Mapped[str | None] = mapped_column("postId", String(255), default=None)
    niche: Mapped[str] = mapped_column(String(100))
    prompt: Mapped[str] = mapped_column(Text)
    story_script: Mapped[str] = mapped_column("storyScript", Text, default="")
    scenes: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    """In the application's format; a scene has `videoUrl` once its clip exists."""
    video_url: Mapped[str | None] = mapped_column("videoUrl", Text, default=None)
    thumbnail_url: Mapped[str | None] = mapped_column("thumbnailUrl", Text, default=None)
    duration: Mapped[int | None] = mapped_column(Integer, default=None)
    status: Mapped[str] = mapped_column(String(50), default="pending", server_default="pending", index=True)
    meta: Mapped[dict[str, Any] | None] = mapped_column("metadata", JSON, default=dict)
    created_at: Mapped[datetime] = mapped_column("createdAt", TIMESTAMP, server_default=text("CURRENT_TIMESTAMP"))
    completed_at: Mapped[datetime | None] = mapped_column("completedAt", TIMESTAMP, default=None)

    # The application's INSERT names none of what follows, so all of it has a default in the database.
    title: Mapped[str | None] = mapped_column(Text, default=None)
    owner: Mapped[str] = mapped_column(OwnerName, server_default=DEFAULT_OWNER, index=True)
    aspect_ratio: Mapped[str] = mapped_column("aspectRatio", String(10), server_default="16:9")
    scene_count: Mapped[int] = mapped_column("sceneCount", Integer, server_default="3")
    request_hash: Mapped[str | None] = mapped_column("requestHash", String(64), default=None)
    progress: Mapped[float] = mapped_column(Double, default=0.0, server_default="0")
    current_step: Mapped[str] = mapped_column(
        "currentStep", String(50), default="storyboard", server_default="storyboard"
    )
    scene_states: Mapped[dict[str, Any]] = mapped_column("sceneStates", JSON, default=dict, server_default=EMPTY_OBJECT)
    cost_usd: Mapped[Decimal] = mapped_column("costUsd", Numeric(10, 4), default=Decimal(0), server_default="0")
    held_usd: Mapped[Decimal] = mapped_column("heldUsd", Numeric(10, 4), default=Decimal(0), server_default="0")
    estimated_cost_usd: Mapped[Decimal] = mapped_column(
        "estimatedCostUsd", Numeric(10, 4), default=Decimal(0), server_default="0"
    )
    reserved_usd: Mapped[Decimal] = mapped_column("promisedUsd", Numeric(10, 4), default=Decimal(0), server_default="0")
    """The amount reserved in the budgets of `budget_day`."""
    simulated: Mapped[bool] = mapped_column(Boolean, default=False, server_default="0")
    """Whether its costs are not real, because its provider is simulated."""
    budget_day: Mapped[str] = mapped_column("budgetDay", String(10), default="", server_default="")
    error_stage: Mapped[str | None] = mapped_column("errorStage", String(50), default=None)
    error_kind: Mapped[str | None] = mapped_column("errorKind", String(50), default=None)
    error_message: Mapped[str | None] = mapped_column("errorMessage", Text, default=None)
    epoch: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    """The latest known epoch; see `shared.contracts.epochs`."""
    film: Mapped[dict[str, Any] | None] = mapped_column(JSON, default=None)
    thumbnail: Mapped[dict[str, Any] | None] = mapped_column(JSON, default=None)
    previews: Mapped[dict[str, Any] | None] = mapped_column(JSON, default=None)
    """Its `video.previewed`: the pictures of the film."""
    stream_pieces: Mapped[dict[str, Any] | None] = mapped_column("streamPieces", JSON, default=None)
    """The length of each piece of its stream, in frames; None: there is none."""
    last_seq: Mapped[int] = mapped_column("lastSeq", Integer, default=0, server_default="0")
    storyboard: Mapped[dict[str, Any] | None] = mapped_column(JSON, default=None)
    """The latest `storyboard.created`."""
    providers: Mapped[list[str] | None] = mapped_column(JSON, default=None)
    """The providers that the request allows; None: all."""
    approved_at: Mapped[datetime | None] = mapped_column("approvedAt", Moment, default=None)
    animatic_id: Mapped[str | None] = mapped_column("animaticId", String(36), default=None)
    """The newest animatic (free preview) of its storyboard."""
    animatic_of: Mapped[str | None] = mapped_column("animaticOf", String(36), default=None)
    """The video of which this is the animatic."""
    rating: Mapped[int | None] = mapped_column(Integer, default=None)
    """1-5, given by a user."""
    rating_comment: Mapped[str | None] = mapped_column("ratingComment", Text, default=None)
    kept: Mapped[bool] = mapped_column(Boolean, default=False, server_default=text("0"))
    """Whether the film is exempt from expiry."""
    expires_at: Mapped[datetime | None] = mapped_column("expiresAt", Moment, default=None)
    """When its film is removed, or was; None: there is no film yet, or it is kept."""
    deleted_at: Mapped[datetime | None] = mapped_column("deletedAt", Moment, default=None)
    """When it was deleted. The row is then a tombstone: hidden, but it takes late charges and its id stays in use."""
    stage_timestamps: Mapped[dict[str, Any] | None] = mapped_column("marks", JSON, default=None)
    """See `gateway.eta.stage_timestamps`."""
    waiting_scenes: Mapped[int] = mapped_column("waitingScenes", Integer, default=0, server_default="0")
    rendering_scenes: Mapped[int] = mapped_column("renderingScenes", Integer, default=0, server_default="0")
    renderer: Mapped[str] = mapped_column(String(50), default="", server_default="")
    """The provider its scenes wait for or are rendered by."""
    quality: Mapped[str] = mapped_column(String(10), default="standard", server_default="standard")
    models: Mapped[list[str] | None] = mapped_column(JSON, default=None)
    """The models that rendered its clips and pictures."""
    cast_pictures: Mapped[dict[str, Any] | None] = mapped_column("castPictures", JSON, default=None)
    """The reference picture of each member of its cast, by name."""
    version: Mapped[int] = mapped_column(Integer, server_default="1")
    """Incremented by every change of the row."""

    __mapper_args__ = {"version_id_col": version}

    eta = cast("Eta | None", None)
    """Not a column: computed when a row is read."""


class StreamPiece(Base):
    """A piece of the HLS stream of a video, from its event."""

    __tablename__ = "stream_pieces"

    video_id: Mapped[str] = mapped_column("videoId", String(36), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    piece: Mapped[dict[str, Any]] = mapped_column(JSON)


class Storyboard(Base):
    """A storyboard that was requested without a video."""

    __tablename__ = "storyboards"

    storyboard_id: Mapped[str] = mapped_column("storyboardId", String(36), primary_key=True)
    request: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(20), default="pending")
    """`pending`, then `drafted` or `failed`."""
    drafted: Mapped[dict[str, Any] | None] = mapped_column(JSON, default=None)
    error_kind: Mapped[str | None] = mapped_column("errorKind", String(50), default=None)
    error_message: Mapped[str | None] = mapped_column("errorMessage", Text, default=None)
    created_at: Mapped[datetime] = mapped_column("createdAt", Moment, index=True)


class Charge(Base):
    """The amount, in USD, that one paid attempt at a scene reserves or cost, as last reported by scene-render.

    Scene 0: it is for no scene, but for a reference picture of the cast, or for the language model that wrote the
    storyboard, with a video or without.
    """

    __tablename__ = "charges"
    __table_args__ = (Index("ix_charges_day", "day", "owner", "provider"),)

    attempt_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    video_id: Mapped[str] = mapped_column(String(36), index=True)
    scene_number: Mapped[int] = mapped_column(Integer)
    owner: Mapped[str] = mapped_column(OwnerName)
    provider: Mapped[str] = mapped_column(identifier(50))
    day: Mapped[str] = mapped_column(String(10))
    state: Mapped[str] = mapped_column(String(20), index=True)
    held_usd: Mapped[Decimal] = mapped_column(Numeric(10, 4))
    booked_usd: Mapped[Decimal] = mapped_column(Numeric(10, 4))
    task_id: Mapped[str | None] = mapped_column(identifier(255), default=None)
    reason: Mapped[str | None] = mapped_column(Text, default=None)
    simulated: Mapped[bool] = mapped_column(Boolean, default=False)
    purpose: Mapped[str] = mapped_column(String(20), default="clip", server_default="clip")
    """`clip`, `first_frame`, `reference` or `storyboard`."""
    model: Mapped[str | None] = mapped_column(identifier(150), default=None)
    revision: Mapped[int] = mapped_column(Integer)
    updated_at: Mapped[datetime] = mapped_column(Moment, index=True)


class Upload(Base):
    """A picture or clip that a person uploaded, as it is stored. `width` and `height` of a clip are not known."""

    __tablename__ = "uploads"

    upload_id: Mapped[str] = mapped_column("uploadId", String(36), primary_key=True)
    owner: Mapped[str] = mapped_column(OwnerName, index=True)
    kind: Mapped[str] = mapped_column(String(10))
    """`picture` or `clip`."""
    media: Mapped[dict[str, Any]] = mapped_column(JSON)
    width: Mapped[int | None] = mapped_column(Integer, default=None)
    height: Mapped[int | None] = mapped_column(Integer, default=None)
    created_at: Mapped[datetime] = mapped_column("createdAt", Moment, index=True)


class IdempotencyRecord(Base):
    """The response to a call with an idempotency key. `id` hashes owner, route and key; `request` hashes the body."""

    __tablename__ = "idempotency_records"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    request: Mapped[str] = mapped_column(String(64))
    answer: Mapped[dict[str, Any] | None] = mapped_column(JSON, default=None)
    video_id: Mapped[str | None] = mapped_column("videoId", String(36), default=None, index=True)
    """The video in the response."""
    created_at: Mapped[datetime] = mapped_column("createdAt", Moment, index=True)


class VideoEvent(Base):
    """An event of a video, as subscribers receive it. `seq` has no gaps."""

    __tablename__ = "video_events"
    __table_args__ = (Index("ix_video_events_createdAt", "createdAt"),)

    video_id: Mapped[str] = mapped_column("videoId", String(36), primary_key=True)
    seq: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    type: Mapped[str] = mapped_column(String(50))
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column("createdAt", Moment)


class ApiKey(Base):
    """An API key; only the SHA-256 of the key is stored."""

    __tablename__ = "api_keys"

    key_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    hash: Mapped[str] = mapped_column(String(64))
    owner: Mapped[str] = mapped_column(OwnerName, index=True)
    name: Mapped[str] = mapped_column(String(100))
    scopes: Mapped[list[Any]] = mapped_column(JSON)
    calls_per_minute: Mapped[int | None] = mapped_column(Integer, default=None)
    """Overrides the default rate limit."""
    budget_day_usd: Mapped[Decimal | None] = mapped_column(Numeric(10, 4), default=None)
    """The most its owner may spend in a day."""
    created_at: Mapped[datetime] = mapped_column(Moment)
    expires_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    last_used_at: Mapped[datetime | None] = mapped_column(Moment, default=None)
    """To the minute."""
    revoked_at: Mapped[datetime | None] = mapped_column(Moment, default=None)


class EndedSession(Base):
    """A session that was ended before it expired; the row is removed at `ends_at`."""

    __tablename__ = "ended_sessions"

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    ends_at: Mapped[datetime] = mapped_column(Moment, index=True)


class WebhookEndpoint(Base):
    """A URL that receives webhooks for the videos of `owner`."""

    __tablename__ = "webhook_endpoints"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    endpoint_id: Mapped[str] = mapped_column("endpointId", String(36), unique=True)
    owner: Mapped[str] = mapped_column(OwnerName, index=True)
    url: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text, default="")
    types: Mapped[list[str]] = mapped_column(JSON)
    """The event types it receives."""
    secret: Mapped[str] = mapped_column(String(100))
    old_secret: Mapped[str | None] = mapped_column("oldSecret", String(100), default=None)
    """The previous secret; it still signs until `old_secret_until`."""
    old_secret_until: Mapped[datetime | None] = mapped_column("oldSecretUntil", Moment, default=None)
    disabled_because: Mapped[str | None] = mapped_column("disabledBecause", Text, default=None)
    failing_since: Mapped[datetime | None] = mapped_column("failingSince", Moment, default=None)
    """The first failure since the last success."""
    created_at: Mapped[datetime] = mapped_column("createdAt", Moment)


class WebhookDelivery(Base):
    """One webhook for one endpoint. `delivery_id` is its `webhook-id`, the same over all attempts."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (Index("ix_webhook_deliveries_endpoint", "endpointId", "id"),)

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
    delivery_id: Mapped[str] = mapped_column("deliveryId", String(36), unique=True)
    endpoint_id: Mapped[str] = mapped_column("endpointId", String(36))
    video_id: Mapped[str | None] = mapped_column("videoId", String(36), default=None, index=True)
    type: Mapped[str] = mapped_column(String(50))
    body: Mapped[str] = mapped_column(Text)
    """The exact body: signatures are computed over its bytes."""
    state: Mapped[str] = mapped_column(String(20), default="pending")
    """`pending`, then `delivered` or `failed`."""
    turn: Mapped[int] = mapped_column(Integer, default=1)
    """The attempt that is due; messages of another attempt are obsolete."""
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    next_at: Mapped[datetime | None] = mapped_column("nextAt", Moment, default=None)
    last_at: Mapped[datetime | None] = mapped_column("lastAt", Moment, default=None)
    last_status: Mapped[int | None] = mapped_column("lastStatus", Integer, default=None)
    last_answer: Mapped[str | None] = mapped_column("lastAnswer", Text, default=None)
    """The start of the response, or why there was none."""
    created_at: Mapped[datetime] = mapped_column("createdAt", Moment, index=True)


class StageTime(Base):
    """How long a stage of a video took: writing its storyboard, rendering one scene, combining. In seconds."""

    __tablename__ = "stage_times"
    __table_args__ = (Index("ix_stage_times_stage", "stage", "provider", "id"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    stage: Mapped[str] = mapped_column(String(20))
    provider: Mapped[str] = mapped_column(identifier(50))
    """The provider of a scene. For a storyboard: `given` if its text came with the request."""
    model: Mapped[str] = mapped_column(identifier(100))
    length: Mapped[float] = mapped_column(Double)
    """Seconds of the clip or the film; scenes of a storyboard."""
    seconds: Mapped[float] = mapped_column(Double)
    busy: Mapped[int] = mapped_column(Integer, default=0)
    """How many scenes the provider was rendering when this one finished, including it."""
    waiting: Mapped[int] = mapped_column(Integer, default=0)
    """How many scenes were waiting for the provider then."""
    at: Mapped[datetime] = mapped_column(Moment, index=True)
