"""Lists the migrations of a service and checks whether any is missing. Does not import Alembic, which is slow."""

import re
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared.persistence.database import Database, is_outage

_REVISION = re.compile(r'^revision\b[^=]*= *"([^"]+)"', re.MULTILINE)


def folder_of(module: str) -> Path:
    """Return the `migrations/` folder beside the `src/` that contains this module file."""
    return Path(module).resolve().parents[2] / "migrations"


def revisions(folder: Path) -> list[str]:
    """Return the revisions in a `migrations/` folder, oldest first."""
    found = (_REVISION.search(path.read_text()) for path in sorted(folder.glob("versions/*.py")))
    return [match[1] for match in found if match is not None]


async def is_behind(database: Database, folder: Path) -> bool:
    """Return whether migrations are missing. A schema that is newer than the code is not behind."""
    known = revisions(folder)
    try:
        async with database.reading() as session:
            present = (await session.execute(text("SELECT version_num FROM alembic_version"))).scalar_one_or_none()
    except DBAPIError as error:
        if is_outage(error):
            raise
        present = None  # there is no such table
    return present is None or present in known[:-1]
