"""All events of a video, in the order in which they happen. Read this first, then the four `handlers.py`."""

from decimal import Decimal
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import Field

from shared.contracts.base import AspectRatio
from shared.contracts.media import Clip, MediaReference, ScrubSheet, StreamSegment
from shared.contracts.messages import Message
from shared.contracts.story import (
    DEFAULT_NICHE,
    DEFAULT_OWNER,
    Belonging,
    CastMember,
    CastReference,
    ClipSound,
    Metadata,
    Niche,
    Owner,
    PostId,
    Priority,
    Prompt,
    Quality,
    Scene,
    SceneNumber,
    ShotDetails,
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

    RabbitMQ allows only the `publishers` to publish it, and keeps it in a queue for each of the `consumers`, even if
    they have never run.
    """

    publishers: ClassVar[tuple[str, ...]] = ()
    consumers: ClassVar[tuple[str, ...]] = ()

    video_id: UUID

    @property
    def ordering_key(self) -> str:
        """Events of one video are sent in order."""
        return str(self.video_id)


class StoryRequested(Event):
    """The wanted properties of a story."""

    prompt: Prompt
    niche: Niche = DEFAULT_NICHE
    scene_count: Annotated[int, Field(ge=1, le=5)] = 3
    duration: Annotated[int, Field(ge=15, le=60)] = 30
    aspect_ratio: AspectRatio = "16:9"
    owner: Owner = DEFAULT_OWNER


class StoryboardRequested(StoryRequested):
    """A user wants a storyboard without a video. `video_id` is the id of the storyboard."""

    name = "storyboard.requested"
    publishers = ("gateway",)
    consumers = ("storyboard", "gateway")


class StoryboardDrafted(Event):
    """A standalone storyboard is written. `repairs` lists the corrections to the writer's text."""

    name = "storyboard.drafted"
    publishers = ("storyboard",)
    consumers = ("gateway",)

    storyboard: Storyboard
    repairs: tuple[str, ...] = ()


class StoryboardFailed(Event):
    """A standalone storyboard will not be written. `reason` is for people; `kind` is for programs."""

    name = "storyboard.failed"
    publishers = ("storyboard",)
    consumers = ("gateway",)

    kind: str
    reason: str


class VideoRequested(StoryRequested):
    """A video is requested by a person through the gateway, or by another service of the factory on the broker.

    With a `storyboard`, that one is filmed, and its number of scenes, niche and duration replace those of the request.
    With `review`, nothing is rendered before `storyboard.approved`, and no clip before `frames.approved`. `providers`:
    which providers should render it, the preferred one first. `references` are pictures of people, places or things of
    the story. `clip_sound`: what becomes of the sound that models make.
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
    quality: Quality = "standard"
    references: Annotated[tuple[CastReference, ...], Field(max_length=6)] = ()
    clip_sound: ClipSound = "keep"


class StoryboardCreated(Event, VideoStory, Belonging):
    """The story is written and divided into scenes. A higher `revision` replaces a lower one.

    `review`: nothing is rendered before `storyboard.approved`. `shots` and `details` have one entry per scene, or are
    empty; see `Storyboard`.
    """

    name = "storyboard.created"
    publishers = ("storyboard",)
    consumers = ("composer", "gateway")

    story_script: str
    aspect_ratio: AspectRatio
    shots: tuple[str, ...] = ()
    details: tuple[ShotDetails, ...] = ()
    style: str = ""
    cast: tuple[CastMember, ...] = ()
    clip_sound: ClipSound = "keep"
    review: bool = False
    revision: Annotated[int, Field(ge=0)] = 0


class StoryboardApproved(Event):
    """A person approved the storyboard of a video, with or without edits: it can be filmed."""

    name = "storyboard.approved"
    publishers = ("gateway",)
    consumers = ("storyboard", "gateway")

    storyboard: Storyboard | None = None
    by: str


class CastRequested(Event):
    """The reference pictures of a video's cast must be made, before the first frames of its scenes."""

    name = "cast.requested"
    publishers = ("storyboard",)
    consumers = ("scene-render",)

    cast: Annotated[tuple[CastMember, ...], Field(min_length=1, max_length=6)]
    style: str = ""
    owner: Owner
    priority: Priority
    quality: Quality = "standard"
    providers: tuple[str, ...] = ()


class SceneRequested(Event):
    """One scene must be rendered as a clip of exactly `clip_frames` frames.

    Its first `lead_frames` frames overlap the scene before, its last `tail_frames` frames the scene after. The prompt
    is `shot_prompt`; the looks of the `cast`, who are in the picture, are not a part of it.
    """

    name = "scene.requested"
    publishers = ("storyboard",)
    consumers = ("scene-render",)

    scene: Scene
    scene_count: Annotated[int, Field(ge=1, le=5)]
    shot_prompt: str
    clip_frames: Annotated[int, Field(gt=0)]
    lead_frames: Annotated[int, Field(ge=0)] = 0
    tail_frames: Annotated[int, Field(ge=0)] = 0
    aspect_ratio: AspectRatio
    niche: Niche
    owner: Owner
    post_id: PostId | None = None
    priority: Priority
    providers: tuple[str, ...] = ()
    """The providers that should render it, the preferred one first. Empty: any configured provider."""
    quality: Quality = "standard"
    key_moment: bool = False
    cast: tuple[CastMember, ...] = ()
    clip_sound: ClipSound = "keep"
    review: bool = False
    """Whether its first frame is shown before its clip is ordered; see `frames.approved`."""
    first_frame: MediaReference | None = None
    """A JPEG or PNG picture that the clip starts with."""
    own_clip: MediaReference | None = None
    """A clip that replaces the rendering."""


class PictureRendered(Event):
    """A picture is stored: the reference of a member of the cast, or the first frame of a scene.

    Without a `provider` it was brought by the request, and is free.
    """

    name = "picture.rendered"
    publishers = ("scene-render",)
    consumers = ("gateway",)

    purpose: Literal["reference", "first_frame"]
    cast_name: str | None = None
    scene_number: SceneNumber | None = None
    picture: MediaReference
    cost_usd: Money
    provider: str | None = None
    model: str | None = None


class FramesRendered(Event):
    """Every scene of a video under review has its first frame, or needs none: its clips await `frames.approved`.

    It is not published if no scene has one.
    """

    name = "frames.rendered"
    publishers = ("scene-render",)
    consumers = ("gateway",)


class FrameRejected(Event):
    """A person wants another first frame of a scene: made from a new description, or this picture."""

    name = "frame.rejected"
    publishers = ("gateway",)
    consumers = ("scene-render",)

    scene_number: SceneNumber
    description: Annotated[str, Field(max_length=900)] | None = None
    image: MediaReference | None = None
    by: str


class FramesApproved(Event):
    """A person approved the first frames of a video: its clips can be rendered."""

    name = "frames.approved"
    publishers = ("gateway",)
    consumers = ("scene-render",)

    by: str


class SceneDelayed(Event):
    """A scene is delayed because its provider accepts nothing at the moment; `reason` says why.

    With the `kind` `unconfirmed`, the scene was ordered and its provider has not yet confirmed the order.
    """

    name = "scene.delayed"
    publishers = ("scene-render",)
    consumers = ("gateway",)

    scene_number: SceneNumber
    provider: str
    kind: str
    reason: str


class SceneStarted(Event):
    """A provider has accepted the scene."""

    name = "scene.started"
    publishers = ("scene-render",)
    consumers = ("gateway",)

    scene_number: SceneNumber
    provider: str
    eta_seconds: Seconds


class SceneProgressed(Event):
    """The progress of a scene, for live display. It is not stored and may be lost."""

    name = "scene.progressed"
    publishers = ("scene-render",)
    consumers = ("gateway",)
    stored = False

    scene_number: SceneNumber
    provider: str
    percent: Percent
    eta_seconds: Seconds


class Charged(Event):
    """The reserved and booked cost of a paid attempt, in USD. A higher `revision` replaces a lower one.

    `held`: reserved until the provider's task has ended. `unknown`: it is not known whether the attempt was paid, and
    the money stays reserved until a person settles it.
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
    """The cost so far of all answers of a language model to one request.

    `alone`: `video_id` is the id of a standalone storyboard.
    """

    name = "storyboard.charged"
    publishers = ("storyboard",)
    consumers = ("gateway",)

    alone: bool = False


class SceneCharged(Charged):
    """The reserved and booked cost of one paid attempt at a scene, or at the reference picture of a cast member."""

    name = "scene.charged"
    publishers = ("scene-render",)
    consumers = ("gateway",)

    scene_number: SceneNumber | None = None
    """None: it paid a reference picture."""
    purpose: Literal["clip", "first_frame", "reference"] = "clip"
    model: str | None = None


class ChargeReviewed(Event):
    """A person has found out whether an unknown attempt was paid.

    Paid, with the provider's `task_id`: its clip is used and the video continues. Paid without a `task_id`: `cost_usd`
    is booked (default: the reserved amount). Not paid: the reservation is released. `again`: the scene may be tried
    once more.
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
    """The clip of a scene is checked, converted to the film's format and stored.

    `model`: the name of the provider's model that rendered it (its last part, if it was rendered in several).
    """

    name = "scene.rendered"
    publishers = ("scene-render",)
    consumers = ("composer", "gateway")

    scene_number: SceneNumber
    clip: Clip
    duration: Seconds
    cost_usd: Money
    provider: str
    model: str | None = None


class SceneFailed(Event, Belonging):
    """A scene will not be rendered. `reason` is for people; `kind` is for programs.

    `epoch`: the epoch it failed in. The event has no effect if the video was resumed in a higher epoch.
    """

    name = "scene.failed"
    publishers = ("scene-render",)
    consumers = ("composer", "gateway")

    scene_number: SceneNumber
    kind: str
    reason: str
    cost_usd: Money
    epoch: Epoch = 0


class StreamExtended(Event):
    """The next piece of the stream is stored: an HLS rendition by which the film is watched while it is being made.

    A piece is one scene and the transition before it. It plays after the pieces of lower `piece_number`, which may be
    stored later. `piece_count` is that of the whole film.
    """

    name = "stream.extended"
    publishers = ("composer",)
    consumers = ("gateway",)

    piece_number: SceneNumber
    piece_count: Annotated[int, Field(ge=1, le=5)]
    init: MediaReference
    """The initialisation segment of the piece."""
    segments: Annotated[tuple[StreamSegment, ...], Field(min_length=1, max_length=500)]
    longest_frames: Annotated[int, Field(gt=0)]
    """The most frames that a segment of any piece can have: the target duration of a playlist must not change."""


class VideoComposing(Event):
    """All clips are present; the film is being composed."""

    name = "video.composing"
    publishers = ("composer",)
    consumers = ("gateway",)


class VideoProgressed(Event):
    """The progress of composing, for live display. It is not stored and may be lost."""

    name = "video.progressed"
    publishers = ("composer",)
    consumers = ("gateway",)
    stored = False

    percent: Percent


class VideoStoring(Event):
    """The film is composed and is being stored, for live display. The event is not stored and may be lost."""

    name = "video.storing"
    publishers = ("composer",)
    consumers = ("gateway",)
    stored = False


class VideoComposed(Event, Belonging):
    """The film is stored and playable. `duration` is in seconds, `width` and `height` in pixels.

    `encoded_frames`: how many of its frames were encoded for it; the others are copied from the clips.
    """

    name = "video.composed"
    publishers = ("composer",)
    consumers = ("gateway",)

    film: MediaReference
    thumbnail: MediaReference
    duration: Seconds
    width: int
    height: int
    encoded_frames: Annotated[int, Field(ge=0)] = 0


class VideoPreviewed(Event):
    """The pictures of a film are stored: a contact sheet, a looping animation, and small pictures for scrubbing."""

    name = "video.previewed"
    publishers = ("composer",)
    consumers = ("gateway",)

    contact_sheet: MediaReference
    animation: MediaReference
    scrub_sheet: MediaReference
    scrub_layout: ScrubSheet


class VideoFailed(Event, Belonging):
    """The video will not be finished. `reason` is for people; `kind` is for programs.

    `epoch`: the epoch it failed in. The event has no effect if the video was resumed in a higher epoch.

    Stage `request`: only the request was refused. A video that was made by another request with the same id continues.
    `request_message_id` is the `message_id` of the refused request. If its `videoId` could not be read, this event has
    an id of its own.
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
    """The cause of a failure is fixed, by an operator or because a lost task was found: the video continues.

    `epoch`: the epoch that starts now. It overrides all failures of lower epochs, including those that arrive later.
    """

    name = "video.resumed"
    publishers = ("scene-render", OPERATOR)
    consumers = ("scene-render", "composer", "gateway")

    epoch: Epoch = 1


class VideoCancelled(Event):
    """A person or a service cancelled the video."""

    name = "video.cancelled"
    publishers = ("gateway",)
    consumers = ("storyboard", "scene-render", "composer", "gateway")

    by: str
    reason: str


class VideoDeleted(Event):
    """The video was deleted: every service erases its texts and media, and keeps its amounts. It may be sent again."""

    name = "video.deleted"
    publishers = ("gateway",)
    consumers = ("storyboard", "scene-render", "composer")
    # It cannot fail any more, and an event about it would delete it again.
    fails_video = False

    by: str


class VideoExpired(Event):
    """The retention time of the film is over: every service removes its media, and keeps its texts and amounts."""

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
    CastRequested,
    SceneRequested,
    PictureRendered,
    FramesRendered,
    FrameRejected,
    FramesApproved,
    SceneDelayed,
    SceneStarted,
    SceneProgressed,
    SceneCharged,
    ChargeReviewed,
    SceneRendered,
    SceneFailed,
    StreamExtended,
    VideoComposing,
    VideoProgressed,
    VideoStoring,
    VideoComposed,
    VideoPreviewed,
    VideoFailed,
    VideoResumed,
    VideoCancelled,
    VideoExpired,
    VideoDeleted,
)
