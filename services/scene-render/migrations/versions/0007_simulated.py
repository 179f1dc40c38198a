import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    with op.batch_alter_table("spend") as spend:
        spend.add_column(sa.Column("simulated", sa.Boolean(), nullable=False, server_default="0"))


def downgrade() -> None:
    with op.batch_alter_table("spend") as spend:
        spend.drop_column("simulated")
