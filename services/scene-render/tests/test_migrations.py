"""What a migration makes of rows that are there already."""

import json
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from scene_render import app as scene_render_app
from shared.persistence.database import migration_engine
from shared.persistence.migration_files import folder_of

MOMENT = "'2020-01-01 00:00:00'"
RENDER = (
    "INSERT INTO renders (video_id, scene_number, state, parts, request, owner, batch, provider, tried, attempts, "
    "failures, paid_again, cost_usd, available_at, requested_at) "
    f"VALUES ('v', 1, :state, :parts, '{{}}', 'o', 0, 'luma', '[]', 4, 0, 0, 0, {MOMENT}, {MOMENT})"
)
ATTEMPT = (
    "INSERT INTO attempts (id, video_id, scene_number, number, provider, state, task_id, seconds, intended_at, posts) "
    f"VALUES (:id, 'v', 1, :number, 'luma', :state, :task_id, 5, {MOMENT}, 1)"
)


@pytest.mark.parametrize(
    ("state", "tasks_in_parts", "attempts", "parts"),
    [
        ("running", [], [("SUCCEEDED", "t1")], [0]),
        ("failed", [], [("SUCCEEDED", "t1"), ("UNKNOWN", None)], [None, 0]),
        ("running", ["t2"], [("UNKNOWN", None), ("SUCCEEDED", "t2"), ("SUBMITTED", "t3")], [0, 0, 1]),
        (
            "waiting",
            ["t1", "t3"],
            [("SUCCEEDED", "t1"), ("FAILED", None), ("SUCCEEDED", "t3"), ("FAILED", "t4")],
            [0, 1, 1, 2],
        ),
    ],
)
async def test_old_attempts_are_given_the_part_they_were_ordered_for(
    tmp_path: Path,
    state: str,
    tasks_in_parts: list[str],
    attempts: list[tuple[str, str | None]],
    parts: list[int | None],
) -> None:
    def migrate(connection: Connection, revision: str) -> None:
        config = Config()
        config.set_main_option("script_location", str(folder_of(str(scene_render_app.__file__))))
        config.attributes |= {"connection": connection, "applied": []}
        command.upgrade(config, revision)

    stored: list[dict[str, Any]] = [{"provider": "luma", "taskId": task} for task in tasks_in_parts]
    engine = migration_engine(f"sqlite+aiosqlite:///{tmp_path}/r.db")
    async with engine.begin() as connection:
        await connection.run_sync(migrate, "0008")
        await connection.execute(text(RENDER), {"state": state, "parts": json.dumps(stored)})
        for number, (ended, task_id) in enumerate(attempts, start=1):
            row = {"id": str(number), "number": number, "state": ended, "task_id": task_id}
            await connection.execute(text(ATTEMPT), row)
        await connection.run_sync(migrate, "0009")
        rows = await connection.execute(text("SELECT part FROM attempts ORDER BY number"))
        assert list(rows.scalars()) == parts
    await engine.dispose()
