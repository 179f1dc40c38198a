import sqlalchemy as sa
from alembic import op

from shared.persistence.database import Moment

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("storyboards", sa.Column("repairs", sa.JSON(), nullable=True))
    op.create_table(
        "llm_answers",
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=128), nullable=False),
        sa.Column("turn", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("video_id", sa.String(length=36), nullable=False, index=True),
        sa.Column("answer", sa.Text(1_000_000), nullable=False),
        sa.Column("refused", sa.Boolean(), nullable=False),
        sa.Column("input_tokens", sa.Integer(), nullable=False),
        sa.Column("output_tokens", sa.Integer(), nullable=False),
        sa.Column("cost_usd", sa.Numeric(precision=12, scale=6), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("request_hash", "model", "turn"),
    )


def downgrade() -> None:
    op.drop_table("llm_answers")
    op.drop_column("storyboards", "repairs")
