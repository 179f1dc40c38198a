import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from shared.persistence.database import Moment

revision = "0004"
down_revision = "0003"

OWNERS = mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin")


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.String(length=16), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=255).with_variant(OWNERS, "mysql", "mariadb"), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("calls_per_minute", sa.Integer(), nullable=True),
        sa.Column("budget_day_usd", sa.Numeric(precision=10, scale=4), nullable=True),
        sa.Column("created_at", Moment, nullable=False),
        sa.Column("expires_at", Moment, nullable=True),
        sa.Column("last_used_at", Moment, nullable=True),
        sa.Column("revoked_at", Moment, nullable=True),
        sa.PrimaryKeyConstraint("key_id"),
    )
    op.create_index("ix_api_keys_owner", "api_keys", ["owner"])
    _compare_owners(OWNERS)


def downgrade() -> None:
    _compare_owners(mysql.VARCHAR(255))
    op.drop_table("api_keys")


def _compare_owners(kind: mysql.VARCHAR) -> None:
    # SQLite compares letter by letter as it is.
    if op.get_bind().dialect.name != "sqlite":
        for table in ("videos", "charges"):
            op.alter_column(table, "owner", type_=kind, existing_nullable=False)
