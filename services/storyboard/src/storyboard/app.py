"""Puts the storyboard service together."""

from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from shared.contracts.events import Event, StoryboardFailed, StoryboardRequested, VideoFailed, VideoRequested
from shared.contracts.story_rules import SceneSeconds
from shared.messaging.errors import MessageMalformed, RequestConflicts
from shared.messaging.event_router import Hints
from shared.messaging.message_processor import Death, Service, fails_video
from shared.persistence.database import Database
from shared.persistence.migration_files import folder_of
from shared.persistence.unit_of_work import working
from shared.process import worker
from storyboard.agent import LanguageModelWriter
from storyboard.answers import Answers
from storyboard.endpoint import Endpoint, http_client
from storyboard.handlers import Tools, story, whose
from storyboard.models import Base
from storyboard.retention import POLICIES
from storyboard.settings import Settings
from storyboard.template import TemplateWriter
from storyboard.text import cut
from storyboard.writer import Writer

LONGEST_REASON = 1000


def build(settings: Settings, _hints: Hints) -> Service[Tools]:
    """The service, ready to run in either way."""
    database = Database(settings.database_url.get_secret_value(), Base.metadata, settings.database_connections)
    seconds = settings.scene_seconds
    if settings.llm_api_url is None:
        tools = Tools(database, TemplateWriter(seconds), seconds)
        return Service(story, tools, database, _on_death, policies=POLICIES)
    client, writer = _language_model(settings, settings.llm_api_url, database, seconds)
    tools = Tools(database, writer, seconds)
    return Service(story, tools, database, _on_death, resources=(client,), policies=POLICIES)


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
        prices=settings.token_prices,
        seconds=settings.llm_timeout_seconds,
    )
    return client, LanguageModelWriter(endpoint, Answers(database, settings.llm_model, settings.caps), seconds)


async def _on_death(death: Death, database: Database) -> None:
    if death.event is StoryboardRequested:
        # It has no video that could fail.
        if death.video_id is not None:
            await _say(StoryboardFailed(video_id=death.video_id, **_why(death)), death, database)
    elif death.event is VideoRequested and isinstance(death.failure, MessageMalformed | RequestConflicts):
        # The id may be that of a good video, which does not hear this; whoever asked must.
        refused = VideoFailed(
            video_id=death.video_id or uuid5(NAMESPACE_OID, death.delivery.message_id),
            stage="request",
            request_message_id=death.delivery.message_id,
            **_why(death),
            **dict(death.belonging),
        )
        await _say(refused, death, database)
    elif not isinstance(death.failure, MessageMalformed):
        await fails_video("storyboard", whose)(death, database)


def _why(death: Death) -> dict[str, Any]:
    return {"kind": death.failure.kind, "reason": cut(death.failure.reason, LONGEST_REASON)}


async def _say(event: Event, death: Death, database: Database) -> None:
    async with working(database) as work:
        await work.emit(event, message_id=death.note_id())


def main() -> None:
    """The console script `storyboard`."""
    worker.main(Settings, build, story.service, folder_of(__file__))
