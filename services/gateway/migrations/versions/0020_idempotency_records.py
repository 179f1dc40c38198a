from alembic import op

revision = "0020"
down_revision = "0019"

OLD, NEW = "kept_answers", "idempotency_records"
COLUMNS = ("createdAt", "videoId")


def upgrade() -> None:
    _rename(OLD, NEW)


def downgrade() -> None:
    _rename(NEW, OLD)


def _rename(before: str, after: str) -> None:
    for column in COLUMNS:
        op.drop_index(f"ix_{before}_{column}", before)
    op.rename_table(before, after)
    for column in COLUMNS:
        op.create_index(f"ix_{after}_{column}", after, [column])
