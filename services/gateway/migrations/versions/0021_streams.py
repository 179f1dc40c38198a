import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.create_table(
        "stream_pieces",
        sa.Column("videoId", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("piece", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("videoId", "number"),
    )
    op.add_column("videos", sa.Column("streamPieces", sa.JSON(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("videos") as table:
        table.drop_column("streamPieces")
    op.drop_table("stream_pieces")
