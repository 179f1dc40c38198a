"""The migrations of a service, and whether a database has had them all. Imports no migration library: it is slow."""

import re
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared.persistence.database import Database, is_outage

_REVISION = re.compile(r'^revision\b[^=]*= *"([^"]+)"', re.MULTILINE)


def folder_of(module: str) -> Path:
    """The `migrations/` folder beside the `src/` that this module file lies in."""
    return Path(module).resolve().parents[2] / "migrations"


def revisions(folder: Path) -> list[str]:
    """The migrations in a `migrations/` folder, oldest first."""
    found = (_REVISION.search(path.read_text()) for path in sorted(folder.glob("versions/*.py")))
    return [match[1] for match in found if match is not None]


async def is_behind(database: Database, folder: Path) -> bool:
    """Whether migrations are missing. A schema that is newer than this code is not behind."""
    known = revisions(folder)
    try:
        async with database.reading() as session:
            present = (await session.execute(text("SELECT version_num FROM alembic_version"))).scalar_one_or_none()
    except DBAPIError as error:
        if is_outage(error):
            raise
        present = None  # there is no such table
    return present is None or present in known[:-1]
