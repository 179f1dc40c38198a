import sqlalchemy as sa
from alembic import op

from shared.persistence.database import Moment

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "budgets",
        sa.Column("scope", sa.String(length=300), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "day"),
    )
    op.create_table(
        "provider_states",
        sa.Column("provider", sa.String(length=50), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=50), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("parked_until", Moment, nullable=True),
        sa.PrimaryKeyConstraint("provider"),
    )
    with op.batch_alter_table("renders") as renders:
        # MySQL has no defaults for JSON.
        renders.add_column(sa.Column("tried", sa.JSON(), nullable=True))
        renders.add_column(sa.Column("parts", sa.JSON(), nullable=True))
        renders.add_column(sa.Column("delayed_by", sa.String(length=50), nullable=True))
        renders.add_column(sa.Column("delayed_since", Moment, nullable=True))
        renders.add_column(sa.Column("failures", sa.Integer(), nullable=False, server_default="0"))
    op.execute("UPDATE renders SET tried = '[]', parts = '[]'")
    with op.batch_alter_table("attempts") as attempts:
        attempts.add_column(sa.Column("seconds", sa.Integer(), nullable=False, server_default="0"))
        attempts.add_column(sa.Column("posts", sa.Integer(), nullable=False, server_default="1"))
        attempts.add_column(sa.Column("running_since", Moment, nullable=True))
        attempts.create_index("ix_attempts_video", ["video_id", "state"])
        attempts.create_index("ix_attempts_ended", ["provider", "state", "ended_at"])
    with op.batch_alter_table("spend") as spend:
        spend.add_column(sa.Column("day", sa.String(length=10), nullable=False, server_default=""))
        spend.add_column(sa.Column("state", sa.String(length=20), nullable=False, server_default="held"))
        spend.add_column(sa.Column("revision", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    with op.batch_alter_table("spend") as spend:
        for name in ("revision", "state", "day"):
            spend.drop_column(name)
    with op.batch_alter_table("attempts") as attempts:
        attempts.drop_index("ix_attempts_ended")
        attempts.drop_index("ix_attempts_video")
        for name in ("running_since", "posts", "seconds"):
            attempts.drop_column(name)
    with op.batch_alter_table("renders") as renders:
        for name in ("failures", "delayed_since", "delayed_by", "parts", "tried"):
            renders.drop_column(name)
    op.drop_table("provider_states")
    op.drop_table("budgets")
