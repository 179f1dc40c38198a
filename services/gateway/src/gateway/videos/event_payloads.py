"""The payloads of live events, the same for Socket.IO, SSE, tRPC and webhooks: a name, and what a page shows."""

from typing import Annotated
from uuid import UUID

from pydantic import Field, JsonValue, WithJsonSchema

from gateway.models import Video
from gateway.videos.mapping import (
    cast_link,
    clip_link,
    film_link,
    frame_link,
    projection_of,
    stream_link,
    thumbnail_link,
)
from gateway.videos.projection import Step
from gateway.videos.scene_projection import SceneStatus
from gateway.videos.status import Status, VideoStatus
from shared.contracts.base import Contract
from shared.contracts.events import (
    Event,
    FrameRejected,
    FramesApproved,
    FramesRendered,
    PictureRendered,
    SceneDelayed,
    SceneFailed,
    SceneProgressed,
    SceneRendered,
    SceneStarted,
    StoryboardApproved,
    StoryboardCreated,
    StreamExtended,
    VideoCancelled,
    VideoComposed,
    VideoComposing,
    VideoExpired,
    VideoFailed,
    VideoProgressed,
    VideoRequested,
    VideoResumed,
    VideoStoring,
)
from shared.contracts.media import FRAME_RATE
from shared.contracts.story import Scene


class SceneSummary(Contract):
    """The state of one scene. `progress` is 0-100."""

    scene_number: int
    state: SceneStatus
    progress: float


class VideoPayload(Contract):
    """The state of a video. `progress` is 0-100 and never falls; `seq` is null in hints, which are not stored."""

    video_id: Annotated[UUID, WithJsonSchema({"type": "string"})]
    seq: int | None
    status: Status
    progress: float
    current_step: Step
    current_scene: int = Field(ge=1, description="The scenes that are rendered, plus one; at most `totalScenes`")
    total_scenes: int
    notice: str | None = Field(description="Why it waits for more than its turn, if it does")
    eta_seconds: int | None = None
    eta_range_seconds: tuple[int, int] | None = None
    scene_states: list[SceneSummary] = []


class ScenePayload(VideoPayload):
    """A video's state and that of one scene. `sceneProgress` is 0-100."""

    scene_number: int
    scene_description: str | None
    scene_progress: float


class SceneCompletedPayload(ScenePayload):
    """A scene is rendered: its clip can be watched."""

    scene_video_url: str


class SceneFailedPayload(ScenePayload):
    """A scene failed: `error` for people, `kind` for programs."""

    error: str
    kind: str


class StoryboardSummary(Contract):
    """A story: its title, and its scenes in their order."""

    title: str | None
    scenes: list[Scene]


class StoryboardPayload(VideoPayload, StoryboardSummary):
    """The story is written. `storyboard` holds the same `title` and `scenes` once more."""

    storyboard: StoryboardSummary


class PicturePayload(VideoPayload):
    """A picture is made: the first frame of a scene, or the reference picture of a member of the cast."""

    scene_number: int | None
    cast_name: str | None
    picture_url: str


class StreamPayload(VideoPayload):
    """A further part of the film can be watched: the stream now has `streamSeconds`."""

    stream_url: str
    stream_seconds: float


class CompletedPayload(VideoPayload):
    """The film can be watched."""

    video_url: str | None
    thumbnail_url: str | None


class FailedPayload(VideoPayload):
    """The video failed: `error` for people, `kind` for programs. It may be resumed."""

    error: str
    kind: str
    stage: str


LIVE_NAMES: dict[type[Event], str] = {
    VideoRequested: "video_generation_started",
    StoryboardCreated: "video_storyboard_created",
    StoryboardApproved: "video_generation_started",
    PictureRendered: "video_picture_rendered",
    FramesRendered: "video_frames_rendered",
    FrameRejected: "video_generation_started",
    FramesApproved: "video_generation_started",
    SceneDelayed: "video_scene_processing",
    SceneStarted: "video_scene_processing",
    SceneProgressed: "video_scene_processing",
    SceneRendered: "video_scene_completed",
    SceneFailed: "video_scene_failed",
    StreamExtended: "video_stream_extended",
    VideoComposing: "video_combining_scenes",
    VideoProgressed: "video_combining_scenes",
    VideoStoring: "video_combining_scenes",
    VideoComposed: "video_completed",
    VideoFailed: "video_failed",
    VideoResumed: "video_generation_started",
    VideoCancelled: "video_cancelled",
    VideoExpired: "video_expired",
}
"""The name of each event for clients; the other events only change the row."""

FINAL_EVENTS = tuple(f"video_{status}" for status in VideoStatus if status.is_final)
"""No event follows one of these, except that a film may expire."""

PAYLOADS: dict[str, type[VideoPayload]] = {
    "video_generation_started": VideoPayload,
    "video_storyboard_created": StoryboardPayload,
    "video_picture_rendered": PicturePayload,
    "video_frames_rendered": VideoPayload,
    "video_scene_processing": ScenePayload,
    "video_scene_completed": SceneCompletedPayload,
    "video_scene_failed": SceneFailedPayload,
    "video_stream_extended": StreamPayload,
    "video_combining_scenes": VideoPayload,
    "video_completed": CompletedPayload,
    "video_failed": FailedPayload,
    "video_cancelled": VideoPayload,
    "video_expired": VideoPayload,
}
"""The payload of each name."""


def linked(data: dict[str, JsonValue], public_url: str) -> dict[str, JsonValue]:
    """Return a stored payload with current links: `PUBLIC_URL` may have changed since."""
    video_id = str(data["videoId"])
    links = {
        "videoUrl": film_link(video_id, public_url),
        "thumbnailUrl": thumbnail_link(video_id, public_url),
        "streamUrl": stream_link(video_id, public_url),
    }
    if isinstance(number := data.get("sceneNumber"), int):
        links["sceneVideoUrl"] = clip_link(video_id, number, public_url)
        links["pictureUrl"] = frame_link(video_id, number, public_url)
    if isinstance(name := data.get("castName"), str):
        links["pictureUrl"] = cast_link(video_id, name, public_url)
    return {**data, **{name: link for name, link in links.items() if data.get(name) is not None}}


def video_state(row: Video) -> dict[str, JsonValue]:
    """Return the state of a video for its payloads."""
    video = projection_of(row)
    return {
        "status": row.status,
        "progress": row.progress,
        "currentStep": row.current_step,
        "currentScene": video.current_scene,
        "totalScenes": row.scene_count,
        "sceneStates": list(video.scene_standings),
        "etaSeconds": row.eta.seconds if row.eta else None,
        "etaRangeSeconds": [row.eta.low, row.eta.high] if row.eta else None,
        "notice": video.notice or (row.eta.notice if row.eta else None),
    }


def payload_of(row: Video, event: Event, public_url: str) -> dict[str, JsonValue]:
    """Return an event's payload: the video's state, and what the event adds. Links in it do not expire."""
    payload: dict[str, JsonValue] = {
        "videoId": row.video_id,
        "seq": row.last_seq if event.stored else None,
        **video_state(row),
    }
    if isinstance(event, SceneDelayed | SceneStarted | SceneProgressed | SceneRendered | SceneFailed):
        video = projection_of(row)
        payload["sceneNumber"] = event.scene_number
        scene = next((scene for scene in video.scenes if scene.scene_number == event.scene_number), None)
        payload["sceneDescription"] = scene.description if scene else None
        payload["sceneProgress"] = video.scene_state(event.scene_number).percent
    if isinstance(event, PictureRendered):
        payload["sceneNumber"], payload["castName"] = event.scene_number, event.cast_name
        of_cast = event.cast_name is not None
        link = cast_link(row.video_id, event.cast_name or "", public_url)
        payload["pictureUrl"] = link if of_cast else frame_link(row.video_id, event.scene_number or 0, public_url)
    if isinstance(event, SceneRendered):
        payload["sceneVideoUrl"] = clip_link(row.video_id, event.scene_number, public_url)
    if isinstance(event, SceneFailed):
        payload["error"], payload["kind"] = event.reason, event.kind
    if isinstance(event, StoryboardCreated):
        story: dict[str, JsonValue] = {
            "title": row.title,
            "scenes": [scene.model_dump(mode="json") for scene in projection_of(row).scenes],
        }
        payload |= {**story, "storyboard": story}
    if isinstance(event, StreamExtended):
        payload["streamUrl"] = stream_link(row.video_id, public_url)
        payload["streamSeconds"] = round(projection_of(row).stream_frames / FRAME_RATE, 3)
    if isinstance(event, VideoComposed):
        payload["videoUrl"] = film_link(row.video_id, public_url)
        payload["thumbnailUrl"] = thumbnail_link(row.video_id, public_url)
    if isinstance(event, VideoFailed):
        payload["error"], payload["kind"] = event.reason, event.kind
        payload["stage"] = event.stage
    return payload
