"""Brings a service's own schema up to date: the body of every `migrations/env.py`, and the command behind it."""

import asyncio
import logging
from pathlib import Path

import sqlalchemy as sa
from alembic import command, context, op
from alembic.config import Config
from alembic.runtime.migration import MigrationInfo
from sqlalchemy import Connection, MetaData

from shared.persistence.database import Database, Moment, migration_engine


async def migrate(database: Database, folder: Path) -> list[str]:
    """Run all migrations in `folder` that this database has not had yet. Returns their revisions, oldest first."""
    engine = migration_engine(database.url)
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(_upgrade, folder)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection, folder: Path) -> list[str]:
    applied: list[str] = []
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["applied"] = applied
    # Alembic names the key of its own table; MySQL and MariaDB do not keep that name, and the driver logs it.
    logging.getLogger("asyncmy").addFilter(lambda record: "alembic_version_pkc" not in record.getMessage())
    command.upgrade(config, "head")
    return applied


def run(metadata: MetaData) -> None:
    """What a `migrations/env.py` does."""
    connection = context.config.attributes["connection"]
    applied: list[str] = context.config.attributes["applied"]

    def note(ctx: object, step: MigrationInfo, heads: object, run_args: object) -> None:  # noqa: ARG001 - Alembic's names
        applied.extend(step.up_revision_ids)

    context.configure(connection=connection, target_metadata=metadata, transactional_ddl=False, on_version_apply=note)
    with context.begin_transaction():
        context.run_migrations()


def create_inbox_and_outbox() -> None:
    """The two tables every service begins with."""
    op.create_table(
        "inbox",
        sa.Column("consumer", sa.String(100), primary_key=True),
        sa.Column("message_id", sa.String(64), primary_key=True),
        sa.Column("handled_at", Moment, nullable=False, index=True),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("message_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("video_id", sa.String(36), nullable=False),
        sa.Column("headers", sa.JSON(), nullable=False),
        sa.Column("body", sa.Text(1_000_000), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("available_at", Moment, nullable=False, index=True),
        sa.Column("created_at", Moment, nullable=False),
    )


def drop_inbox_and_outbox() -> None:
    """Undo `create_inbox_and_outbox`."""
    op.drop_table("outbox")
    op.drop_table("inbox")


def main(database: Database, folder: Path) -> None:
    """Migrate from the command line, and print what was done."""
    applied = asyncio.run(migrate(database, folder))
    print(f"Applied {', '.join(applied)}." if applied else "The schema is up to date.")  # noqa: T201 - its answer
