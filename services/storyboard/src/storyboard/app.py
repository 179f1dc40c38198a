"""Builds the storyboard service."""

from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from shared import worker
from shared.contracts.events import Event, StoryboardFailed, StoryboardRequested, VideoFailed, VideoRequested
from shared.contracts.story_rules import SceneSeconds
from shared.messaging.errors import MessageMalformed, RequestConflicts
from shared.messaging.event_router import EphemeralPublisher
from shared.messaging.message_processor import DeadLetter, Service, fails_video
from shared.persistence.database import Database
from shared.persistence.migration_files import folder_of
from shared.persistence.unit_of_work import transaction
from storyboard.agent import LanguageModelWriter
from storyboard.answers import Answers
from storyboard.doctor import CHECKS
from storyboard.endpoint import Endpoint, http_client
from storyboard.handlers import Dependencies, owner_of, router
from storyboard.models import Base
from storyboard.retention import POLICIES
from storyboard.settings import Settings
from storyboard.template import TemplateWriter
from storyboard.text import cut
from storyboard.writer import Writer

LONGEST_REASON = 1000


def build(settings: Settings, _hints: EphemeralPublisher) -> Service[Dependencies]:
    """Return the service, for the embedded and the distributed mode."""
    database = Database(settings.database_url.get_secret_value(), Base.metadata, settings.database_connections)
    seconds = settings.scene_seconds
    if settings.llm_api_url is None:
        deps = Dependencies(database, TemplateWriter(seconds), seconds)
        return Service(router, deps, database, _on_dead_letter, policies=POLICIES, checks=CHECKS)
    client, writer = _language_model(settings, settings.llm_api_url, database, seconds)
    deps = Dependencies(database, writer, seconds)
    return Service(router, deps, database, _on_dead_letter, resources=(client,), policies=POLICIES, checks=CHECKS)


def _language_model(
    settings: Settings, url: str, database: Database, seconds: SceneSeconds
) -> tuple[AbstractAsyncContextManager[object], Writer]:
    """Return the HTTP client, which must be open while the service runs, and the writer that uses it."""
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


async def _on_dead_letter(dead_letter: DeadLetter, database: Database) -> None:
    if dead_letter.event is StoryboardRequested:
        # A storyboard that was requested alone has no video that could fail.
        if dead_letter.video_id is not None:
            await _publish(StoryboardFailed(video_id=dead_letter.video_id, **_why(dead_letter)), dead_letter, database)
    elif dead_letter.event is VideoRequested and isinstance(dead_letter.failure, MessageMalformed | RequestConflicts):
        # Another video may have this id. It must not fail, but the publisher must be informed.
        refused = VideoFailed(
            video_id=dead_letter.video_id or uuid5(NAMESPACE_OID, dead_letter.delivery.message_id),
            stage="request",
            request_message_id=dead_letter.delivery.message_id,
            **_why(dead_letter),
            **dict(dead_letter.belonging),
        )
        await _publish(refused, dead_letter, database)
    elif not isinstance(dead_letter.failure, MessageMalformed):
        await fails_video("storyboard", owner_of)(dead_letter, database)


def _why(dead_letter: DeadLetter) -> dict[str, Any]:
    return {"kind": dead_letter.failure.kind, "reason": cut(dead_letter.failure.reason, LONGEST_REASON)}


async def _publish(event: Event, dead_letter: DeadLetter, database: Database) -> None:
    async with transaction(database) as work:
        await work.emit(event, message_id=dead_letter.note_id())


def main() -> None:
    """Run the console script `storyboard`."""
    worker.main(Settings, build, router.service, folder_of(__file__))
