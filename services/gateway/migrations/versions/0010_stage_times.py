import sqlalchemy as sa
from alembic import op

from shared.persistence.database import Moment

revision = "0010"
down_revision = "0009"

COUNTS = ("waitingScenes", "renderingScenes")


def upgrade() -> None:
    op.create_table(
        "stage_times",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("stage", sa.String(length=20), nullable=False),
        sa.Column("provider", sa.String(length=50), nullable=False),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("length", sa.Double(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("busy", sa.Integer(), nullable=False),
        sa.Column("waiting", sa.Integer(), nullable=False),
        sa.Column("at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_stage_times_stage", "stage_times", ["stage", "provider", "id"])
    with op.batch_alter_table("videos") as videos:
        videos.add_column(sa.Column("marks", sa.JSON(), nullable=True))
        for name in COUNTS:
            videos.add_column(sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
        videos.add_column(sa.Column("renderer", sa.String(length=50), nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("videos") as videos:
        for name in ("renderer", *COUNTS, "marks"):
            videos.drop_column(name)
    op.drop_table("stage_times")
