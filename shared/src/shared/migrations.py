"""Brings a service's own schema up to date: the body of every `migrations/env.py`, and the command behind it."""

import asyncio
from pathlib import Path

import sqlalchemy as sa
from alembic import command, context, op
from alembic.config import Config
from sqlalchemy import Connection, MetaData

from shared.database import Database, Moment


async def migrate(database: Database, folder: Path) -> None:
    """Run all migrations in `folder` that this database has not had yet."""
    async with database.engine.begin() as connection:
        await connection.run_sync(_upgrade, folder)


def _upgrade(connection: Connection, folder: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def run(metadata: MetaData) -> None:
    """What a `migrations/env.py` does."""
    connection = context.config.attributes["connection"]
    context.configure(connection=connection, target_metadata=metadata, transactional_ddl=False)
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


def folder_of(module: str) -> Path:
    """The `migrations/` folder beside the `src/` that this module file lies in."""
    return Path(module).resolve().parents[2] / "migrations"


def main(database: Database, folder: Path) -> None:
    """Migrate from the command line."""

    async def upgrade() -> None:
        try:
            await migrate(database, folder)
        finally:
            await database.close()

    asyncio.run(upgrade())
