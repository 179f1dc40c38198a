import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    with op.batch_alter_table("renders") as renders:
        renders.add_column(sa.Column("product", sa.String(20), nullable=False, server_default="clip"))
        renders.add_column(sa.Column("picture", sa.JSON(), nullable=True))
        renders.add_column(sa.Column("approved", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("attempts") as attempts:
        attempts.add_column(sa.Column("product", sa.String(20), nullable=False, server_default="clip"))


def downgrade() -> None:
    with op.batch_alter_table("attempts") as attempts:
        attempts.drop_column("product")
    with op.batch_alter_table("renders") as renders:
        renders.drop_column("approved")
        renders.drop_column("picture")
        renders.drop_column("product")
