import json
from typing import Any

import sqlalchemy as sa
from alembic import op

from shared.persistence.database import Moment, now

revision = "0010"
down_revision = "0009"

RETIRED = (
    "scene-render.slot.offered",
    "scene-render.scene.overdue",
    "scene-render.submission.overdue",
    "scene-render.check.due",
    "scene-render.unknown.overdue",
    "scene-render.pay-again.due",
)
"""Messages that said when something is due; now the rows say it themselves."""
ANSWER_SECONDS = 61.0
"""By then every submission of the version before has been answered or was given up."""
LONGEST_TASK_SECONDS = 3600.0

outbox = sa.table("outbox", sa.column("name"), sa.column("body"), sa.column("available_at", Moment))
renders = sa.table(
    "renders",
    *map(sa.column, ("video_id", "state")),
    *(sa.column(name, Moment) for name in ("available_at", "requested_at", "give_up_at", "delayed_since")),
)
standings = sa.table("video_standings", sa.column("video_id"), sa.column("failed", sa.Boolean))
slots = sa.table("provider_slots", sa.column("attempt_id"))
attempts = sa.table(
    "attempts",
    *map(sa.column, ("id", "state")),
    *(sa.column(name, sa.Boolean) for name in ("looked_for", "maybe_queued")),
    *(sa.column(name, Moment) for name in ("running_since", "next_check_at", "release_slot_at", "pay_again_at")),
)


def upgrade() -> None:
    op.drop_index("ix_renders_turn", "renders")
    with op.batch_alter_table("renders") as table:
        table.add_column(sa.Column("give_up_at", Moment, nullable=True))
        table.alter_column("available_at", existing_type=Moment, nullable=True)
    op.create_index("ix_renders_turn", "renders", ["state", "provider", "available_at"])
    op.create_index("ix_renders_give_up", "renders", ["state", "give_up_at"])
    with op.batch_alter_table("attempts") as table:
        for name in ("next_check_at", "release_slot_at", "pay_again_at"):
            table.add_column(sa.Column(name, Moment, nullable=True))
        for name in ("looked_for", "maybe_queued"):
            table.add_column(sa.Column(name, sa.Boolean(), nullable=False, server_default="0"))
    op.create_index("ix_attempts_next_check", "attempts", ["next_check_at", "provider"])
    op.create_index("ix_attempts_release_slot_at", "attempts", ["release_slot_at"])
    op.create_index("ix_attempts_pay_again_at", "attempts", ["pay_again_at"])
    with op.batch_alter_table("provider_states") as table:
        table.alter_column("parked_until", new_column_name="open_until", existing_type=Moment, existing_nullable=True)
    op.add_column("video_standings", sa.Column("release_scenes_at", Moment, nullable=True))
    op.create_index("ix_video_standings_release_scenes_at", "video_standings", ["release_scenes_at"])
    _set_due_times(op.get_bind())


def _set_due_times(connection: sa.Connection) -> None:
    held = sa.exists().where(slots.c.attempt_id == attempts.c.id)
    of_state = attempts.c.state
    for condition, values in (
        ((of_state == "INTENT",), {"next_check_at": now(ANSWER_SECONDS)}),
        ((of_state == "SUBMITTED",), {"next_check_at": now()}),
        ((of_state == "SUBMITTED", attempts.c.running_since.is_(None)), {"maybe_queued": True}),
        ((of_state == "UNKNOWN", held), {"release_slot_at": now(LONGEST_TASK_SECONDS)}),
    ):
        connection.execute(attempts.update().where(*condition).values(values))
    delayed = renders.update().where(renders.c.state.in_(("waiting", "running")), renders.c.delayed_since.is_not(None))
    connection.execute(delayed.values(give_up_at=now()))
    failed = sa.exists().where(standings.c.video_id == renders.c.video_id, standings.c.failed)
    paused = renders.update().where(renders.c.state == "waiting", failed)
    connection.execute(paused.values(available_at=None, give_up_at=None))
    waiting = sa.select(outbox).where(outbox.c.name.in_(RETIRED))
    for message in connection.execute(waiting).all():
        _take_over(connection, message.name, json.loads(message.body), message.available_at)
    connection.execute(outbox.delete().where(outbox.c.name.in_(RETIRED)))


def _take_over(connection: sa.Connection, name: str, body: dict[str, Any], due: object) -> None:
    """Set the exact time that a message was to come at, where it has not come yet."""
    values: dict[str, Any]
    match name:
        case "scene-render.submission.overdue":
            state, values = "INTENT", {"next_check_at": due, "looked_for": bool(body.get("asked"))}
        case "scene-render.check.due" if not body.get("hint"):
            state, values = "SUBMITTED", {"next_check_at": due, "maybe_queued": bool(body.get("queued"))}
        case "scene-render.unknown.overdue":
            state, values = "UNKNOWN", {"release_slot_at": due}
        case "scene-render.pay-again.due":
            state, values = "UNKNOWN", {"pay_again_at": due}
        case _:
            return
    mine = (attempts.c.id == body["attemptId"], attempts.c.state == state)
    connection.execute(attempts.update().where(*mine).values(values))


def downgrade() -> None:
    with op.batch_alter_table("provider_states") as table:
        table.alter_column("open_until", new_column_name="parked_until", existing_type=Moment, existing_nullable=True)
    op.drop_index("ix_video_standings_release_scenes_at", "video_standings")
    op.drop_column("video_standings", "release_scenes_at")
    for name in ("ix_attempts_pay_again_at", "ix_attempts_release_slot_at", "ix_attempts_next_check"):
        op.drop_index(name, "attempts")
    with op.batch_alter_table("attempts") as table:
        for name in ("maybe_queued", "looked_for", "pay_again_at", "release_slot_at", "next_check_at"):
            table.drop_column(name)
    op.drop_index("ix_renders_give_up", "renders")
    op.drop_index("ix_renders_turn", "renders")
    op.get_bind().execute(
        renders.update().where(renders.c.available_at.is_(None)).values(available_at=renders.c.requested_at)
    )
    with op.batch_alter_table("renders") as table:
        table.alter_column("available_at", existing_type=Moment, nullable=False)
        table.drop_column("give_up_at")
    op.create_index("ix_renders_turn", "renders", ["provider", "state", "available_at"])
