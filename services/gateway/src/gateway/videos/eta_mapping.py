"""What the ETA needs to know of a video, as plain values, and what is kept in its row for the next one."""

from gateway.eta.service import Noted
from gateway.eta.stage_timestamps import StageTimestamps
from gateway.eta.video_progress import AWAITING_STEPS, QueuePlace, SceneProgress, VideoProgress
from gateway.models import Video
from gateway.videos.projection import VideoProjection
from gateway.videos.status import VideoStatus
from shared.contracts.media import FRAME_RATE
from shared.contracts.timeline import timeline

DEFAULT_SECONDS = 30


def is_in_progress(row: Video | VideoProjection) -> bool:
    """Return whether a video has neither ended nor waits for a person, so that it has an ETA."""
    return not VideoStatus.of(row.status).is_terminal and row.current_step not in AWAITING_STEPS


def progress_of(row: Video, projection: VideoProjection) -> VideoProgress:
    """Return how far a video is."""
    seconds = row.duration or DEFAULT_SECONDS
    if projection.scenes:
        clips = [slot.clip_frames / FRAME_RATE for slot in timeline(projection.scenes)]
    else:
        clips = [seconds / projection.scene_count] * projection.scene_count
    return VideoProgress(
        owner=row.owner,
        is_in_progress=is_in_progress(projection),
        step=projection.current_step,
        film_seconds=seconds,
        has_storyboard=bool(projection.scenes),
        clip_seconds=clips,
        scenes={
            number: SceneProgress(state.state, state.percent, state.provider, state.eta_seconds)
            for number, state in projection.scene_states.items()
        },
        requested_providers=row.providers or (),
        place=QueuePlace(row.renderer, row.waiting_scenes, row.rendering_scenes),
        timestamps=StageTimestamps.model_validate(row.stage_timestamps) if row.stage_timestamps else None,
    )


def save_noted(row: Video, noted: Noted) -> None:
    """Keep in a row what the next ETA needs."""
    row.stage_timestamps = noted.timestamps.model_dump(mode="json")
    place = noted.place
    row.renderer, row.waiting_scenes, row.rendering_scenes = place.provider, place.waiting, place.rendering
