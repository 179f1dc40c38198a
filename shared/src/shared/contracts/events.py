"""The life of a video: every event, in the order it happens. Read this first, then the four `handlers.py`."""

from decimal import Decimal
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import Field

from shared.contracts.media import Clip, MediaReference
from shared.contracts.story import (
    DEFAULT_NICHE,
    DEFAULT_OWNER,
    AspectRatio,
    Contract,
    Metadata,
    Niche,
    Owner,
    Priority,
    Prompt,
    Scene,
    SceneNumber,
    VideoStory,
)

Stage = Literal["storyboard", "scene-render", "composer"]
Money = Annotated[Decimal, Field(ge=0, max_digits=10, decimal_places=4)]
Percent = Annotated[float, Field(ge=0, le=100)]
Seconds = Annotated[float, Field(ge=0)]


class Event(Contract):
    """Something that happened to one video. `name` is its routing key and the `type` of its message."""

    name: ClassVar[str]
    stored: ClassVar[bool] = True
    """Whether the event is kept and confirmed. A hint is not: it may be lost."""

    version: Literal[1] = 1
    video_id: UUID


class VideoRequested(Event):
    """Somebody wants a video: a person through the gateway, or another service of the factory on the broker."""

    name = "video.requested"

    prompt: Prompt
    niche: Niche = DEFAULT_NICHE
    scene_count: Annotated[int, Field(ge=1, le=5)] = 3
    duration: Annotated[int, Field(ge=15, le=60)] = 30
    aspect_ratio: AspectRatio = "16:9"
    post_id: Annotated[str, Field(max_length=255)] | None = None
    owner: Owner = DEFAULT_OWNER
    priority: Priority = "interactive"
    metadata: Metadata = {}


class StoryboardCreated(Event, VideoStory):
    """The story is written and broken into scenes."""

    name = "storyboard.created"

    story_script: str
    aspect_ratio: AspectRatio


class SceneRequested(Event):
    """One scene is to be rendered, as a clip of exactly `clip_frames` frames."""

    name = "scene.requested"

    scene: Scene
    scene_count: Annotated[int, Field(ge=1, le=5)]
    shot_prompt: str
    clip_frames: Annotated[int, Field(gt=0)]
    aspect_ratio: AspectRatio
    niche: Niche
    owner: Owner
    priority: Priority
    providers: tuple[str, ...] = ()
    """Who should render it, the preferred one first. Empty: whoever is configured."""


class SceneStarted(Event):
    """A provider has taken the scene."""

    name = "scene.started"

    scene_number: SceneNumber
    provider: str
    eta_seconds: Seconds


class SceneProgressed(Event):
    """How far a scene is. A hint for those who watch: not stored, may be lost."""

    name = "scene.progressed"
    stored = False

    scene_number: SceneNumber
    provider: str
    percent: Percent
    eta_seconds: Seconds


class SceneRendered(Event):
    """The clip of a scene is checked, in the film's form, and stored."""

    name = "scene.rendered"

    scene_number: SceneNumber
    clip: Clip
    duration: Seconds
    cost_usd: Money
    provider: str


class SceneFailed(Event):
    """A scene will not be rendered. `reason` is for people; `kind` is for programs."""

    name = "scene.failed"

    scene_number: SceneNumber
    kind: str
    reason: str
    cost_usd: Money


class VideoComposing(Event):
    """All clips are there; the film is being joined."""

    name = "video.composing"


class VideoComposed(Event):
    """The film is stored and plays. `duration` is in seconds, `width` and `height` in pixels."""

    name = "video.composed"

    film: MediaReference
    thumbnail: MediaReference
    duration: Seconds
    width: int
    height: int


class VideoFailed(Event):
    """The video will not be finished. `reason` is for people; `kind` is for programs."""

    name = "video.failed"

    stage: Stage
    kind: str
    reason: str


class VideoResumed(Event):
    """An operator put back the message that a failed video died of: it goes on."""

    name = "video.resumed"


class VideoCancelled(Event):
    """A person, or a service, does not want the video any more."""

    name = "video.cancelled"

    by: str
    reason: str


EVENTS: tuple[type[Event], ...] = (
    VideoRequested,
    StoryboardCreated,
    SceneRequested,
    SceneStarted,
    SceneProgressed,
    SceneRendered,
    SceneFailed,
    VideoComposing,
    VideoComposed,
    VideoFailed,
    VideoResumed,
    VideoCancelled,
)
