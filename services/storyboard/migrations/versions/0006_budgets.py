import sqlalchemy as sa
from alembic import op

from shared.persistence.database import identifier

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "budgets",
        sa.Column("scope", identifier(300), nullable=False),
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "day"),
    )


def downgrade() -> None:
    op.drop_table("budgets")
