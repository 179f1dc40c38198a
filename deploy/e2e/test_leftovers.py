"""When services that process media start, they remove the files that killed processes left."""

import os
from pathlib import Path
from typing import Any

import pytest

import composer.app
import composer.settings
import scene_render.app
import scene_render.settings
from shared.messaging.event_router import NullPublisher
from shared.process.supervisor import Supervisor
from shared_testing.servers import eventually


@pytest.mark.parametrize(
    ("build", "settings"),
    [
        (composer.app.build, composer.settings.Settings),
        (scene_render.app.build, scene_render.settings.Settings),
    ],
    ids=["composer", "scene-render"],
)
async def test_leftovers_of_a_killed_process_are_removed_soon_after_the_start(
    tmp_path: Path, build: Any, settings: Any
) -> None:
    work, media = tmp_path / "work", tmp_path / "media"
    folder, object_part = work / f"multishot-work-{os.getuid()}" / "film-killed", media / ".half-written" / "killed"
    folder.mkdir(parents=True)
    object_part.parent.mkdir(parents=True)
    for path in (folder / "film.mp4", object_part):
        path.write_bytes(b"half")
    for path in (folder, object_part):
        os.utime(path, (0, 0))
    chosen = settings(database_url="sqlite+aiosqlite://", storage_url=f"file://{media}", work_folder=work)
    service = build(chosen, NullPublisher())
    supervisor = Supervisor("test")
    supervisor.start(service.retention.background)
    try:
        await eventually(lambda: not folder.exists() and not object_part.exists())
    finally:
        await supervisor.stop()
        await service.database.close()
