import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("renders", sa.Column("product", sa.String(20), nullable=False, server_default="clip"))
    op.add_column("renders", sa.Column("picture", sa.JSON(), nullable=True))
    op.add_column("renders", sa.Column("approved", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("attempts", sa.Column("product", sa.String(20), nullable=False, server_default="clip"))


def downgrade() -> None:
    op.drop_column("attempts", "product")
    op.drop_column("renders", "approved")
    op.drop_column("renders", "picture")
    op.drop_column("renders", "product")
