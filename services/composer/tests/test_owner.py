"""Events of the composer name the owner of the video; a refused request does not affect the film of the same id."""

from pathlib import Path
from uuid import UUID

import pytest

from composer import app, handlers
from composer.handlers import Dependencies
from composer.models import Base, Film
from composer.settings import Settings
from composer.workflow.film_state import owner_of
from shared.contracts.events import SceneFailed, StoryboardCreated, VideoFailed
from shared.contracts.story import Scene
from shared.messaging.event_router import Delivery, NullPublisher
from shared.messaging.message_processor import DeadLettered, Service, fails_video, process
from shared.persistence.database import Database
from shared.persistence.migration_files import folder_of
from shared_testing.servers import delivery, migrated, published

VIDEO = UUID(int=7)
OWN = {"video_id": VIDEO, "owner": "publisher", "post_id": "p-7"}


@pytest.fixture
async def deps(tmp_path: Path):
    settings = Settings(database_url=f"sqlite+aiosqlite:///{tmp_path}/c.db", storage_url=tmp_path.as_uri())
    async with migrated(f"sqlite+aiosqlite:///{tmp_path}/c.db", Base.metadata, folder_of(app.__file__)):
        yield app.build(settings, NullPublisher()).deps


def storyboard() -> StoryboardCreated:
    scene = Scene(scene_number=1, description="d", camera_angle="wide", duration=15, action="a", transition="cut")
    return StoryboardCreated(
        **OWN, title="t", niche="n", overall_prompt="p", total_duration=15, scenes=(scene,), story_script="s",
        aspect_ratio="16:9",
    )  # fmt: skip


async def state_of(database: Database) -> str:
    async with database.reading() as session:
        return (await session.get_one(Film, str(VIDEO))).state


async def test_a_refused_request_of_the_same_id_does_not_stop_the_film(deps: Dependencies) -> None:
    await handlers.expect_scenes(storyboard(), delivery("a"), deps)
    refused = VideoFailed(video_id=VIDEO, stage="request", kind="conflict", reason="r")
    await handlers.stop_film(refused, delivery("b"), deps)
    assert await state_of(deps.database) == "gathering"
    await handlers.stop_film(refused.model_copy(update={"stage": "composer"}), delivery("c"), deps)
    assert await state_of(deps.database) == "failed"


async def test_a_failed_scene_fails_the_video_of_its_owner(deps: Dependencies) -> None:
    failed = SceneFailed(**OWN, scene_number=1, kind="k", reason="r", cost_usd=0)
    await handlers.fail_film(failed, delivery("a"), deps)
    [emitted] = await published(deps.database)
    assert isinstance(emitted, VideoFailed)
    assert (emitted.owner, emitted.post_id) == ("publisher", "p-7")


async def test_a_dead_letter_names_the_owner_of_the_video(deps: Dependencies) -> None:
    await handlers.expect_scenes(storyboard(), delivery("a"), deps)
    service = Service(handlers.router, deps, deps.database, fails_video("composer", owner_of))
    [step] = [one for one in handlers.router.subscriptions if one.handler is handlers.compose_film]
    body = b'{"videoId": "%s", "version": 9}' % str(VIDEO).encode()
    assert isinstance(await process(service, step, Delivery("c", "m"), body), DeadLettered)
    [emitted] = await published(deps.database)
    assert (emitted.stage, emitted.owner, emitted.post_id) == ("composer", "publisher", "p-7")
