"""The life of a video: every event, in the order it happens. Read this first, then the four `handlers.py`."""

from decimal import Decimal
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import Field

from shared.contracts.media import Clip, MediaReference
from shared.contracts.messages import Message
from shared.contracts.story import (
    DEFAULT_NICHE,
    DEFAULT_OWNER,
    AspectRatio,
    Belonging,
    Metadata,
    Niche,
    Owner,
    PostId,
    Priority,
    Prompt,
    Scene,
    SceneNumber,
    Storyboard,
    VideoStory,
)

Stage = Literal["request", "storyboard", "scene-render", "composer"]
Money = Annotated[Decimal, Field(ge=0, max_digits=10, decimal_places=4)]
Percent = Annotated[float, Field(ge=0, le=100)]
PRODUCER = "producer"
"""Any other service of the factory."""
OPERATOR = "operator"
"""The person who runs `make redrive`."""
Seconds = Annotated[float, Field(ge=0)]
Epoch = Annotated[int, Field(ge=0, le=1_000_000_000)]
"""Orders the failures and resumes of one video; see `shared.contracts.epochs`."""


class Event(Message):
    """Something that happened to one video.

    RabbitMQ lets only the `publishers` publish it, and keeps it in a queue for each of the `consumers`, whether they
    have ever run or not.
    """

    publishers: ClassVar[tuple[str, ...]] = ()
    consumers: ClassVar[tuple[str, ...]] = ()

    video_id: UUID

    @property
    def ordering_key(self) -> str:
        """Events of one video are sent in order."""
        return str(self.video_id)


class StoryRequested(Event):
    """What a story is wished to be."""

    prompt: Prompt
    niche: Niche = DEFAULT_NICHE
    scene_count: Annotated[int, Field(ge=1, le=5)] = 3
    duration: Annotated[int, Field(ge=15, le=60)] = 30
    aspect_ratio: AspectRatio = "16:9"
    owner: Owner = DEFAULT_OWNER


class StoryboardRequested(StoryRequested):
    """Somebody wants to see a storyboard, and no video of it. `video_id` is the id of the storyboard alone."""

    name = "storyboard.requested"
    publishers = ("gateway",)
    consumers = ("storyboard", "gateway")


class StoryboardDrafted(Event):
    """The storyboard that was asked for alone is written. `repairs` says what was changed in what the writer wrote."""

    name = "storyboard.drafted"
    publishers = ("storyboard",)
    consumers = ("gateway",)

    storyboard: Storyboard
    repairs: tuple[str, ...] = ()


class StoryboardFailed(Event):
    """The storyboard that was asked for alone will not be written. `reason` is for people; `kind` is for programs."""

    name = "storyboard.failed"
    publishers = ("storyboard",)
    consumers = ("gateway",)

    kind: str
    reason: str


class VideoRequested(StoryRequested):
    """Somebody wants a video: a person through the gateway, or another service of the factory on the broker.

    With a `storyboard` that one is filmed, and its own number of scenes, niche and duration count. With `review`
    nothing is rendered before `storyboard.approved`. `providers`: who should render it, the preferred one first.
    """

    name = "video.requested"
    publishers = ("gateway", PRODUCER)
    consumers = ("storyboard", "gateway")

    post_id: PostId | None = None
    priority: Priority = "interactive"
    metadata: Metadata = {}
    storyboard: Storyboard | None = None
    review: bool = False
    providers: Annotated[tuple[str, ...], Field(max_length=10)] = ()


class StoryboardCreated(Event, VideoStory, Belonging):
    """The story is written and broken into scenes. A higher `revision` replaces a lower one.

    `review`: nothing is rendered before somebody says `storyboard.approved`. `shots` has a picture for each scene, or
    is empty; see `Storyboard`.
    """

    name = "storyboard.created"
    publishers = ("storyboard",)
    consumers = ("composer", "gateway")

    story_script: str
    aspect_ratio: AspectRatio
    shots: tuple[str, ...] = ()
    style: str = ""
    review: bool = False
    revision: Annotated[int, Field(ge=0)] = 0


class StoryboardApproved(Event):
    """Somebody has looked at the storyboard of a video: it is to be filmed, as it is or as it was edited."""

    name = "storyboard.approved"
    publishers = ("gateway",)
    consumers = ("storyboard", "gateway")

    storyboard: Storyboard | None = None
    by: str


class SceneRequested(Event):
    """One scene is to be rendered, as a clip of exactly `clip_frames` frames."""

    name = "scene.requested"
    publishers = ("storyboard",)
    consumers = ("scene-render",)

    scene: Scene
    scene_count: Annotated[int, Field(ge=1, le=5)]
    shot_prompt: str
    clip_frames: Annotated[int, Field(gt=0)]
    aspect_ratio: AspectRatio
    niche: Niche
    owner: Owner
    post_id: PostId | None = None
    priority: Priority
    providers: tuple[str, ...] = ()
    """Who should render it, the preferred one first. Empty: whoever is configured."""
    first_frame: MediaReference | None = None
    """A JPEG or PNG picture that the clip begins with."""


class SceneDelayed(Event):
    """A scene waits for more than its turn, and `reason` says why: its provider takes nothing at the moment.

    Or, where `kind` is `unconfirmed`: the scene was ordered, and its provider has not said yet whether it took it.
    """

    name = "scene.delayed"
    publishers = ("scene-render",)
    consumers = ("gateway",)

    scene_number: SceneNumber
    provider: str
    kind: str
    reason: str


class SceneStarted(Event):
    """A provider has taken the scene."""

    name = "scene.started"
    publishers = ("scene-render",)
    consumers = ("gateway",)

    scene_number: SceneNumber
    provider: str
    eta_seconds: Seconds


class SceneProgressed(Event):
    """How far a scene is. A hint for those who watch: not stored, may be lost."""

    name = "scene.progressed"
    publishers = ("scene-render",)
    consumers = ("gateway",)
    stored = False

    scene_number: SceneNumber
    provider: str
    percent: Percent
    eta_seconds: Seconds


class Charged(Event):
    """What something paid holds or took, in USD; said whenever that changes. A higher `revision` replaces a lower one.

    `held` is reserved until the provider's task has ended; `unknown`: it may have been paid, nobody can tell, and the
    money stays held until a person settles it.
    """

    attempt_id: UUID
    revision: int
    owner: Owner
    provider: str
    day: str
    state: Literal["held", "unknown", "settled"]
    held_usd: Money
    booked_usd: Money
    task_id: str | None = None
    reason: str | None = None
    simulated: bool = False
    """Whether the money is not real, because the provider is not."""


class StoryCharged(Charged):
    """What a language model has taken so far for one request, all its answers together.

    `alone`: `video_id` is the id of a storyboard that was asked for alone.
    """

    name = "storyboard.charged"
    publishers = ("storyboard",)
    consumers = ("gateway",)

    alone: bool = False


class SceneCharged(Charged):
    """What one paid attempt at a scene holds or took."""

    name = "scene.charged"
    publishers = ("scene-render",)
    consumers = ("gateway",)

    scene_number: SceneNumber


class ChargeReviewed(Event):
    """A person has found out whether an unknown attempt was paid.

    Paid, with the provider's `task_id`: its clip is used and the video goes on. Paid without one: `cost_usd` is
    booked (default: what was held). Not paid: the money is free again. `again`: the scene may be tried once more.
    """

    name = "charge.reviewed"
    publishers = ("gateway",)
    consumers = ("scene-render",)

    attempt_id: UUID
    paid: bool
    task_id: Annotated[str, Field(max_length=255)] | None = None
    cost_usd: Money | None = None
    again: bool = False
    by: str


class SceneRendered(Event):
    """The clip of a scene is checked, in the film's form, and stored."""

    name = "scene.rendered"
    publishers = ("scene-render",)
    consumers = ("composer", "gateway")

    scene_number: SceneNumber
    clip: Clip
    duration: Seconds
    cost_usd: Money
    provider: str


class SceneFailed(Event, Belonging):
    """A scene will not be rendered. `reason` is for people; `kind` is for programs.

    `epoch`: the one it failed in. It changes nothing where the video was resumed since, in a higher one.
    """

    name = "scene.failed"
    publishers = ("scene-render",)
    consumers = ("composer", "gateway")

    scene_number: SceneNumber
    kind: str
    reason: str
    cost_usd: Money
    epoch: Epoch = 0


class VideoComposing(Event):
    """All clips are there; the film is being joined."""

    name = "video.composing"
    publishers = ("composer",)
    consumers = ("gateway",)


class VideoProgressed(Event):
    """How far the joining of the film is. A hint for those who watch: not stored, may be lost."""

    name = "video.progressed"
    publishers = ("composer",)
    consumers = ("gateway",)
    stored = False

    percent: Percent


class VideoStoring(Event):
    """The film is joined and being stored. A hint for those who watch: not stored, may be lost."""

    name = "video.storing"
    publishers = ("composer",)
    consumers = ("gateway",)
    stored = False


class VideoComposed(Event, Belonging):
    """The film is stored and plays. `duration` is in seconds, `width` and `height` in pixels."""

    name = "video.composed"
    publishers = ("composer",)
    consumers = ("gateway",)

    film: MediaReference
    thumbnail: MediaReference
    duration: Seconds
    width: int
    height: int


class VideoFailed(Event, Belonging):
    """The video will not be finished. `reason` is for people; `kind` is for programs.

    `epoch`: the one it failed in. It changes nothing where the video was resumed since, in a higher one.

    Stage `request`: the request was refused, and is the only thing that failed. A video that another request with the
    same id made goes on. `request_message_id` is the `message_id` of the refused request. Where its `videoId` could
    not be read, this event has an id of its own.
    """

    name = "video.failed"
    publishers = ("storyboard", "scene-render", "composer", "gateway")
    consumers = ("scene-render", "composer", "gateway")

    stage: Stage
    kind: str
    reason: str
    epoch: Epoch = 0
    request_message_id: str | None = None


class VideoResumed(Event):
    """The cause of a failure is fixed, by an operator or by news of a lost task: the video continues.

    `epoch`: the one that begins now. All failures of lower ones are over, whether they were heard of yet or not.
    """

    name = "video.resumed"
    publishers = ("scene-render", OPERATOR)
    consumers = ("scene-render", "composer", "gateway")

    epoch: Epoch = 1


class VideoCancelled(Event):
    """A person, or a service, does not want the video any more."""

    name = "video.cancelled"
    publishers = ("gateway",)
    consumers = ("storyboard", "scene-render", "composer", "gateway")

    by: str
    reason: str


class VideoDeleted(Event):
    """The video was deleted: every service erases its text and its media. Amounts stay. It may come more than once."""

    name = "video.deleted"
    publishers = ("gateway",)
    consumers = ("storyboard", "scene-render", "composer")

    by: str


class VideoExpired(Event):
    """The film was kept as long as films are: every service removes its media. Texts and amounts stay."""

    name = "video.expired"
    publishers = ("gateway",)
    consumers = ("scene-render", "composer")


EVENTS: tuple[type[Event], ...] = (
    StoryboardRequested,
    StoryboardDrafted,
    StoryboardFailed,
    VideoRequested,
    StoryboardCreated,
    StoryboardApproved,
    StoryCharged,
    SceneRequested,
    SceneDelayed,
    SceneStarted,
    SceneProgressed,
    SceneCharged,
    ChargeReviewed,
    SceneRendered,
    SceneFailed,
    VideoComposing,
    VideoProgressed,
    VideoStoring,
    VideoComposed,
    VideoFailed,
    VideoResumed,
    VideoCancelled,
    VideoExpired,
    VideoDeleted,
)
