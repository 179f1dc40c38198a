"""Puts the scene-render service together."""

import contextlib
from typing import Any

from scene_render.attempts.endings import UnknownPolicy
from scene_render.attempts.service import Attempts
from scene_render.capacity import slots
from scene_render.capacity.provider_selection import ProviderSelection
from scene_render.clips.clip_ingest import ClipIngest
from scene_render.clips.order_files import OrderFiles
from scene_render.clips.picture_ingest import PictureIngest
from scene_render.dependencies import Dependencies
from scene_render.doctor import CHECKS
from scene_render.handlers import router
from scene_render.models import Base
from scene_render.providers import callback_server
from scene_render.providers.animatic import AnimaticProvider
from scene_render.providers.base import Provider
from scene_render.providers.callbacks import Callbacks
from scene_render.providers.callbacks import route as callbacks_route
from scene_render.providers.provider_registry import paid_providers
from scene_render.retention import policies
from scene_render.scenes import video_standing
from scene_render.scheduling.scheduler import Scheduler
from scene_render.settings import Settings
from shared import worker
from shared.media.ffmpeg import Ffmpeg
from shared.messaging.event_router import EphemeralPublisher
from shared.messaging.message_processor import Service, fails_video
from shared.persistence.database import Database
from shared.persistence.migration_files import folder_of
from shared.process.retention import leftovers
from shared.process.supervisor import every
from shared.storage.open import open_storage

SLOTS_EVERY_SECONDS = 600.0


def build(settings: Settings, ephemeral: EphemeralPublisher) -> Service[Dependencies]:
    """The service, ready to run in either way."""
    database = Database(settings.database_url.get_secret_value(), Base.metadata, settings.database_connections)
    storage = open_storage(settings.storage_url)
    ffmpeg = Ffmpeg(settings.ffmpeg_binary)
    animatic = AnimaticProvider(database, storage, ffmpeg, settings.animatic_concurrency, settings.work_folder)
    callbacks = Callbacks(settings.callback_url, settings.callback_secret.get_secret_value().encode())
    paid = paid_providers(settings, callbacks)
    # Providers that take no new scenes still finish their attempts.
    providers: dict[str, Provider] = {provider.name: provider for provider in (animatic, *paid)}
    pay_again = settings.unknown_policy == "pay_again"
    attempts = Attempts(
        ProviderSelection(providers, settings.providers, settings.scene_wait_seconds),
        settings.caps,
        1 / settings.simulator_speed,
        UnknownPolicy(pay_again, settings.unknown_wait_seconds, settings.unknown_day_usd),
        settings.providers_simulated,
    )
    deps = Dependencies(
        database,
        attempts,
        animatic,
        ClipIngest(storage, ffmpeg, settings.work_folder),
        PictureIngest(storage, settings.work_folder),
        OrderFiles(storage, database, settings.work_folder),
        ephemeral,
    )
    resources: tuple[contextlib.AbstractAsyncContextManager[Any], ...]
    resources = (storage, *paid, deps.shielded)
    if callbacks.enabled:
        door = callbacks_route(callbacks, providers, database)
        resources = (*resources, callback_server.serving(door, settings.callback_host, settings.callback_port))

    async def provide_slots() -> None:
        await slots.provide_slots(database, providers.values())
        database.changed.set()

    return Service(
        router,
        deps,
        database,
        on_dead_letter=fails_video("scene-render", video_standing.owner_of),
        resources=resources,
        background=(every(SLOTS_EVERY_SECONDS, provide_slots, "slots"), *Scheduler(deps).background),
        policies=(*policies(deps.clips, animatic), leftovers(settings.work_folder, storage.sweep)),
        checks=CHECKS,
        epoch_of=video_standing.epoch_of,
        storage=storage,
    )


def main() -> None:
    """The console script `scene-render`."""
    worker.main(Settings, build, router.service, folder_of(__file__))
