import sqlalchemy as sa
from alembic import op

from shared.persistence.database import Moment, now

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("budgets", sa.Column("opened_at", Moment, nullable=True))
    op.execute(sa.table("budgets", sa.column("opened_at", Moment)).update().values(opened_at=now()))
    op.create_index("ix_budgets_opened_at", "budgets", ["opened_at"])
    op.create_index("ix_drafts_created_at", "drafts", ["created_at"])
    op.create_index("ix_llm_answers_created_at", "llm_answers", ["created_at"])


def downgrade() -> None:
    op.drop_index("ix_llm_answers_created_at", "llm_answers")
    op.drop_index("ix_drafts_created_at", "drafts")
    op.drop_index("ix_budgets_opened_at", "budgets")
    op.drop_column("budgets", "opened_at")
