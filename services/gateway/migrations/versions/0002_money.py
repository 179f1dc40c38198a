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
        "charges",
        sa.Column("attempt_id", sa.String(length=36), nullable=False),
        sa.Column("video_id", sa.String(length=36), nullable=False),
        sa.Column("scene_number", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("provider", sa.String(length=50), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("held_usd", sa.Numeric(precision=10, scale=4), nullable=False),
        sa.Column("booked_usd", sa.Numeric(precision=10, scale=4), nullable=False),
        sa.Column("task_id", sa.String(length=255), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("updated_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("attempt_id"),
    )
    op.create_index("ix_charges_video_id", "charges", ["video_id"])
    op.create_index("ix_charges_day", "charges", ["day", "owner", "provider"])
    op.create_index("ix_charges_state", "charges", ["state"])
    with op.batch_alter_table("videos") as videos:
        for name in ("estimatedCostUsd", "heldUsd", "promisedUsd"):
            videos.add_column(sa.Column(name, sa.Numeric(precision=10, scale=4), nullable=False, server_default="0"))
        videos.add_column(sa.Column("budgetDay", sa.String(length=10), nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("videos") as videos:
        for name in ("budgetDay", "promisedUsd", "heldUsd", "estimatedCostUsd"):
            videos.drop_column(name)
    op.drop_table("charges")
    op.drop_table("budgets")
