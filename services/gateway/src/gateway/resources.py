"""The values of the REST API."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated
from uuid import UUID, uuid4

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

from gateway.models import Video
from gateway.videos import clip_link, film_link, view_of
from gateway.view import Status, Step
from shared.contracts.events import VideoRequested
from shared.contracts.story import (
    DEFAULT_NICHE,
    DEFAULT_OWNER,
    AspectRatio,
    CameraAngle,
    Metadata,
    Niche,
    Prompt,
    Transition,
)


class VideoWish(BaseModel):
    """A request for a video."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        json_schema_extra={"example": {"prompt": "A lighthouse keeper befriends a storm", "sceneCount": 3}},
    )

    prompt: Prompt = Field(description="What the story is about, in any language")
    niche: Niche = DEFAULT_NICHE
    scene_count: Annotated[int, Field(ge=1, le=5)] = 3
    duration: Annotated[int, Field(ge=15, le=60, description="Seconds")] = 30
    aspect_ratio: AspectRatio = "16:9"
    post_id: Annotated[str, Field(max_length=255)] | None = None
    metadata: Metadata = {}
    video_id: UUID | None = Field(None, description="An id of your own: asking again with it makes no second video")

    def event(self) -> VideoRequested:
        """The wish as the event that starts the story."""
        wish = self.model_dump(exclude={"video_id"})
        return VideoRequested(video_id=self.video_id or uuid4(), owner=DEFAULT_OWNER, **wish)


class _Resource(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class SceneResource(_Resource):
    """A scene of a video. `progress` is 0-100, `duration` in seconds."""

    scene_number: int
    description: str
    camera_angle: CameraAngle
    duration: float
    action: str
    transition: Transition
    state: str
    progress: float
    provider: str | None
    video_url: str | None = Field(description="Its clip, once it is rendered")
    error_message: str | None


class VideoLinks(_Resource):
    """Where to go on."""

    self: str
    cancel: str


class VideoResource(_Resource):
    """A video. `progress` is 0-100, `duration` and `etaSeconds` in seconds, `costUsd` in USD."""

    video_id: UUID
    status: Status
    progress: float
    current_step: Step
    current_scene: int | None
    total_scenes: int
    eta_seconds: float | None
    title: str | None
    prompt: str
    niche: str
    aspect_ratio: str
    duration: int | None
    story_script: str
    scenes: list[SceneResource]
    video_url: str | None
    thumbnail_url: str | None
    error_message: str | None
    cost_usd: Decimal
    owner: str
    post_id: str | None
    metadata: dict[str, JsonValue]
    last_seq: int
    created_at: AwareDatetime
    completed_at: AwareDatetime | None
    links: VideoLinks


class VideoPage(_Resource):
    """Videos, newest first."""

    videos: list[VideoResource]
    total: int


def video_resource(row: Video, public_url: str) -> VideoResource:
    """A row as the API shows it."""
    view = view_of(row)
    own = f"{public_url}/api/v1/videos/{row.video_id}"
    scenes = []
    for scene in view.scenes:
        state = view.scene_state(scene.scene_number)
        clip = clip_link(row.video_id, scene.scene_number, public_url) if state.clip else None
        scenes.append(
            SceneResource(
                **scene.model_dump(by_alias=False),
                state=state.state,
                progress=state.percent,
                provider=state.provider,
                video_url=clip,
                error_message=state.reason,
            )
        )
    return VideoResource(
        video_id=UUID(row.video_id),
        status=view.status,
        progress=view.progress,
        current_step=view.current_step,
        current_scene=view.current_scene if view.current_step == "scenes" else None,
        total_scenes=view.scene_count,
        eta_seconds=_eta(row),
        title=view.title,
        prompt=row.prompt,
        niche=row.niche,
        aspect_ratio=row.aspect_ratio,
        duration=row.duration,
        story_script=view.story_script,
        scenes=scenes,
        video_url=film_link(row.video_id, public_url) if view.film else None,
        thumbnail_url=row.thumbnail_url,
        error_message=view.error_message,
        cost_usd=view.cost_usd,
        owner=row.owner,
        post_id=row.post_id,
        metadata=row.meta,
        last_seq=row.last_seq,
        created_at=row.created_at.replace(tzinfo=UTC),
        completed_at=row.completed_at.replace(tzinfo=UTC) if row.completed_at else None,
        links=VideoLinks(self=own, cancel=f"{own}/cancel"),
    )


def _eta(row: Video) -> float | None:
    """Seconds left, if the rest goes as fast as what is done; None before anything is done or after the end."""
    if row.status != "processing" or row.progress < 1:
        return None
    elapsed = (datetime.now(UTC) - row.created_at.replace(tzinfo=UTC)).total_seconds()
    return round(max(elapsed, 0.0) * (100 - row.progress) / row.progress, 1)
