from alembic import op

revision = "0009"
down_revision = "0007"


def upgrade() -> None:
    op.create_index("ix_video_events_createdAt", "video_events", ["createdAt"])


def downgrade() -> None:
    op.drop_index("ix_video_events_createdAt", "video_events")
