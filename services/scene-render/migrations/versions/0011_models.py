import sqlalchemy as sa
from alembic import op

from shared.persistence.database import identifier

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    with op.batch_alter_table("attempts") as attempts:
        attempts.add_column(sa.Column("model", identifier(100), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("attempts") as attempts:
        attempts.drop_column("model")
