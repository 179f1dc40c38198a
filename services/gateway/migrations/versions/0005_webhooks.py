import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from shared.persistence.database import Moment

OWNERS = mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin")

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("endpointId", sa.String(length=36), nullable=False, unique=True),
        sa.Column("owner", sa.String(length=255).with_variant(OWNERS, "mysql", "mariadb"), nullable=False, index=True),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("types", sa.JSON(), nullable=False),
        sa.Column("secret", sa.String(length=100), nullable=False),
        sa.Column("oldSecret", sa.String(length=100), nullable=True),
        sa.Column("oldSecretUntil", Moment, nullable=True),
        sa.Column("disabledBecause", sa.Text(), nullable=True),
        sa.Column("failingSince", Moment, nullable=True),
        sa.Column("createdAt", Moment, nullable=False),
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("deliveryId", sa.String(length=36), nullable=False, unique=True),
        sa.Column("endpointId", sa.String(length=36), nullable=False),
        sa.Column("videoId", sa.String(length=36), nullable=True),
        sa.Column("type", sa.String(length=50), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("nextAt", Moment, nullable=True),
        sa.Column("lastAt", Moment, nullable=True),
        sa.Column("lastStatus", sa.Integer(), nullable=True),
        sa.Column("lastAnswer", sa.Text(), nullable=True),
        sa.Column("createdAt", Moment, nullable=False, index=True),
    )
    op.create_index("ix_webhook_deliveries_endpoint", "webhook_deliveries", ["endpointId", "id"])


def downgrade() -> None:
    op.drop_table("webhook_deliveries")
    op.drop_table("webhook_endpoints")
