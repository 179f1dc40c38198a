import sqlalchemy as sa
from alembic import op

from shared.persistence.database import Moment, identifier

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    with op.batch_alter_table("videos") as table:
        table.add_column(sa.Column("quality", sa.String(length=10), nullable=False, server_default="standard"))
        table.add_column(sa.Column("models", sa.JSON(), nullable=True))
        table.add_column(sa.Column("castPictures", sa.JSON(), nullable=True))
    with op.batch_alter_table("charges") as table:
        table.add_column(sa.Column("purpose", sa.String(length=20), nullable=False, server_default="clip"))
        table.add_column(sa.Column("model", identifier(150), nullable=True))
    op.execute("UPDATE charges SET purpose = 'storyboard' WHERE scene_number = 0")
    op.create_table(
        "uploads",
        sa.Column("uploadId", sa.String(length=36), nullable=False),
        sa.Column("owner", identifier(255), nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("media", sa.JSON(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("createdAt", Moment, nullable=False),
        sa.PrimaryKeyConstraint("uploadId"),
    )
    op.create_index("ix_uploads_owner", "uploads", ["owner"])
    op.create_index("ix_uploads_createdAt", "uploads", ["createdAt"])


def downgrade() -> None:
    op.drop_table("uploads")
    with op.batch_alter_table("charges") as table:
        table.drop_column("purpose")
        table.drop_column("model")
    with op.batch_alter_table("videos") as table:
        table.drop_column("quality")
        table.drop_column("models")
        table.drop_column("castPictures")
