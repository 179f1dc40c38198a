"""The state of a video, and how each event changes it: rules, without any I/O.

Events may come in any order and more than once. Progress has one scale and never falls: storyboard done 20, scenes
20-80 by each scene's own progress, combining 85-95, storing 95, done 100. A video whose storyboard awaits its review is
`pending`, as nothing is being done about it, at the step `review`. One whose first frames do is at the step `frames`.
"""

import itertools
from typing import Literal

from pydantic import BaseModel, JsonValue

from gateway.videos.scene_projection import Picture, SceneEvent, SceneState, scene_after
from gateway.videos.status import Status, VideoStatus
from shared.catalogue.models import key_of
from shared.contracts.epochs import Standing
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
    VideoPreviewed,
    VideoProgressed,
    VideoResumed,
    VideoStoring,
)
from shared.contracts.media import MediaReference
from shared.contracts.story import Scene, Storyboard

Step = Literal["storyboard", "review", "scenes", "frames", "combining", "storing", "completed", "failed", "cancelled"]

STORYBOARD_DONE = 20.0
SCENES_DONE = 80.0
COMBINING = 85.0
STORING = 95.0
ALL_DONE = 100.0


class VideoProjection(BaseModel):
    """A video as its events so far describe it."""

    status: Status = VideoStatus.PENDING
    current_step: Step = "storyboard"
    progress: float = 0.0
    title: str | None = None
    story_script: str = ""
    scenes: tuple[Scene, ...] = ()
    scene_count: int
    revision: int = 0
    """Of the storyboard."""
    scene_states: dict[int, SceneState] = {}
    stream_pieces: dict[int, int] = {}
    """The length of each stored piece of the stream, in frames."""
    cast_pictures: dict[str, Picture] = {}
    """The reference pictures of the cast, by name."""
    models: tuple[str, ...] = ()
    """The models that rendered its clips and pictures."""
    film: MediaReference | None = None
    thumbnail: MediaReference | None = None
    previews: VideoPreviewed | None = None
    """The pictures of the film."""
    resolution: tuple[int, int] | None = None
    error_stage: str | None = None
    error_kind: str | None = None
    error_message: str | None = None
    epoch: int = 0
    """See `shared.contracts.epochs`."""

    @property
    def standing(self) -> Standing:
        """Return whether it has failed, and in which epoch."""
        return Standing(self.epoch, self.status is VideoStatus.FAILED)

    def scene_state(self, number: int) -> SceneState:
        """Return the state of a scene; before any event of it, it is waiting."""
        return self.scene_states.get(number, SceneState())

    @property
    def scene_standings(self) -> list[dict[str, JsonValue]]:
        """Return the state of each scene for payloads."""
        states = ((n, self.scene_state(n)) for n in range(1, self.scene_count + 1))
        return [{"sceneNumber": n, "state": state.state, "progress": state.percent} for n, state in states]

    @property
    def stream_frames(self) -> int:
        """Return how many frames of the film can be watched as a stream: those before the first missing piece."""
        frames = itertools.takewhile(bool, (self.stream_pieces.get(n, 0) for n in itertools.count(1)))
        return sum(frames)

    @property
    def notice(self) -> str | None:
        """Return why the video waits longer than its place in the queue explains, if it does."""
        if self.status.is_terminal:
            return None
        return next((state.notice for _, state in sorted(self.scene_states.items()) if state.notice), None)

    @property
    def current_scene(self) -> int:
        """Return the number of rendered scenes plus one, at most `scene_count`, as clients expect it."""
        numbers = range(1, self.scene_count + 1)
        done = sum(self.scene_state(n).state == "rendered" for n in numbers)
        return min(done + 1, self.scene_count)


def apply(video: VideoProjection, event: Event) -> VideoProjection:
    """Return the video after an event; the same object if the event changes nothing."""
    if isinstance(event, VideoExpired):
        return _expired(video) if video.status is VideoStatus.COMPLETED else video
    if isinstance(event, StreamExtended):
        return video if video.status in (VideoStatus.CANCELLED, VideoStatus.EXPIRED) else _streamed(video, event)
    if isinstance(event, VideoPreviewed):
        gone = video.status in (VideoStatus.CANCELLED, VideoStatus.EXPIRED)
        return video if gone else video.model_copy(update={"previews": event})
    if video.status.is_final:
        return video
    changed = video.model_copy(update=_changes(video, event))
    return changed.model_copy(update={"progress": max(video.progress, changed.progress, _progress(changed))})


def is_announced(before: VideoProjection, after: VideoProjection, event: Event) -> bool:
    """Return whether subscribers are told of an event that changed a video.

    After the film, nothing follows but its expiry; a piece of the stream and the previews may still come.
    """
    if isinstance(event, VideoPreviewed):
        return False
    if not isinstance(event, StreamExtended):
        return True
    return not before.status.is_final and after.stream_frames > before.stream_frames


def _streamed(video: VideoProjection, event: StreamExtended) -> VideoProjection:
    frames = sum(segment.frames for segment in event.segments)
    return video.model_copy(update={"stream_pieces": {**video.stream_pieces, event.piece_number: frames}})


def _expired(video: VideoProjection) -> VideoProjection:
    """Remove film, stream, clips and pictures; the story stays."""
    removed = {"clip": None, "first_frame": None}
    states = {number: state.model_copy(update=removed) for number, state in video.scene_states.items()}
    return video.model_copy(
        update={
            "status": VideoStatus.EXPIRED,
            "film": None,
            "thumbnail": None,
            "previews": None,
            "stream_pieces": {},
            "scene_states": states,
            "cast_pictures": {},
        }
    )


def _changes(video: VideoProjection, event: Event) -> dict[str, object]:
    match event:
        case StoryboardCreated() if event.revision < video.revision:
            return {}
        case StoryboardCreated():
            return {
                **_step_after_storyboard(video, event),
                "revision": event.revision,
                "title": event.title,
                "story_script": event.story_script,
                "scenes": event.scenes,
                "scene_count": len(event.scenes),
            }
        case StoryboardApproved():
            return _leaves_review(video, event.storyboard)
        case PictureRendered():
            return _picture_changes(video, event)
        case FramesRendered() if video.current_step in ("storyboard", "review", "scenes"):
            return {**_goes_on(video), "current_step": "frames"}
        case FrameRejected() if video.current_step == "frames":
            state = video.scene_state(event.scene_number).model_copy(update={"first_frame": None})
            states = {**video.scene_states, event.scene_number: state}
            return {"current_step": "scenes", "scene_states": states}
        case FramesApproved() if video.current_step == "frames":
            return {"current_step": "scenes"}
        case SceneDelayed() | SceneStarted() | SceneProgressed() | SceneRendered() | SceneFailed():
            return _scene_changes(video, event)
        case VideoComposing() if video.current_step == "storing":
            return {}
        case VideoComposing():
            return {**_goes_on(video), "current_step": "combining"}
        case VideoProgressed() if video.current_step == "combining":
            return {"progress": COMBINING + (STORING - COMBINING) * event.percent / 100}
        case VideoStoring():
            return {**_goes_on(video), "current_step": "storing"} if video.status is not VideoStatus.FAILED else {}
        case VideoComposed():
            return {
                "status": VideoStatus.COMPLETED,
                "current_step": "completed",
                "film": event.film,
                "thumbnail": event.thumbnail,
                "resolution": (event.width, event.height),
                **_no_error(),
            }
        case VideoFailed() | VideoResumed() if video.standing.after(event) == video.standing:
            return {}
        case VideoFailed():
            return {
                **_in_epoch(video, event.epoch),
                "status": VideoStatus.FAILED,
                "current_step": "failed",
                "error_stage": event.stage,
                "error_kind": event.kind,
                "error_message": event.reason,
            }
        case VideoResumed():
            return {**_in_epoch(video, event.epoch), **_revived(video)}
        case VideoCancelled():
            return {"status": VideoStatus.CANCELLED, "current_step": "cancelled"}
        case _:
            return {}


def _scene_changes(video: VideoProjection, event: SceneEvent) -> dict[str, object]:
    if isinstance(event, SceneFailed) and event.epoch < video.epoch:
        return {}
    before = video.scene_state(event.scene_number)
    after = scene_after(before, event)
    if after is before:
        return {}
    return {
        **_goes_on(video),
        **_leaves_review(video, None),
        **(_used(video, event) if isinstance(event, SceneRendered) else {}),
        "scene_states": {**video.scene_states, event.scene_number: after},
    }


def _picture_changes(video: VideoProjection, event: PictureRendered) -> dict[str, object]:
    picture = Picture(media=event.picture, provider=event.provider, model=event.model, cost_usd=event.cost_usd)
    changed = {**_goes_on(video), **_leaves_review(video, None), **_used(video, event)}
    if event.cast_name is not None:
        return {**changed, "cast_pictures": {**video.cast_pictures, event.cast_name: picture}}
    if event.scene_number is None:
        return {}
    state = video.scene_state(event.scene_number).model_copy(update={"first_frame": picture})
    return {**changed, "scene_states": {**video.scene_states, event.scene_number: state}}


def _used(video: VideoProjection, event: SceneRendered | PictureRendered) -> dict[str, object]:
    """Add the model of a clip or picture to those that were used."""
    if event.provider is None:
        return {}
    return {"models": tuple(sorted({*video.models, key_of(event.provider, event.model)}))}


def _step_after_storyboard(video: VideoProjection, event: StoryboardCreated) -> dict[str, object]:
    if event.review:
        return {"current_step": "review"} if video.current_step == "storyboard" else {}
    is_next = video.current_step in ("storyboard", "review")
    return {**_goes_on(video), "current_step": "scenes" if is_next else video.current_step}


def _leaves_review(video: VideoProjection, edited: Storyboard | None) -> dict[str, object]:
    if video.current_step != "review":
        return {}
    changed: dict[str, object] = {"status": VideoStatus.PROCESSING, "current_step": "scenes"}
    if edited is not None:
        scenes = tuple(Scene.model_validate(scene.model_dump()) for scene in edited.scenes)
        changed |= {"title": edited.title, "scenes": scenes, "scene_count": len(scenes)}
    return changed


def _goes_on(video: VideoProjection) -> dict[str, object]:
    """Mark a pending video as processing. A failed one stays failed: only `video.resumed` revives it."""
    return {"status": VideoStatus.PROCESSING} if video.status is VideoStatus.PENDING else {}


def _revived(video: VideoProjection) -> dict[str, object]:
    """Continue a failed video at the step it had reached."""
    if video.status is not VideoStatus.FAILED:
        return {}
    step = video.current_step if video.current_step != "failed" else "scenes" if video.scenes else "storyboard"
    return {"status": VideoStatus.PROCESSING, "current_step": step, **_no_error()}


def _in_epoch(video: VideoProjection, epoch: int) -> dict[str, object]:
    """Enter an epoch: scenes that failed in an earlier one wait again."""
    states = {
        number: SceneState(percent=state.percent, provider=state.provider, first_frame=state.first_frame)
        if state.state == "failed" and state.failed_in < epoch
        else state
        for number, state in video.scene_states.items()
    }
    return {"epoch": epoch, "scene_states": states}


def _no_error() -> dict[str, object]:
    return {"error_stage": None, "error_kind": None, "error_message": None}


def _progress(video: VideoProjection) -> float:
    if video.status is VideoStatus.COMPLETED:
        return ALL_DONE
    if video.current_step == "storing":
        return STORING
    if video.current_step == "combining":
        return COMBINING
    if not video.scenes:
        return 0.0
    done = sum(video.scene_state(scene.scene_number).percent for scene in video.scenes) / len(video.scenes)
    return round(STORYBOARD_DONE + (SCENES_DONE - STORYBOARD_DONE) * done / 100, 1)
