"""Videos, ratings and statistics as the REST API takes and shows them."""

from datetime import UTC
from decimal import Decimal
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from gateway.eta.video_progress import AWAITING_STEPS
from gateway.http.resource import Resource
from gateway.models import Video
from gateway.videos.mapping import (
    COPIED,
    cast_link,
    clip_link,
    film_link,
    frame_link,
    preview_link,
    projection_of,
    stream_link,
    thumbnail_link,
)
from gateway.videos.projection import Step, VideoProjection
from gateway.videos.scene_projection import SceneStatus
from gateway.videos.status import Status
from shared.contracts.story import CameraAngle, CastKind, CastMember, Quality, Transition
from shared.money.prices import FREE


class SceneResource(Resource):
    """A scene of a video. `progress` is 0-100, `duration` in seconds."""

    scene_number: int
    description: str
    camera_angle: CameraAngle
    duration: float
    action: str
    transition: Transition
    state: SceneStatus
    progress: float
    provider: str | None
    model: str | None
    video_url: str | None = Field(description="Its clip, once it is rendered")
    first_frame_url: str | None = Field(description="The picture its clip starts with; null: none, or not made yet")
    first_frame_model: str | None
    first_frame_usd: Decimal | None
    error_kind: str | None = Field(description="For programs; `submission_unknown`: it may have been paid")
    error_message: str | None


class CastResource(Resource):
    """A character, place or prop of a video with its look, and its reference picture, once there is one."""

    name: str
    kind: CastKind
    look: str
    reference_url: str | None
    reference_model: str | None
    reference_usd: Decimal | None


class VideoLinks(Resource):
    """Related URLs. `animatic` is set once there is a storyboard to draw.

    `approve` is set while the storyboard awaits its review, `approveFrames` while the first frames do.
    """

    self: str
    events: str
    cancel: str
    storyboard: str | None
    approve: str | None
    approve_frames: str | None
    animatic: str | None


class VideoResource(Resource):
    """A video. `progress` is 0-100, `duration` and `etaSeconds` in seconds, amounts in USD."""

    video_id: str = Field(description="A UUID, unless another application wrote this row")
    status: Status
    is_terminal: bool = Field(description="Whether no work is being done on it any more; a failed one may be resumed")
    progress: float
    current_step: Step
    awaiting_review: bool = Field(
        description="Whether it waits for an approval: of its storyboard (step `review`) or first frames (`frames`)"
    )
    current_scene: int = Field(ge=1, description="The scenes that are rendered, plus one; at most `totalScenes`")
    total_scenes: int
    eta_seconds: int | None = Field(description="The remaining time; null while it is unknown")
    eta_range_seconds: tuple[int, int] | None = Field(description="The earliest and the promised remaining time")
    title: str | None
    prompt: str
    niche: str
    aspect_ratio: str
    duration: int | None
    story_script: str
    scenes: list[SceneResource]
    cast: list[CastResource]
    quality: Quality
    models: list[str] = Field(description="The models that rendered its clips and pictures so far")
    video_url: str | None
    stream_url: str | None = Field(
        description="An HLS playlist that grows scene by scene, so that the film can be watched before it is completed"
    )
    thumbnail_url: str | None
    preview_url: str | None = Field(description="A looping animation, soon after the film is completed")
    contact_sheet_url: str | None
    scrubbing_url: str | None = Field(description="WebVTT with small pictures for the time bar of a player")
    error_kind: str | None = Field(description="For programs; `submission_unknown`: a scene may have been paid")
    error_message: str | None
    notice: str | None = Field(description="Why it waits longer than its queue position explains, or how late it is")
    cost_usd: Decimal = Field(description="What providers charged for it")
    held_usd: Decimal = Field(description="Reserved for scenes that are rendering or whose submission is unconfirmed")
    estimated_cost_usd: Decimal = Field(description="The expected total cost")
    remaining_cost_usd: Decimal = Field(description="The expected cost of what is not charged or held yet")
    simulated: bool = Field(description="Whether the costs are not real, because the provider is simulated")
    owner: str
    post_id: str | None
    metadata: dict[str, JsonValue]
    animatic_id: UUID | None = Field(description="The animatic (free preview) of its storyboard, if one was requested")
    animatic_of: UUID | None = Field(description="The video of which this is the animatic")
    rating: int | None = Field(description="A user's rating, 1-5")
    rating_comment: str | None
    last_seq: int
    created_at: AwareDatetime
    completed_at: AwareDatetime | None
    kept: bool = Field(description="Whether the film is exempt from expiry")
    expires_at: AwareDatetime | None = Field(
        description="When its film, clips and thumbnail are removed, or were; null: there is no film, or it is kept"
    )
    links: VideoLinks


class VideoPage(Resource):
    """Videos, newest first. Send `nextCursor` as `after` for the next page."""

    videos: list[VideoResource]
    total: int = Field(description="The total number of matches")
    has_more: bool
    next_cursor: str | None


class RatingRequest(BaseModel):
    """A rating of a film."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"rating": 5, "comment": "The kite at the end!"}]}
    )

    rating: Annotated[int, Field(ge=1, le=5)]
    comment: Annotated[str, StringConstraints(strip_whitespace=True, max_length=1000)] | None = None


class RetentionRequest(BaseModel):
    """Whether a video is kept, or its film expires."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"keep": True}]})

    keep: Annotated[bool, Field(strict=True)]


DERIVED = {
    "scenes",
    "video_url",
    "thumbnail_url",
    "animatic_id",
    "animatic_of",
    "created_at",
    "completed_at",
    "expires_at",
}
"""Fields that `video_resource` derives."""
OF_PROJECTION = [name for name in VideoResource.model_fields if name in COPIED or name == "status"]
OF_ROW = [
    name
    for name in VideoResource.model_fields
    if name in Video.__mapper__.column_attrs and name not in {*DERIVED, *OF_PROJECTION}
]
"""Fields that are shown as the row or its projection has them: a new one needs no line in `video_resource`."""


def video_resource(row: Video, public_url: str) -> VideoResource:
    """Return a row as the API shows it."""
    video = projection_of(row)
    own = f"{public_url}/api/v1/videos/{row.video_id}"
    scenes = []
    for scene in video.scenes:
        state = video.scene_state(scene.scene_number)
        clip = clip_link(row.video_id, scene.scene_number, public_url) if state.clip else None
        frame = state.first_frame
        scenes.append(
            SceneResource(
                **scene.model_dump(by_alias=False),
                state=state.state,
                progress=state.percent,
                provider=state.provider,
                model=state.model,
                video_url=clip,
                first_frame_url=frame_link(row.video_id, scene.scene_number, public_url) if frame else None,
                first_frame_model=frame.model if frame else None,
                first_frame_usd=frame.cost_usd if frame else None,
                error_kind=state.kind,
                error_message=state.reason,
            )
        )
    return VideoResource(
        **{name: getattr(row, name) for name in OF_ROW},
        **{name: getattr(video, name) for name in OF_PROJECTION},
        is_terminal=video.status.is_terminal,
        awaiting_review=video.current_step in AWAITING_STEPS,
        current_scene=video.current_scene,
        total_scenes=video.scene_count,
        eta_seconds=row.eta.seconds if row.eta else None,
        eta_range_seconds=(row.eta.low, row.eta.high) if row.eta else None,
        scenes=scenes,
        cast=_cast(row, video, public_url),
        remaining_cost_usd=_remaining(row, video),
        video_url=film_link(row.video_id, public_url) if video.film else row.video_url,
        stream_url=stream_link(row.video_id, public_url) if video.stream_frames else None,
        thumbnail_url=thumbnail_link(row.video_id, public_url) if video.thumbnail else row.thumbnail_url,
        preview_url=preview_link(row.video_id, "preview", public_url) if video.previews else None,
        contact_sheet_url=preview_link(row.video_id, "contact-sheet", public_url) if video.previews else None,
        scrubbing_url=preview_link(row.video_id, "storyboard.vtt", public_url) if video.previews else None,
        notice=video.notice or (row.eta.notice if row.eta else None),
        metadata=row.meta if isinstance(row.meta, dict) else {},
        animatic_id=UUID(row.animatic_id) if row.animatic_id else None,
        animatic_of=UUID(row.animatic_of) if row.animatic_of else None,
        created_at=row.created_at.replace(tzinfo=UTC),
        completed_at=row.completed_at.replace(tzinfo=UTC) if row.completed_at else None,
        expires_at=row.expires_at.replace(tzinfo=UTC) if row.expires_at else None,
        links=VideoLinks(
            self=own,
            events=f"{own}/events",
            cancel=f"{own}/cancel",
            storyboard=f"{own}/storyboard" if row.storyboard else None,
            approve=f"{own}/approve" if video.current_step == "review" else None,
            approve_frames=f"{own}/frames/approve" if video.current_step == "frames" else None,
            animatic=f"{own}/animatic" if row.storyboard else None,
        ),
    )


def _cast(row: Video, video: VideoProjection, public_url: str) -> list[CastResource]:
    members = [CastMember.model_validate(one) for one in (row.storyboard or {}).get("cast", ())]
    shown = []
    for member in members:
        picture = video.cast_pictures.get(member.name)
        shown.append(
            CastResource(
                name=member.name,
                kind=member.kind,
                look=member.look,
                reference_url=cast_link(row.video_id, member.name, public_url) if picture else None,
                reference_model=picture.model if picture else None,
                reference_usd=picture.cost_usd if picture else None,
            )
        )
    return shown


def _remaining(row: Video, video: VideoProjection) -> Decimal:
    if video.status.is_terminal:
        return FREE
    return max(row.estimated_cost_usd - row.cost_usd - row.held_usd, FREE)
