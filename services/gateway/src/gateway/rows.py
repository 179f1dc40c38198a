"""A row of `videos`, between the database and the rules: how it begins, is read, saved and buried; its links."""

from uuid import UUID

from gateway.models import Video
from gateway.view import SceneState, VideoView
from shared.contracts.media import MediaReference
from shared.contracts.story import DEFAULT_NICHE, DEFAULT_OWNER, Scene
from shared.database import now
from shared.prices import FREE


def unknown(video_id: UUID) -> Video:
    """A video of which we heard before its request came, or whose request could not be read."""
    return Video(
        video_id=str(video_id),
        niche=DEFAULT_NICHE,
        prompt="",
        story_script="",
        scenes=[],
        status="pending",
        meta={},
        owner=DEFAULT_OWNER,
        aspect_ratio="16:9",
        scene_count=3,
        progress=0.0,
        current_step="storyboard",
        scene_states={},
        cost_usd=FREE,
        held_usd=FREE,
        estimated_cost_usd=FREE,
        promised_usd=FREE,
        budget_day="",
        last_seq=0,
        waiting_scenes=0,
        rendering_scenes=0,
        renderer="",
    )


def view_of(row: Video) -> VideoView:
    """A row as the rules see it."""
    return VideoView(
        status=row.status,
        current_step=row.current_step,
        progress=row.progress,
        title=row.title,
        story_script=row.story_script,
        scenes=tuple(Scene.model_validate(scene) for scene in row.scenes),
        scene_count=row.scene_count,
        revision=row.storyboard["revision"] if row.storyboard else 0,
        scene_states={int(n): SceneState.model_validate(state) for n, state in row.scene_states.items()},
        film=MediaReference.model_validate(row.film) if row.film else None,
        thumbnail=MediaReference.model_validate(row.thumbnail) if row.thumbnail else None,
        error_stage=row.error_stage,
        error_kind=row.error_kind,
        error_message=row.error_message,
    )


def save(row: Video, view: VideoView, public_url: str) -> None:
    """Bring a row to what the rules made of it."""
    row.status = view.status
    row.current_step = view.current_step
    row.progress = view.progress
    row.title = view.title
    row.story_script = view.story_script
    row.scenes = [scene.model_dump(mode="json") for scene in view.scenes]
    row.scene_count = view.scene_count
    row.scene_states = {str(n): state.model_dump(mode="json") for n, state in view.scene_states.items()}
    row.error_stage = view.error_stage
    row.error_kind = view.error_kind
    row.error_message = view.error_message
    if view.film is not None and view.thumbnail is not None:
        row.film = view.film.model_dump(mode="json")
        row.thumbnail = view.thumbnail.model_dump(mode="json")
        row.video_url = film_link(row.video_id, public_url)
        row.thumbnail_url = thumbnail_link(row.video_id, public_url)
        row.completed_at = now()
    if view.resolution is not None:
        width, height = view.resolution
        row.meta = {**row.meta, "format": "mp4", "resolution": f"{width}x{height}"}


def film_link(video_id: str, public_url: str = "") -> str:
    """Where a film can always be asked for; it leads on to a link that ends soon."""
    return f"{public_url}/api/v1/videos/{video_id}/content"


def thumbnail_link(video_id: str, public_url: str = "") -> str:
    """Where a thumbnail can always be asked for."""
    return f"{public_url}/api/v1/videos/{video_id}/thumbnail"


def clip_link(video_id: str, scene_number: int, public_url: str = "") -> str:
    """Where the clip of a scene can always be asked for."""
    return f"{public_url}/api/v1/videos/{video_id}/scenes/{scene_number}/content"


def bury(row: Video) -> None:
    """Make a row a gravestone: what people wrote and made is gone; what it cost and how it ended stays."""
    row.deleted_at = now()
    row.prompt = row.story_script = ""
    row.scenes, row.scene_states, row.meta = [], {}, {}
    row.title = row.post_id = row.storyboard = row.rating_comment = row.error_message = None
    row.film = row.thumbnail = row.video_url = row.thumbnail_url = None
