import sqlalchemy as sa
from alembic import op

from shared.persistence.database import Moment
from shared.persistence.migrations import create_inbox_and_outbox, drop_inbox_and_outbox

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_inbox_and_outbox()
    op.create_table(
        "storyboards",
        sa.Column("video_id", sa.String(length=36), nullable=False),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("storyboard", sa.JSON(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("video_id"),
    )


def downgrade() -> None:
    drop_inbox_and_outbox()
    op.drop_table("storyboards")
