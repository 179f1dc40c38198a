"""Every policy of every service removes old data, keeps new data and changes no amount."""

from collections.abc import AsyncIterator, Callable, Mapping
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import JSON, Boolean, Column, DateTime, Numeric, Table, func, insert, select

import composer.app
import composer.settings
import gateway.app
import gateway.settings
import scene_render.app
import scene_render.settings
import storyboard.app
import storyboard.settings
from shared.messaging.event_router import NullPublisher
from shared.messaging.message_processor import Service
from shared.persistence.database import Database, now
from shared.persistence.migration_files import folder_of
from shared.persistence.migrations import migrate
from shared.process.retention import DAY_SECONDS, Policy, Retention, Rows

MARGIN_SECONDS = 60.0
SERVICES: Mapping[str, tuple[ModuleType, ModuleType]] = {
    "gateway": (gateway.app, gateway.settings),
    "storyboard": (storyboard.app, storyboard.settings),
    "scene-render": (scene_render.app, scene_render.settings),
    "composer": (composer.app, composer.settings),
}
GOES: dict[str, dict[str, Any]] = {
    "outbox": {"attempts": 1},
    "charges": {"state": "settled"},
    "attempts": {"state": "FAILED"},
    "video events": {"videoId": "ended"},
    "webhook deliveries of deleted videos": {"videoId": "deleted", "state": "delivered"},
}
"""Further conditions, apart from its age, for removing a row."""
STAYS: dict[str, dict[str, Any]] = {
    "outbox": {"attempts": 0},
    "charges": {"state": "unknown"},
    "attempts": {"state": "UNKNOWN"},
    "video events": {"videoId": "going"},
    "webhook deliveries of deleted videos": {"videoId": "deleted", "state": "pending"},
}
"""Values that keep a row at any age."""


def build(name: str, url: str, folder: Path) -> Service[Any]:
    app, settings = SERVICES[name]
    known = {"database_url": url, "storage_url": (folder / "media").as_uri(), "work_folder": folder / "work"}
    if name == "gateway":
        return gateway.app.Gateway(settings.Settings(**known)).service(NullPublisher())
    return app.build(settings.Settings(**known), NullPublisher())


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.connected)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/test.db"
    make: Callable[[], str] = request.getfixturevalue("schema")
    return str(request.getfixturevalue("sql_server").url(make()))


@pytest.fixture(params=SERVICES)
async def service(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> AsyncIterator[Service[Any]]:
    (tmp_path / "work").mkdir()
    built = build(request.param, database_url, tmp_path)
    await migrate(built.database, folder_of(SERVICES[request.param][0].__file__))
    yield built
    await built.database.close()


def value_for(column: Column[Any], number: int) -> Any:
    """Return a valid value for a column, unique where the row needs it."""
    if isinstance(column.type, Boolean):
        return False
    if isinstance(column.type, Numeric):
        return Decimal("1.25")
    if isinstance(column.type, JSON):
        return {}
    if isinstance(column.type, DateTime):
        return now()
    return column.type.python_type(number)


def row(table: Table, number: int, **chosen: Any) -> dict[str, Any]:
    needed = [c for c in table.columns if not c.nullable and c.server_default is None]
    return {c.key: value_for(c, number) for c in needed} | chosen


async def amounts(database: Database) -> dict[str, Decimal]:
    """The sum of each column of money."""
    columns = [c for table in database.metadata.tables.values() for c in table.columns if isinstance(c.type, Numeric)]
    async with database.reading() as session:
        return {f"{c.table.name}.{c.name}": await session.scalar(select(func.sum(c))) for c in columns}


def column_of(field: Any) -> Column[Any]:
    return field if isinstance(field, Column) else field.property.columns[0]


async def save(session: Any, table: Table, number: int, values: dict[str, Any]) -> tuple[Any, ...]:
    """Insert a row, and those that its foreign keys lead to; returns its key."""
    whole = row(table, number, **values)
    for parent in {key.column.table for key in table.foreign_keys}:
        await session.execute(insert(parent).values(row(parent, number)))
    await session.execute(insert(table).values(whole))
    return tuple(whole[column.key] for column in table.primary_key)


async def save_of_each_age(session: Any, policy: Policy, number: int) -> dict[str, tuple[Any, ...]]:
    """Rows for one policy: one too old, one that is not, and where age alone does not decide, one kept though old."""
    remove: Any = policy.remove
    at, age = column_of(remove.at), policy.days * DAY_SECONDS
    texts = {column_of(field).name: "text" for field in remove.blank} | {at.name: now(-age - MARGIN_SECONDS)}
    goes, stays = GOES.get(policy.what, {}), STAYS.get(policy.what)
    made = {"old": {**texts, **goes}, "young": {**texts, **goes, at.name: now(-age + MARGIN_SECONDS)}}
    made |= {} if stays is None else {"exempt": {**texts, **stays}}
    return {kind: await save(session, at.table, number + n, values) for n, (kind, values) in enumerate(made.items())}


async def test_rows_and_texts_go_by_their_age_and_no_amount_changes(service: Service[Any]) -> None:
    database, retention = service.database, service.retention
    policies = [policy for policy in retention.policies if isinstance(policy.remove, Rows)]
    async with database.sessions.begin() as session:
        if service.router.service == "gateway":
            for number, name in enumerate(("ended", "going", "deleted"), 1):
                how = {"status": "pending" if name == "going" else "failed", "scenes": [], "lastSeq": 999_999}
                how |= {"deletedAt": now()} if name == "deleted" else {}
                await save(session, database.metadata.tables["videos"], number, {"videoId": name, **how})
        saved = [await save_of_each_age(session, policy, 10 * n) for n, policy in enumerate(policies, 1)]
    before = await amounts(database)

    await retention.pass_once()

    assert await amounts(database) == before
    for policy, keys in zip(policies, saved, strict=True):
        remove: Any = policy.remove
        at = column_of(remove.at)
        async with database.reading() as session:
            present = {tuple(one) for one in await session.execute(select(*at.table.primary_key))}
            texts = [column_of(field) == "text" for field in remove.blank if column_of(field) is not at]
            whole = {tuple(one) for one in await session.execute(select(*at.table.primary_key).where(*texts))}
        assert keys["young"] in whole, f"{policy.what}: a young row went"
        assert keys.get("exempt", keys["young"]) in whole, f"{policy.what}: a row that must stay went"
        assert keys["old"] not in whole, f"{policy.what}: an old row stayed"
        assert (keys["old"] in present) == bool(remove.blank), f"{policy.what}: a row of the books goes with its text"


async def test_every_policy_is_one_that_these_tests_know(service: Service[Any]) -> None:
    special = {policy.what for policy in service.retention.policies if not isinstance(policy.remove, Rows)}
    assert special <= {"work folders", "scene parts", "animatic originals", "films", "uploads"}
    names = [policy.what for policy in service.retention.policies]
    assert {"inbox", "outbox"} <= set(names)
    assert len(set(names)) == len(names)


async def test_parts_and_drawn_originals_are_removed_when_they_are_not_needed_any_more(tmp_path: Path) -> None:
    service = build("scene-render", f"sqlite+aiosqlite:///{tmp_path}/test.db", tmp_path)
    database, media = service.database, tmp_path / "media"
    await migrate(database, folder_of(scene_render.app.__file__))
    renders, attempts, tasks = (database.metadata.tables[name] for name in ("renders", "attempts", "animatic_tasks"))
    objects = {}
    async with database.sessions.begin() as session:
        ages = {"rendered": 15, "failed": 15, "waiting": 15, "cancelled": 13}
        for number, (state, days) in enumerate(ages.items(), 1):
            key = {"video_id": str(number), "scene_number": number}
            stored = {"parts": [{"frames": 1}], "parts_stored_at": now(-days * DAY_SECONDS)}
            await session.execute(insert(renders).values(row(renders, number, state=state, **key, **stored)))
            objects[state] = media / f"videos/{number}/parts/scene-{number}-1.mp4"
            ended = now(-days / 14 * DAY_SECONDS) if state != "waiting" else None
            await session.execute(insert(attempts).values(row(attempts, number, ended_at=ended, **key)))
            await session.execute(insert(tasks).values(row(tasks, number)))
            objects[f"drawn {state}"] = media / f"animatics/{number}.mp4"
    for path in objects.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    await service.retention.pass_once()

    assert {name for name, path in objects.items() if path.exists()} == {
        "waiting", "cancelled", "drawn waiting", "drawn cancelled"
    }  # fmt: skip
    async with database.reading() as session:
        left = {one.state: one.parts for one in await session.execute(select(renders))}
        drawn = set(await session.scalars(select(tasks.c.id)))
    assert {state for state, parts in left.items() if not parts} == {"rendered", "failed"}
    assert drawn == {"3", "4"}
    await database.close()


@pytest.mark.connected
async def test_a_row_that_somebody_holds_keeps_no_other_from_going(
    sql_server: Any, schema: Callable[[], str], tmp_path: Path
) -> None:
    service = build("composer", sql_server.url(schema()), tmp_path)
    database = service.database
    await migrate(database, folder_of(composer.app.__file__))
    inbox = database.metadata.tables["inbox"]
    async with database.sessions.begin() as session:
        marks = [{"consumer": "c", "message_id": str(n)} for n in range(4)]
        await session.execute(insert(inbox).values(handled_at=now(-15 * DAY_SECONDS)), marks)
    async with database.sessions.begin() as holder:
        await holder.execute(select(inbox).where(inbox.c.consumer == "c", inbox.c.message_id == "0").with_for_update())
        assert (await service.retention.pass_once())["inbox"] == 3
    assert (await service.retention.pass_once())["inbox"] == 1
    await database.close()


async def test_more_than_a_batch_goes_in_one_pass_and_a_failing_policy_stops_no_other(tmp_path: Path) -> None:
    service = build("composer", f"sqlite+aiosqlite:///{tmp_path}/test.db", tmp_path)
    database = service.database
    await migrate(database, folder_of(composer.app.__file__))
    inbox = database.metadata.tables["inbox"]

    async def fail(_database: Database, _seconds: float, _batch: int) -> int:
        raise ZeroDivisionError

    small = Policy("small", 1, Rows(inbox.c.handled_at), batch=3)
    retention = Retention("retention-test", database, [Policy("broken", 1, fail), small])
    async with database.sessions.begin() as session:
        marks = [{"consumer": "c", "message_id": str(n)} for n in range(10)]
        await session.execute(insert(inbox).values(handled_at=now(-2 * DAY_SECONDS)), marks)
    removed = await retention.pass_once()
    assert (removed["small"], removed["broken"]) == (10, 0)
    failed = {"service": "retention-test", "what": "broken"}
    assert REGISTRY.get_sample_value("multishot_retention_errors_total", failed) == 1
    await database.close()
