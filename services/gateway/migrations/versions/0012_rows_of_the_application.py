import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0012"
down_revision = "0011"

OWNERS = sa.String(length=255).with_variant(
    mysql.VARCHAR(255, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)
DEFAULTS = (
    ("owner", OWNERS, "anonymous"),
    ("aspectRatio", sa.String(length=10), "16:9"),
    ("sceneCount", sa.Integer(), "3"),
    ("progress", sa.Double(), "0"),
    ("currentStep", sa.String(length=50), "storyboard"),
    ("sceneStates", sa.JSON(), sa.text("(json_object())")),
    ("costUsd", sa.Numeric(precision=10, scale=4), "0"),
    ("lastSeq", sa.Integer(), "0"),
)


def upgrade() -> None:
    with op.batch_alter_table("videos") as videos:
        for name, kind, default in DEFAULTS:
            videos.alter_column(name, existing_type=kind, existing_nullable=False, server_default=default)
        videos.alter_column("metadata", existing_type=sa.JSON(), nullable=True)


def downgrade() -> None:
    op.execute(sa.text("UPDATE videos SET metadata = '{}' WHERE metadata IS NULL"))
    with op.batch_alter_table("videos") as videos:
        videos.alter_column("metadata", existing_type=sa.JSON(), nullable=False)
        for name, kind, _ in DEFAULTS:
            videos.alter_column(name, existing_type=kind, existing_nullable=False, server_default=None)
