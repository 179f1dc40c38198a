"""A row of `videos`, mapped to the rules' projection and back; its links.

The existing application may write rows of its own, with its own columns only; so what is read is taken as it can be.
"""

import contextlib
import re
import unicodedata
from typing import Any, get_args
from urllib.parse import quote
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from gateway.models import Video
from gateway.videos.projection import ALL_DONE, Step, VideoProjection
from gateway.videos.scene_projection import Picture, SceneState
from gateway.videos.status import VideoStatus
from shared.contracts.events import VideoPreviewed
from shared.contracts.media import MediaReference
from shared.contracts.story import DEFAULT_NICHE, DEFAULT_OWNER, Quality, Scene
from shared.money.prices import FREE
from shared.persistence.database import now

UNFIT = re.compile(r'[/\\:*?"<>|%]')
"""Characters that some file system forbids in file names."""
JOINERS = "\u200c\u200d"
"""Control characters that Persian and emoji are written with."""
LONGEST_NAME = 150
"""Bytes of a title; a file's name has at most 255."""

CONVERTED = {"status", "scenes", "scene_states", "cast_pictures", "film", "thumbnail", "previews"}
"""Fields that a row holds in another form than the projection."""
COPIED = [
    name for name in VideoProjection.model_fields if name in Video.__mapper__.column_attrs and name not in CONVERTED
]
"""Fields that a row and the projection share: a new one needs no line here."""


def unknown(video_id: UUID) -> Video:
    """Return the row of a video whose request has not arrived yet, or could not be parsed."""
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
        simulated=False,
        quality="standard",
        reserved_usd=FREE,
        budget_day="",
        epoch=0,
        last_seq=0,
        waiting_scenes=0,
        rendering_scenes=0,
        renderer="",
    )


def projection_of(row: Video) -> VideoProjection:
    """Return a row as the rules see it."""
    status = VideoStatus.of(row.status)
    scenes = _scenes(row.scenes)
    # A row that is not flushed yet lacks the defaults of its columns.
    fields = {name: value for name in COPIED if (value := getattr(row, name)) is not None}
    # The application says by the status alone that a video has ended.
    if status in get_args(Step):
        fields["current_step"] = status.value
    if status is VideoStatus.COMPLETED:
        fields["progress"] = ALL_DONE
    if scenes:
        fields["scene_count"] = len(scenes)
    return VideoProjection(
        **fields,
        status=status,
        scenes=scenes,
        revision=row.storyboard["revision"] if row.storyboard else 0,
        scene_states={int(n): SceneState.model_validate(state) for n, state in row.scene_states.items()},
        cast_pictures={name: Picture.model_validate(one) for name, one in (row.cast_pictures or {}).items()},
        film=MediaReference.model_validate(row.film) if row.film else None,
        thumbnail=MediaReference.model_validate(row.thumbnail) if row.thumbnail else None,
        previews=VideoPreviewed.model_validate(row.previews) if row.previews else None,
    )


def quality_of(row: Video) -> Quality:
    """Return the tier of a video."""
    return TypeAdapter[Quality](Quality).validate_python(row.quality)


async def epoch_of(session: AsyncSession, video_id: UUID) -> int:
    """Return the latest known epoch of a video."""
    return await session.scalar(select(Video.epoch).where(Video.video_id == str(video_id))) or 0


def save(row: Video, video: VideoProjection, public_url: str) -> None:
    """Write a projection into its row."""
    for name in COPIED:
        setattr(row, name, getattr(video, name))
    row.status = video.status.value
    row.scenes = [
        _scene_row(row.video_id, scene, video.scene_state(scene.scene_number), public_url) for scene in video.scenes
    ]
    row.scene_states = {str(n): state.model_dump(mode="json") for n, state in video.scene_states.items()}
    row.cast_pictures = {name: one.model_dump(mode="json") for name, one in video.cast_pictures.items()}
    if video.film is not None and video.thumbnail is not None:
        row.film = video.film.model_dump(mode="json")
        row.thumbnail = video.thumbnail.model_dump(mode="json")
        row.video_url = film_link(row.video_id, public_url)
        row.thumbnail_url = thumbnail_link(row.video_id, public_url)
        row.completed_at = now()
    row.previews = video.previews.model_dump(mode="json") if video.previews else None
    if video.status is VideoStatus.EXPIRED:
        row.film = row.thumbnail = row.video_url = row.thumbnail_url = None
    if video.resolution is not None:
        width, height = video.resolution
        row.meta = {**(row.meta or {}), "format": "mp4", "resolution": f"{width}x{height}"}


def _scene_row(video_id: str, scene: Scene, state: SceneState, public_url: str) -> dict[str, Any]:
    """Return a scene as the application reads it in the column `scenes`: with its clip, once there is one."""
    shown = scene.model_dump(mode="json")
    return shown | {"videoUrl": clip_link(video_id, scene.scene_number, public_url)} if state.clip else shown


def _scenes(column: object) -> tuple[Scene, ...]:
    """Return the valid scenes of a row."""
    scenes = []
    for scene in column if isinstance(column, list) else ():
        with contextlib.suppress(ValidationError):
            scenes.append(Scene.model_validate(scene))
    return tuple(scenes)


def film_link(video_id: str, public_url: str = "") -> str:
    """Return the permanent URL of a film; it redirects to a link that expires."""
    return f"{public_url}/api/v1/videos/{video_id}/content"


def download_link(video_id: str, public_url: str = "") -> str:
    """Return a film's permanent URL with which browsers save the film; players still play it."""
    return f"{film_link(video_id, public_url)}?download=1"


def film_name(row: Video) -> str:
    """Return the file name of a film: its title, as far as every file system allows, and its id."""
    kept = "".join(c if c in JOINERS or unicodedata.category(c)[0] != "C" else " " for c in row.title or "")
    title = " ".join(UNFIT.sub(" ", kept).split()).strip(". ")
    title = title.encode()[:LONGEST_NAME].decode(errors="ignore").rstrip(". ")
    return f"{title}-{row.video_id}.mp4" if title else f"{row.video_id}.mp4"


def stream_link(video_id: str, public_url: str = "") -> str:
    """Return the permanent URL of the playlist of a video's stream."""
    return f"{public_url}/api/v1/videos/{video_id}/stream.m3u8"


def thumbnail_link(video_id: str, public_url: str = "") -> str:
    """Return the permanent URL of a thumbnail."""
    return f"{public_url}/api/v1/videos/{video_id}/thumbnail"


def preview_link(video_id: str, name: str, public_url: str = "") -> str:
    """Return the permanent URL of a picture of a film: `contact-sheet`, `preview` or `storyboard.vtt`."""
    return f"{public_url}/api/v1/videos/{video_id}/{name}"


def clip_link(video_id: str, scene_number: int, public_url: str = "") -> str:
    """Return the permanent URL of a scene's clip."""
    return f"{public_url}/api/v1/videos/{video_id}/scenes/{scene_number}/content"


def frame_link(video_id: str, scene_number: int, public_url: str = "") -> str:
    """Return the permanent URL of a scene's first frame."""
    return f"{public_url}/api/v1/videos/{video_id}/scenes/{scene_number}/frame"


def cast_link(video_id: str, name: str, public_url: str = "") -> str:
    """Return the permanent URL of the reference picture of a member of the cast."""
    return f"{public_url}/api/v1/videos/{video_id}/cast/{quote(name, safe='')}/picture"


def forget_refusal(row: Video) -> None:
    """Reset a row that showed a refused request, because a valid one with the same id followed."""
    row.status, row.current_step = ("processing", "scenes") if row.scenes else ("pending", "storyboard")
    row.error_stage = row.error_kind = row.error_message = None


def soft_delete(row: Video) -> None:
    """Make a row a tombstone: texts and files are gone; what it cost and how it ended stays."""
    row.deleted_at = now()
    row.prompt = row.story_script = ""
    row.niche = DEFAULT_NICHE
    row.scenes, row.scene_states, row.meta = [], {}, {}
    row.title = row.post_id = row.storyboard = row.rating_comment = row.error_message = None
    row.film = row.thumbnail = row.video_url = row.thumbnail_url = row.stream_pieces = row.previews = None
    row.cast_pictures = None
