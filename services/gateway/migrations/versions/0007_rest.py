import sqlalchemy as sa
from alembic import op

from shared.persistence.database import Moment

revision = "0007"
down_revision = "0005"

COLUMNS = (
    sa.Column("version", sa.Integer(), nullable=False, server_default="1"),
    sa.Column("rating", sa.Integer(), nullable=True),
    sa.Column("ratingComment", sa.Text(), nullable=True),
    sa.Column("deletedAt", Moment, nullable=True),
)


def upgrade() -> None:
    op.create_table(
        "kept_answers",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("request", sa.String(length=64), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=True),
        sa.Column("createdAt", Moment, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_kept_answers_createdAt", "kept_answers", ["createdAt"])
    with op.batch_alter_table("videos") as videos:
        for column in COLUMNS:
            videos.add_column(column)


def downgrade() -> None:
    with op.batch_alter_table("videos") as videos:
        for column in COLUMNS:
            videos.drop_column(column.name)
    op.drop_table("kept_answers")
