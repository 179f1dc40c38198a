import sqlalchemy as sa
from alembic import op

from shared.persistence.database import Moment
from shared.persistence.migrations import create_inbox_and_outbox, drop_inbox_and_outbox

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_inbox_and_outbox()
    op.create_table(
        "video_events",
        sa.Column("videoId", sa.String(length=36), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("type", sa.String(length=50), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("createdAt", Moment, nullable=False),
        sa.PrimaryKeyConstraint("videoId", "seq"),
    )
    op.create_table(
        "videos",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("videoId", sa.String(length=255), nullable=False),
        sa.Column("postId", sa.String(length=255), nullable=True),
        sa.Column("niche", sa.String(length=100), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("storyScript", sa.Text(), nullable=False),
        sa.Column("scenes", sa.JSON(), nullable=False),
        sa.Column("videoUrl", sa.Text(), nullable=True),
        sa.Column("thumbnailUrl", sa.Text(), nullable=True),
        sa.Column("duration", sa.Integer(), nullable=True),
        sa.Column("status", sa.String(length=50), server_default="pending", nullable=False),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("createdAt", sa.TIMESTAMP(), server_default=sa.text("CURRENT_TIMESTAMP"), nullable=False),
        sa.Column("completedAt", sa.TIMESTAMP(), nullable=True),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("aspectRatio", sa.String(length=10), nullable=False),
        sa.Column("sceneCount", sa.Integer(), nullable=False),
        sa.Column("requestHash", sa.String(length=64), nullable=True),
        sa.Column("progress", sa.Double(), nullable=False),
        sa.Column("currentStep", sa.String(length=50), nullable=False),
        sa.Column("sceneStates", sa.JSON(), nullable=False),
        sa.Column("costUsd", sa.Numeric(precision=10, scale=4), nullable=False),
        sa.Column("errorStage", sa.String(length=50), nullable=True),
        sa.Column("errorKind", sa.String(length=50), nullable=True),
        sa.Column("errorMessage", sa.Text(), nullable=True),
        sa.Column("film", sa.JSON(), nullable=True),
        sa.Column("thumbnail", sa.JSON(), nullable=True),
        sa.Column("lastSeq", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("videoId"),
    )
    op.create_index(op.f("ix_videos_owner"), "videos", ["owner"], unique=False)
    op.create_index(op.f("ix_videos_status"), "videos", ["status"], unique=False)


def downgrade() -> None:
    drop_inbox_and_outbox()
    op.drop_index(op.f("ix_videos_status"), table_name="videos")
    op.drop_index(op.f("ix_videos_owner"), table_name="videos")
    op.drop_table("videos")
    op.drop_table("video_events")
