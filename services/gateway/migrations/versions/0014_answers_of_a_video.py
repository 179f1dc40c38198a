import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("kept_answers", sa.Column("videoId", sa.String(length=36), nullable=True))
    op.create_index(op.f("ix_kept_answers_videoId"), "kept_answers", ["videoId"])


def downgrade() -> None:
    op.drop_index(op.f("ix_kept_answers_videoId"), "kept_answers")
    op.drop_column("kept_answers", "videoId")
