import sqlalchemy as sa
from alembic import op

from shared.persistence.database import Moment
from shared.persistence.migrations import create_inbox_and_outbox, drop_inbox_and_outbox

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_inbox_and_outbox()
    op.create_table(
        "animatic_tasks",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("frames", sa.Integer(), nullable=False),
        sa.Column("percent", sa.Integer(), nullable=False),
        sa.Column("media", sa.JSON(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "cancelled_videos",
        sa.Column("video_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("video_id"),
    )
    op.create_table(
        "provider_slots",
        sa.Column("provider", sa.String(length=50), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("attempt_id", sa.String(length=36), nullable=True),
        sa.PrimaryKeyConstraint("provider", "number"),
        sa.UniqueConstraint("attempt_id"),
    )
    op.create_table(
        "renders",
        sa.Column("video_id", sa.String(length=36), nullable=False),
        sa.Column("scene_number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("request", sa.JSON(), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("batch", sa.Boolean(), nullable=False),
        sa.Column("provider", sa.String(length=50), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("clip", sa.JSON(), nullable=True),
        sa.Column("cost_usd", sa.Numeric(precision=10, scale=4), nullable=False),
        sa.Column("failure_kind", sa.String(length=50), nullable=True),
        sa.Column("failure_reason", sa.Text(), nullable=True),
        sa.Column("available_at", Moment, nullable=False),
        sa.Column("requested_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("video_id", "scene_number"),
    )
    op.create_index("ix_renders_turn", "renders", ["provider", "state", "available_at"], unique=False)
    op.create_table(
        "spend",
        sa.Column("attempt_id", sa.String(length=36), nullable=False),
        sa.Column("video_id", sa.String(length=36), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("provider", sa.String(length=50), nullable=False),
        sa.Column("reserved_usd", sa.Numeric(precision=10, scale=4), nullable=False),
        sa.Column("booked_usd", sa.Numeric(precision=10, scale=4), nullable=False),
        sa.Column("reserved_at", Moment, nullable=False),
        sa.PrimaryKeyConstraint("attempt_id"),
    )
    op.create_index(op.f("ix_spend_reserved_at"), "spend", ["reserved_at"], unique=False)
    op.create_index(op.f("ix_spend_video_id"), "spend", ["video_id"], unique=False)
    op.create_table(
        "attempts",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("video_id", sa.String(length=36), nullable=False),
        sa.Column("scene_number", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("provider", sa.String(length=50), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("task_id", sa.String(length=255), nullable=True),
        sa.Column("failure_kind", sa.String(length=50), nullable=True),
        sa.Column("failure_reason", sa.Text(), nullable=True),
        sa.Column("intended_at", Moment, nullable=False),
        sa.Column("submitted_at", Moment, nullable=True),
        sa.Column("ended_at", Moment, nullable=True),
        sa.ForeignKeyConstraint(
            ["video_id", "scene_number"],
            ["renders.video_id", "renders.scene_number"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_attempts_state"), "attempts", ["state"], unique=False)


def downgrade() -> None:
    drop_inbox_and_outbox()
    op.drop_index(op.f("ix_attempts_state"), table_name="attempts")
    op.drop_table("attempts")
    op.drop_index(op.f("ix_spend_video_id"), table_name="spend")
    op.drop_index(op.f("ix_spend_reserved_at"), table_name="spend")
    op.drop_table("spend")
    op.drop_index("ix_renders_turn", table_name="renders")
    op.drop_table("renders")
    op.drop_table("provider_slots")
    op.drop_table("cancelled_videos")
    op.drop_table("animatic_tasks")
