"""The inputs and outputs of the tRPC procedures, in the shape that the existing application's own server had."""

from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

from gateway.storyboards.schemas import References
from gateway.videos.errors import VideoNotFound
from gateway.videos.frame_reviews import FrameDescription
from gateway.videos.projection import Step
from gateway.videos.scene_projection import SceneStatus
from gateway.videos.status import Status
from shared.contracts.story import DEFAULT_NICHE, CameraAngle, ClipSound, Niche, Prompt, Quality, Transition


class _Input(BaseModel):
    """Unknown fields are ignored, as by the application's own server."""

    model_config = ConfigDict(alias_generator=to_camel, allow_inf_nan=False)


SceneCount = Annotated[int, Field(ge=1, le=5, strict=True)]
Duration = Annotated[int, Field(ge=15, le=60, strict=True, description="Seconds")]


def _niche_of(niche: object) -> object:
    """Treat a form's empty field as the default niche."""
    return DEFAULT_NICHE if niche == "" else niche


class GenerateInput(_Input):
    """A request for a video."""

    prompt: Prompt
    niche: Annotated[Niche, BeforeValidator(_niche_of)] = DEFAULT_NICHE
    scene_count: SceneCount = 3
    duration: Duration = 30
    total_duration: Duration = Field(30, description="Another name of `duration`")
    review: Annotated[bool, Field(strict=True)] = Field(False, description="Wait for approvals, see `video.approve`")
    quality: Quality = Field("standard", description="`draft` is free, `premium` spends more on the key moments")
    references: References = Field((), description="Uploaded pictures of people, places or things of the story")
    clip_sound: ClipSound = Field("keep", description="What becomes of the sound that models make")

    @property
    def seconds(self) -> int:
        """Return the length of the film."""
        return self.duration if "duration" in self.model_fields_set else self.total_duration


class VideoInput(_Input):
    """One video."""

    video_id: Annotated[str, Field(max_length=255)]

    @property
    def id(self) -> UUID:
        """Return the id. Raises `VideoNotFound` if it is no UUID, as all our ids are."""
        try:
            return UUID(self.video_id)
        except ValueError:
            raise VideoNotFound(self.video_id) from None

    @property
    def name(self) -> UUID | str:
        """Return the id, which is any text for rows that the application wrote."""
        try:
            return self.id
        except VideoNotFound:
            return self.video_id


class FrameInput(VideoInput):
    """Another first frame of a scene: made from a `description`, or an uploaded `image`."""

    scene_number: Annotated[int, Field(ge=1, le=5, strict=True)]
    description: FrameDescription | None = None
    image: UUID | None = None

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if (self.description is None) == (self.image is None):
            raise ValueError("give either a description or an image")
        return self


class PageInput(_Input):
    """A page of the list."""

    limit: Annotated[int, Field(ge=1, le=100, strict=True)] = 20
    offset: Annotated[int, Field(ge=0, le=100_000, strict=True)] = 0


class EventsInput(VideoInput):
    """A video, and the last event that the client has; without it, the stream begins with the newest event."""

    last_event_id: Annotated[str, Field(max_length=20)] | None = None
    last_seq: Annotated[int, Field(ge=0, strict=True)] | None = None

    @property
    def since(self) -> int | None:
        """Return the number of the last event that the client has."""
        last = self.last_event_id or ""
        return int(last) if last.isascii() and last.isdigit() else self.last_seq


class _Output(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


def _is_absent(value: object) -> bool:
    return value is None


# The application's types have `?` here, not `| null`: missing values are omitted.
_OMITTED = Field(default=None, exclude_if=_is_absent)
OptionalText = Annotated[str | None, _OMITTED, WithJsonSchema({"type": "string"})]
OptionalMoment = Annotated[AwareDatetime | None, _OMITTED, WithJsonSchema({"type": "string", "format": "date-time"})]


class Done(_Output):
    """The call succeeded."""

    success: Literal[True] = Field(...)
    message: str


class Generated(Done):
    """A video was accepted and is rendered in the background."""

    video_id: str


class SceneRow(_Output):
    """A scene and its state. `duration` is in seconds, `progress` 0-100; `videoUrl`: its clip, once rendered."""

    scene_number: int
    description: str
    camera_angle: CameraAngle
    duration: float
    action: str
    transition: Transition
    state: SceneStatus
    progress: float
    video_url: str | None
    first_frame_url: str | None
    error_message: str | None


class VideoStatus(_Output):
    """The state of a video. `progress` is 0-100 and never decreases; `etaSeconds` is null while it is unknown.

    `expiresAt`: when its film is removed, or was.
    """

    video_id: str
    status: Status
    progress: float
    current_scene: int = Field(ge=1, description="The scenes that are rendered, plus one; at most `totalScenes`")
    total_scenes: int
    current_step: Step
    awaiting_review: bool = Field(description="Whether it waits for an approval: `video.approve`, `approveFrames`")
    eta_seconds: int | None
    eta_range_seconds: tuple[int, int] | None
    video_url: OptionalText
    stream_url: OptionalText
    thumbnail_url: OptionalText
    error_message: OptionalText
    expires_at: OptionalMoment
    scenes: list[SceneRow]


class VideoRow(_Output):
    """A row of the table `videos`, and its progress. `duration` is in seconds."""

    id: int
    video_id: str
    post_id: str | None
    niche: str
    prompt: str
    story_script: str
    scenes: list[SceneRow]
    video_url: str | None
    stream_url: str | None
    thumbnail_url: str | None
    duration: int | None
    status: Status
    metadata: dict[str, JsonValue]
    created_at: AwareDatetime
    completed_at: AwareDatetime | None
    title: str | None
    progress: float
    current_step: Step
    error_message: str | None
    expires_at: AwareDatetime | None = Field(description="When its film is removed, or was; null: it is kept")


VideoEvent = Annotated[dict[str, JsonValue], WithJsonSchema({"tsType": "VideoEvent"})]
"""`{type, data}`: a name of `gateway.videos.event_payloads.PAYLOADS`, and what goes with it."""


class VideoList(_Output):
    """Videos, newest first, and their total number."""

    videos: list[VideoRow]
    total: int
