import json

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

SCENE = ("video_id", "scene_number")
renders = sa.table("renders", *map(sa.column, (*SCENE, "state")), sa.column("parts", sa.String))
attempts = sa.table("attempts", *map(sa.column, (*SCENE, "id", "number", "state", "provider", "task_id", "part")))


def upgrade() -> None:
    op.add_column("attempts", sa.Column("part", sa.Integer(), nullable=True, server_default="0"))
    connection = op.get_bind()
    of_attempt = (renders.c.video_id == attempts.c.video_id, renders.c.scene_number == attempts.c.scene_number)
    at_rest = sa.exists().where(*of_attempt, renders.c.state != "running")
    # No clip is being collected for a scene that does not run.
    connection.execute(attempts.update().where(attempts.c.state == "SUCCEEDED", at_rest).values(part=None))
    in_parts = sa.select(renders).where(renders.c.parts.like("[{%"))
    for scene in connection.execute(in_parts).all():
        sources = [(part["provider"], part["taskId"]) for part in json.loads(scene.parts)]
        mine = (attempts.c.video_id == scene.video_id, attempts.c.scene_number == scene.scene_number)
        present = 0
        for attempt in connection.execute(sa.select(attempts).where(*mine).order_by(attempts.c.number)).all():
            source = (attempt.provider, attempt.task_id)
            part = sources.index(source) if source in sources else present
            connection.execute(attempts.update().where(attempts.c.id == attempt.id).values(part=part))
            present = max(present, part + (source in sources))


def downgrade() -> None:
    op.drop_column("attempts", "part")
