import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "video_standings",
        sa.Column("video_id", sa.String(length=36), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("video_id"),
    )
    op.execute(
        "INSERT INTO video_standings (video_id, epoch, failed) "
        "SELECT DISTINCT video_id, 0, 1 FROM renders WHERE held OR state = 'failed'"
    )
    with op.batch_alter_table("renders") as renders:
        renders.drop_column("held")


def downgrade() -> None:
    with op.batch_alter_table("renders") as renders:
        renders.add_column(sa.Column("held", sa.Boolean(), nullable=False, server_default="0"))
    op.execute("UPDATE renders SET held = 1 WHERE video_id IN (SELECT video_id FROM video_standings WHERE failed)")
    op.drop_table("video_standings")
