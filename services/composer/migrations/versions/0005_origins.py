import sqlalchemy as sa
from alembic import op

from shared.persistence.database import identifier

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("film_clips", sa.Column("provider", identifier(50), nullable=True))
    op.add_column("film_clips", sa.Column("model", identifier(255), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("film_clips") as table:
        table.drop_column("model")
        table.drop_column("provider")
