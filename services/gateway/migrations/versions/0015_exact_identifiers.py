from collections.abc import Callable

import sqlalchemy as sa
from alembic import op

from shared.persistence.database import identifier

revision = "0015"
down_revision = "0014"

COLUMNS = (
    ("budgets", "scope", 300, False),
    ("charges", "provider", 50, False),
    ("charges", "task_id", 255, True),
    ("stage_times", "provider", 50, False),
    ("stage_times", "model", 100, False),
    ("inbox", "message_id", 64, False),
)


def upgrade() -> None:
    _compare(identifier)


def downgrade() -> None:
    _compare(sa.String)


def _compare(kind: Callable[[int], sa.String]) -> None:
    # SQLite compares character by character as it is.
    if op.get_bind().dialect.name != "sqlite":
        for table, column, length, nullable in COLUMNS:
            op.alter_column(table, column, type_=kind(length), existing_nullable=nullable)
