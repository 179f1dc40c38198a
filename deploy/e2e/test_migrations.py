"""The migrations of a service produce the schema that its models describe."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, MetaData, Text
from sqlalchemy.dialects.mysql import MEDIUMTEXT

import composer.app
import composer.models
import gateway.app
import gateway.models
import scene_render.app
import scene_render.models
import storyboard.app
import storyboard.models
from shared.persistence.migration_files import folder_of
from shared_testing.servers import migrated

SERVICES = [storyboard, scene_render, composer, gateway]


def url_of_sqlite(request: pytest.FixtureRequest) -> str:
    folder: Path = request.getfixturevalue("tmp_path")
    return f"sqlite+aiosqlite:///{folder}/schema.db"


def url_of_mariadb(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue("sql_server").url(request.getfixturevalue("schema")())


def _type_differs(_context: Any, _column: Any, _of_model: Any, there: object, described: object) -> bool | None:
    """Take a MEDIUMTEXT for the TEXT with a length that MariaDB makes one of; None: let Alembic compare."""
    is_long_text = isinstance(described, Text) and bool(described.length)
    return False if isinstance(there, MEDIUMTEXT) and is_long_text else None


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.__name__)
@pytest.mark.parametrize(
    "url_of",
    [pytest.param(url_of_sqlite, id="sqlite"), pytest.param(url_of_mariadb, id="mariadb", marks=pytest.mark.connected)],
)
async def test_the_migrations_make_what_the_models_describe(
    service: ModuleType, url_of: Callable[[pytest.FixtureRequest], str], request: pytest.FixtureRequest
) -> None:
    metadata: MetaData = service.models.Base.metadata

    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": _type_differs})
        return compare_metadata(context, metadata)

    folder = folder_of(service.app.__file__)
    async with migrated(url_of(request), metadata, folder) as database, database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []
