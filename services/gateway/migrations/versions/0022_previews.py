import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.add_column("videos", sa.Column("previews", sa.JSON(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("videos") as table:
        table.drop_column("previews")
