from collections.abc import Callable

import sqlalchemy as sa
from alembic import op

from shared.persistence.database import identifier

revision = "0005"
down_revision = "0004"

COLUMNS = (
    ("budgets", "scope", 300, False),
    ("renders", "owner", 255, False),
    ("renders", "provider", 50, False),
    ("renders", "delayed_by", 50, True),
    ("attempts", "provider", 50, False),
    ("attempts", "task_id", 255, True),
    ("provider_slots", "provider", 50, False),
    ("provider_states", "provider", 50, False),
    ("spend", "owner", 255, False),
    ("spend", "provider", 50, False),
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
