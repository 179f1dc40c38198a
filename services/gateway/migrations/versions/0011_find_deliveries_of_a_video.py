from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_index("ix_webhook_deliveries_videoId", "webhook_deliveries", ["videoId"])


def downgrade() -> None:
    op.drop_index("ix_webhook_deliveries_videoId", "webhook_deliveries")
