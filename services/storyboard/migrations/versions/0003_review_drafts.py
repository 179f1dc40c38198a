import sqlalchemy as sa
from alembic import op

from shared.persistence.database import Moment

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("storyboards", sa.Column("state", sa.String(length=20), nullable=False, server_default="filming"))
    op.create_table(
        "drafts",
        sa.Column("storyboard_id", sa.String(length=36), nullable=False),
        sa.Column("storyboard", sa.JSON(), nullable=False),
        sa.Column("created_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("storyboard_id"),
    )


def downgrade() -> None:
    op.drop_table("drafts")
    op.drop_column("storyboards", "state")
