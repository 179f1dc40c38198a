import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("llm_answers", sa.Column("ending", sa.String(length=20), nullable=False, server_default="stop"))


def downgrade() -> None:
    op.drop_column("llm_answers", "ending")
