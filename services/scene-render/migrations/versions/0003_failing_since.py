import sqlalchemy as sa
from alembic import op

from shared.persistence.database import Moment

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    with op.batch_alter_table("provider_states") as states:
        states.add_column(sa.Column("failing_since", Moment, nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("provider_states") as states:
        states.drop_column("failing_since")
