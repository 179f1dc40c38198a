"""Migrations of existing rows."""

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


def migrate(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(folder_of(str(scene_render_app.__file__))))
    config.attributes |= {"connection": connection, "applied": []}
    command.upgrade(config, revision)


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


MESSAGE = (
    "INSERT INTO outbox (message_id, name, video_id, headers, body, attempts, available_at, created_at) "
    f"VALUES (:name, :name, 'v', '{{}}', :body, 0, :at, {MOMENT})"
)
LATER = "2030-01-01 00:00:00.000000"
DUE = (
    "SELECT id, next_check_at >= :at, next_check_at, maybe_queued, looked_for, release_slot_at, pay_again_at "
    "FROM attempts ORDER BY number"
)


async def test_rows_replace_the_old_messages(tmp_path: Path) -> None:
    messages = {
        "slot.offered": {"provider": "luma"},
        "scene.overdue": {"videoId": "v", "sceneNumber": 1},
        "submission.overdue": {"attemptId": "intent", "asked": True},
        "check.due": {"attemptId": "submitted", "hint": False, "queued": True},
        "unknown.overdue": {"attemptId": "unknown"},
        "pay-again.due": {"attemptId": "unknown"},
        "clip.ready": {"attemptId": "done"},
    }
    attempts = {
        "intent": "INTENT", "lost intent": "INTENT", "submitted": "SUBMITTED", "lost": "SUBMITTED",
        "unknown": "UNKNOWN", "lost unknown": "UNKNOWN", "old unknown": "UNKNOWN", "done": "SUCCEEDED",
    }  # fmt: skip
    engine = migration_engine(f"sqlite+aiosqlite:///{tmp_path}/r.db")
    async with engine.begin() as connection:
        await connection.run_sync(migrate, "0009")
        await connection.execute(text(RENDER), {"state": "waiting", "parts": "[]"})
        await connection.execute(text("UPDATE renders SET delayed_by = 'luma', delayed_since = " + MOMENT))
        await connection.execute(text(RENDER.replace("'v', 1", "'w', 1")), {"state": "waiting", "parts": "[]"})
        await connection.execute(text("INSERT INTO video_standings VALUES ('w', 0, 1)"))
        for number, (name, state) in enumerate(attempts.items(), start=1):
            row = {"id": name, "number": number, "state": state, "task_id": None}
            await connection.execute(text(ATTEMPT), row)
        await connection.execute(text("INSERT INTO provider_slots VALUES ('luma', 0, 'lost unknown')"))
        for name, body in messages.items():
            row = {"name": f"scene-render.{name}", "body": json.dumps(body), "at": LATER}
            await connection.execute(text(MESSAGE), row)
        await connection.run_sync(migrate, "0010")
        clock = (await connection.execute(text("SELECT strftime('%Y-%m-%d %H:%M:%f000', 'now', '-1 hour')"))).scalar()
        due = {row[0]: row[1:] for row in await connection.execute(text(DUE), {"at": clock})}
        assert due["intent"] == (1, LATER, 0, 1, None, None)
        assert (due["lost intent"][0], due["lost intent"][2:]) == (1, (0, 0, None, None))
        assert due["submitted"] == (1, LATER, 1, 0, None, None)
        assert (due["lost"][0], due["lost"][2:]) == (1, (1, 0, None, None))
        assert due["unknown"] == (None, None, 0, 0, LATER, LATER)
        assert due["lost unknown"][:4] == (None, None, 0, 0)
        assert due["lost unknown"][4] > clock
        assert due["old unknown"] == due["done"] == (None, None, 0, 0, None, None)
        left = await connection.execute(text("SELECT name FROM outbox"))
        assert list(left.scalars()) == ["scene-render.clip.ready"]
        scenes = "SELECT video_id, available_at IS NULL, give_up_at IS NULL FROM renders ORDER BY video_id"
        assert [tuple(row) for row in await connection.execute(text(scenes))] == [("v", 0, 0), ("w", 1, 1)]
        await connection.run_sync(_downgrade, "0009")
        assert (await connection.execute(text("SELECT COUNT(available_at) FROM renders"))).scalar() == 2
    await engine.dispose()


def _downgrade(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(folder_of(str(scene_render_app.__file__))))
    config.attributes |= {"connection": connection, "applied": []}
    command.downgrade(config, revision)
