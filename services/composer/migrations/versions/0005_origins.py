import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("film_clips", sa.Column("provider", sa.String(50), nullable=True))
    op.add_column("film_clips", sa.Column("model", sa.String(255), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("film_clips") as table:
        table.drop_column("model")
        table.drop_column("provider")
