import sqlalchemy as sa
from alembic import op

from shared.persistence.database import Moment

revision = "0003"
down_revision = "0002"

COLUMNS = (
    ("storyboard", sa.JSON()),
    ("providers", sa.JSON()),
    ("approvedAt", Moment),
    ("animaticId", sa.String(length=36)),
    ("animaticOf", sa.String(length=36)),
)


def upgrade() -> None:
    op.create_table(
        "storyboards",
        sa.Column("storyboardId", sa.String(length=36), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("drafted", sa.JSON(), nullable=True),
        sa.Column("errorKind", sa.String(length=50), nullable=True),
        sa.Column("errorMessage", sa.Text(), nullable=True),
        sa.Column("createdAt", Moment, nullable=False),
        sa.PrimaryKeyConstraint("storyboardId"),
    )
    with op.batch_alter_table("videos") as videos:
        for name, kind in COLUMNS:
            videos.add_column(sa.Column(name, kind, nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("videos") as videos:
        for name, _ in COLUMNS:
            videos.drop_column(name)
    op.drop_table("storyboards")
