"""Puts the scene-render service together."""

import contextlib
from collections.abc import AsyncIterator, Iterable

from scene_render import turns
from scene_render.animatic_provider import AnimaticStudio
from scene_render.handlers import Tools, story
from scene_render.models import Base
from scene_render.provider import Provider
from scene_render.settings import Settings
from shared import worker
from shared.database import Database
from shared.ffmpeg import Ffmpeg
from shared.frame import Service, fails_video
from shared.handling import Hints
from shared.storage import open_storage


def build(settings: Settings, hints: Hints) -> Service[Tools]:
    """The service, ready to run in either way."""
    database = Database(settings.database_url.get_secret_value(), Base.metadata)
    storage = open_storage(settings.storage_url)
    ffmpeg = Ffmpeg(settings.ffmpeg_binary)
    studio = AnimaticStudio(database, storage, ffmpeg, settings.animatic_concurrency, settings.work_folder)
    providers: dict[str, Provider] = {studio.name: studio}
    tools = Tools(
        database=database,
        providers=providers,
        preferred=settings.video_api_provider,
        animatics=studio,
        storage=storage,
        ffmpeg=ffmpeg,
        hints=hints,
        work_folder=settings.work_folder,
    )
    resources = (storage, _slots(database, providers.values()), tools.shielded)
    return Service(story, tools, database, on_death=fails_video("scene-render"), resources=resources)


@contextlib.asynccontextmanager
async def _slots(database: Database, providers: Iterable[Provider]) -> AsyncIterator[None]:
    await turns.provide_slots(database, providers)
    yield


def main() -> None:
    """The console script `scene-render`."""
    settings = Settings()
    worker.main(lambda hints: build(settings, hints), settings, story.service, __file__)
