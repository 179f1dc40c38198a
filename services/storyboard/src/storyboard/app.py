"""Puts the storyboard service together."""

from shared import worker
from shared.database import Database
from shared.errors import MessageMalformed
from shared.frame import Death, Service, fails_video
from shared.handling import Hints
from storyboard.handlers import Tools, story
from storyboard.models import Base
from storyboard.settings import Settings
from storyboard.template import TemplateWriter


def build(settings: Settings, _hints: Hints) -> Service[Tools]:
    """The service, ready to run in either way."""
    database = Database(settings.database_url.get_secret_value(), Base.metadata)
    return Service(story, Tools(database, TemplateWriter()), database, on_death=_on_death)


async def _on_death(death: Death, database: Database) -> None:
    # A malformed request has made nothing yet, and its id may be that of a good video: the gateway shows it as failed.
    if not isinstance(death.failure, MessageMalformed):
        await fails_video("storyboard")(death, database)


def main() -> None:
    """The console script `storyboard`."""
    settings = Settings()
    worker.main(lambda hints: build(settings, hints), settings, story.service, __file__)
