"""Two videos with three scenes for the benchmark: one that is being rendered, and one that is completed."""

from uuid import UUID

from pydantic import SecretStr

from gateway.app import Gateway
from gateway.settings import Settings
from shared.contracts.events import (
    Event,
    SceneProgressed,
    SceneRendered,
    SceneStarted,
    StoryboardCreated,
    VideoComposed,
    VideoComposing,
    VideoRequested,
)
from shared.contracts.media import Clip, MediaReference, clip_key, film_key, thumbnail_key
from shared.contracts.story import Scene
from shared.persistence.unit_of_work import transaction

PROMPT = "A lighthouse keeper befriends a storm"
GOING, FILM = UUID(int=1), UUID(int=2)


async def make(environment: dict[str, str]) -> None:
    """Write both videos to the gateway's database by applying the events of their production."""
    gateway = Gateway(
        Settings(
            database_url=SecretStr(environment["DATABASE_URL"]),
            storage_url=environment["STORAGE_URL"],
            media_secret=SecretStr(environment["MEDIA_SECRET"]),
        )
    )
    gateway.service(_Nobody())
    for video_id in (GOING, FILM):
        await gateway.videos.request(VideoRequested(video_id=video_id, prompt=PROMPT))
    for event in (*_begin(GOING), *_begin(FILM), *_end(FILM)):
        async with transaction(gateway.database) as work:
            await gateway.projector.record(work, event)
    await gateway.database.close()


class _Nobody:
    async def publish(self, event: object) -> None:
        """Do nothing: there are no clients."""


def _begin(video_id: UUID) -> list[Event]:
    text = "The keeper climbs the winding stairs while the first wind of the storm shakes the panes of the lantern. "
    scenes = tuple(
        Scene(
            scene_number=n,
            description=text,
            camera_angle="wide",
            duration=10,
            action=text * 2,
            transition="fade",
        )
        for n in (1, 2, 3)
    )
    return [
        StoryboardCreated(
            video_id=video_id,
            title=PROMPT,
            niche="general",
            overall_prompt=PROMPT,
            total_duration=30,
            scenes=scenes,
            story_script=text * 8,
            aspect_ratio="16:9",
            shots=(text,) * 3,
        ),
        SceneStarted(video_id=video_id, scene_number=1, provider="runway", eta_seconds=60),
        SceneStarted(video_id=video_id, scene_number=2, provider="runway", eta_seconds=60),
        _rendered(video_id, 1),
        SceneProgressed(video_id=video_id, scene_number=2, provider="runway", percent=40, eta_seconds=30),
    ]


def _end(video_id: UUID) -> list[Event]:
    film, picture = (
        _media(key(video_id), kind) for key, kind in ((film_key, "video/mp4"), (thumbnail_key, "image/jpeg"))
    )
    return [
        _rendered(video_id, 2),
        _rendered(video_id, 3),
        VideoComposing(video_id=video_id),
        VideoComposed(video_id=video_id, film=film, thumbnail=picture, duration=30, width=1280, height=720),
    ]


def _rendered(video_id: UUID, n: int) -> SceneRendered:
    media = _media(clip_key(video_id, n, 1), "video/mp4")
    clip = Clip(media=media, width=1280, height=720, frames=240, has_audio=True)
    return SceneRendered(video_id=video_id, scene_number=n, clip=clip, duration=10, cost_usd="0.5", provider="runway")


def _media(key: str, content_type: str) -> MediaReference:
    return MediaReference(key=key, content_type=content_type, size=1_000_000, sha256="0" * 64)
