import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    with op.batch_alter_table("renders") as renders:
        renders.add_column(sa.Column("paid_again", sa.Boolean(), nullable=False, server_default="0"))


def downgrade() -> None:
    with op.batch_alter_table("renders") as renders:
        renders.drop_column("paid_again")
