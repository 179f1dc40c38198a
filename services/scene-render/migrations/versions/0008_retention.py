import sqlalchemy as sa
from alembic import op

from shared.persistence.database import Moment, now

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("budgets", sa.Column("opened_at", Moment, nullable=True))
    op.execute(sa.table("budgets", sa.column("opened_at", Moment)).update().values(opened_at=now()))
    op.create_index("ix_budgets_opened_at", "budgets", ["opened_at"])
    op.create_index("ix_attempts_ended_at", "attempts", ["ended_at"])
    op.add_column("renders", sa.Column("parts_stored_at", Moment, nullable=True))
    op.create_index("ix_renders_parts_stored_at", "renders", ["parts_stored_at"])


def downgrade() -> None:
    op.drop_index("ix_renders_parts_stored_at", "renders")
    op.drop_column("renders", "parts_stored_at")
    op.drop_index("ix_attempts_ended_at", "attempts")
    op.drop_index("ix_budgets_opened_at", "budgets")
    op.drop_column("budgets", "opened_at")
