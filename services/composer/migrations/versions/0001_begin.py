import sqlalchemy as sa
from alembic import op

from shared.persistence.database import Moment
from shared.persistence.migrations import create_inbox_and_outbox, drop_inbox_and_outbox

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_inbox_and_outbox()
    op.create_table(
        "film_clips",
        sa.Column("video_id", sa.String(length=36), nullable=False),
        sa.Column("scene_number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("clip", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("video_id", "scene_number"),
    )
    op.create_table(
        "films",
        sa.Column("video_id", sa.String(length=36), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("storyboard", sa.JSON(), nullable=True),
        sa.Column("film", sa.JSON(), nullable=True),
        sa.Column("begun_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("video_id"),
    )


def downgrade() -> None:
    drop_inbox_and_outbox()
    op.drop_table("films")
    op.drop_table("film_clips")
