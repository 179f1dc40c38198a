import sqlalchemy as sa
from alembic import op

from shared.persistence.database import Moment, now

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.add_column("budgets", sa.Column("opened_at", Moment, nullable=True))
    op.execute(sa.table("budgets", sa.column("opened_at", Moment)).update().values(opened_at=now()))
    op.create_index("ix_budgets_opened_at", "budgets", ["opened_at"])
    op.create_index("ix_stage_times_at", "stage_times", ["at"])
    op.create_index("ix_storyboards_createdAt", "storyboards", ["createdAt"])
    op.create_index("ix_charges_updated_at", "charges", ["updated_at"])


def downgrade() -> None:
    op.drop_index("ix_charges_updated_at", "charges")
    op.drop_index("ix_storyboards_createdAt", "storyboards")
    op.drop_index("ix_stage_times_at", "stage_times")
    op.drop_index("ix_budgets_opened_at", "budgets")
    op.drop_column("budgets", "opened_at")
