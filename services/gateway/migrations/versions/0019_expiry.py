import sqlalchemy as sa
from alembic import op

from shared.persistence.database import Moment, now

revision = "0019"
down_revision = "0018"

DAYS = 30


def upgrade() -> None:
    op.add_column("videos", sa.Column("kept", sa.Boolean(), nullable=False, server_default=sa.text("0")))
    op.add_column("videos", sa.Column("expiresAt", Moment, nullable=True))
    op.create_index("ix_videos_expiry", "videos", ["status", "expiresAt"])
    # Films that are here get their time from now on: nobody was told before. Rows of the application have no hash.
    names = ("status", "requestHash", "deletedAt")
    videos = sa.table("videos", *map(sa.column, names), sa.column("expiresAt", Moment))
    ours = (videos.c.status == "completed", videos.c.requestHash.is_not(None), videos.c.deletedAt.is_(None))
    op.execute(videos.update().where(*ours).values(expiresAt=now(DAYS * 86_400)))


def downgrade() -> None:
    op.drop_index("ix_videos_expiry", "videos")
    op.drop_column("videos", "expiresAt")
    op.drop_column("videos", "kept")
