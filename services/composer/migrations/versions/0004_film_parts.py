import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("films", sa.Column("parameter_sets", sa.JSON(), nullable=True))
    op.add_column("films", sa.Column("copies", sa.Boolean(), nullable=False, server_default="1"))
    op.create_table(
        "film_parts",
        sa.Column("video_id", sa.String(36), primary_key=True),
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("media", sa.JSON(), nullable=True),
    )


def downgrade() -> None:
    op.drop_table("film_parts")
    with op.batch_alter_table("films") as table:
        table.drop_column("copies")
        table.drop_column("parameter_sets")
