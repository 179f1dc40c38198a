"""Puts the storyboard service together."""

from contextlib import AbstractAsyncContextManager

from shared import worker
from shared.contracts.events import StoryboardFailed, StoryboardRequested
from shared.database import Database
from shared.errors import MessageMalformed
from shared.frame import Death, Service, fails_video
from shared.handling import Hints
from shared.migration_files import folder_of
from shared.story_rules import SceneSeconds
from shared.unit_of_work import working
from storyboard.agent import LanguageModelWriter
from storyboard.answers import Answers
from storyboard.endpoint import Endpoint, Prices, http_client
from storyboard.handlers import Tools, story
from storyboard.models import Base
from storyboard.settings import Settings
from storyboard.template import TemplateWriter
from storyboard.writer import Writer


def build(settings: Settings, _hints: Hints) -> Service[Tools]:
    """The service, ready to run in either way."""
    database = Database(settings.database_url.get_secret_value(), Base.metadata, settings.database_connections)
    seconds = settings.scene_seconds
    if settings.llm_api_url is None:
        return Service(story, Tools(database, TemplateWriter(seconds), seconds), database, _on_death)
    client, writer = _language_model(settings, settings.llm_api_url, database, seconds)
    return Service(story, Tools(database, writer, seconds), database, _on_death, resources=(client,))


def _language_model(
    settings: Settings, url: str, database: Database, seconds: SceneSeconds
) -> tuple[AbstractAsyncContextManager[object], Writer]:
    """The HTTP client, to be open while the service runs, and the writer that asks the model with it."""
    client = http_client()
    endpoint = Endpoint(
        client,
        url,
        settings.llm_api_key.get_secret_value() if settings.llm_api_key else None,
        settings.llm_model,
        form=None if settings.llm_output == "auto" else settings.llm_output,
        prices=Prices(settings.llm_price_input_usd, settings.llm_price_output_usd),
        seconds=settings.llm_timeout_seconds,
    )
    return client, LanguageModelWriter(endpoint, Answers(database, settings.llm_model), seconds)


async def _on_death(death: Death, database: Database) -> None:
    if death.event is StoryboardRequested:
        # It has no video that could fail.
        failed = StoryboardFailed(video_id=death.video_id, kind=death.failure.kind, reason=death.failure.reason)
        async with working(database) as work:
            await work.emit(failed)
        return
    # A malformed request has made nothing yet, and its id may be that of a good video: the gateway shows it as failed.
    if not isinstance(death.failure, MessageMalformed):
        await fails_video("storyboard")(death, database)


def main() -> None:
    """The console script `storyboard`."""
    worker.main(Settings, build, story.service, folder_of(__file__))
