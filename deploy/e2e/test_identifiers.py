"""Names that differ in case or accents name different things on every database server too."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

import composer.app
import composer.models
import gateway.app
import gateway.models
import scene_render.app
import scene_render.models
import storyboard.app
import storyboard.models
from shared.money.budget import BudgetExceeded, Caps, reserve
from shared.persistence.database import Database
from shared.persistence.migration_files import folder_of
from shared_testing.servers import migrated
from shared_testing.sql_server import SqlServer

pytestmark = pytest.mark.connected

SERVICES = {
    "gateway": (gateway.models, gateway.app),
    "storyboard": (storyboard.models, storyboard.app),
    "scene-render": (scene_render.models, scene_render.app),
    "composer": (composer.models, composer.app),
}
NAMES = {"owner", "scope", "provider", "delayed_by", "task_id", "model", "message_id"}
OWNERS = ("anna", "Anna", "ánna", "ANNA", "aña", "ana")


@pytest.mark.parametrize("service", SERVICES)
async def test_names_are_compared_character_by_character(
    service: str, sql_server: SqlServer, schema: Callable[[], str]
) -> None:
    models, app = SERVICES[service]
    async with migrated(str(sql_server.url(schema())), models.Base.metadata, folder_of(app.__file__)) as database:
        async with database.reading() as session:
            columns = await session.execute(
                text(
                    "SELECT table_name, column_name, collation_name FROM information_schema.columns "
                    "WHERE table_schema = DATABASE() AND data_type = 'varchar'"
                )
            )
        named = [tuple(row) for row in columns if row[1] in NAMES and row[0] != "outbox"]
        assert named
        assert [row for row in named if row[2] != "utf8mb4_bin"] == []
        if "budgets" in models.Base.metadata.tables:
            await each_owner_has_a_budget(database, models.Base.metadata.tables["budgets"])


async def each_owner_has_a_budget(database: Database, budgets: Any) -> None:
    caps = Caps(None, Decimal(1), None)
    for owner in OWNERS:
        async with database.sessions.begin() as session:
            await reserve(session, budgets, caps.budgets("v", owner, "2026-01-01"), Decimal(1))
    for owner in OWNERS:
        with pytest.raises(BudgetExceeded):
            async with database.sessions.begin() as session:
                await reserve(session, budgets, caps.budgets("v", owner, "2026-01-01"), Decimal("0.01"))
