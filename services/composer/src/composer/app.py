"""Builds the composer service."""

from composer.doctor import CHECKS
from composer.handlers import Dependencies, router
from composer.models import Base
from composer.provenance.credentials import credentials_in
from composer.settings import Settings
from composer.workflow.composition import Composition
from composer.workflow.film_state import epoch_of, owner_of
from composer.workflow.previews import Previews
from composer.workflow.rendering import Renderer
from composer.workflow.streams import Streams
from shared import worker
from shared.media.ffmpeg import Ffmpeg
from shared.messaging.event_router import EphemeralPublisher
from shared.messaging.message_processor import Service, fails_video
from shared.persistence.database import Database
from shared.persistence.migration_files import folder_of
from shared.process.retention import leftovers
from shared.storage.open import open_storage


def build(settings: Settings, ephemeral: EphemeralPublisher) -> Service[Dependencies]:
    """Return the service, for the embedded and the distributed mode."""
    database = Database(settings.database_url.get_secret_value(), Base.metadata, settings.database_connections)
    storage = open_storage(settings.storage_url)
    renderer = Renderer(storage, Ffmpeg(settings.ffmpeg_binary))
    composition = Composition(
        database,
        storage,
        renderer,
        ephemeral,
        settings.work_folder,
        settings.hold_joins,
        settings.verify,
        credentials_in(settings.provenance_folder) if settings.provenance_folder else None,
    )
    streams = Streams(database, storage, renderer, settings.work_folder)
    previews = Previews(database, storage, renderer.ffmpeg, settings.work_folder)
    deps = Dependencies(database, composition, streams, previews)
    return Service(
        router,
        deps,
        database,
        on_dead_letter=fails_video("composer", owner_of),
        resources=(storage,),
        policies=(leftovers(settings.work_folder, storage.sweep),),
        epoch_of=epoch_of,
        storage=storage,
        checks=CHECKS,
    )


def main() -> None:
    """Run the console script `composer`."""
    worker.main(Settings, build, router.service, folder_of(__file__))
