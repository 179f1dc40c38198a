"""A MariaDB or MySQL that tests use."""

import contextlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pymysql


@dataclass(frozen=True)
class SqlServer:
    """A MariaDB or MySQL, and who may do everything on it."""

    host: str
    port: int
    user: str
    password: str

    def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements as that user; returns the rows of the last one."""
        connection = pymysql.connect(
            host=self.host, port=self.port, user=self.user, password=self.password, autocommit=True
        )
        with contextlib.closing(connection), connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def url(self, schema: str, user: str | None = None, password: str | None = None) -> str:
        """The SQLAlchemy URL of a schema."""
        name, secret = (self.user, self.password) if user is None else (user, password or "")
        return f"mysql+asyncmy://{quote(name)}:{quote(secret)}@{self.host}:{self.port}/{schema}"
