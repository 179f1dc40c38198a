import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

TABLES = ("videos", "charges")


def upgrade() -> None:
    for name in TABLES:
        with op.batch_alter_table(name) as table:
            table.add_column(sa.Column("simulated", sa.Boolean(), nullable=False, server_default="0"))


def downgrade() -> None:
    for name in TABLES:
        with op.batch_alter_table(name) as table:
            table.drop_column("simulated")
