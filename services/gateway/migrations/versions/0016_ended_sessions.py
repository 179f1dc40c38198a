import sqlalchemy as sa
from alembic import op

from shared.persistence.database import Moment

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.create_table(
        "ended_sessions",
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("ends_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("hash"),
    )
    op.create_index("ix_ended_sessions_ends_at", "ended_sessions", ["ends_at"])


def downgrade() -> None:
    op.drop_table("ended_sessions")
