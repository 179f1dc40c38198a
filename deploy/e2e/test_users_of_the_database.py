"""Each service's database user reads and writes its own schema, and no other's."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from shared_testing.servers import RUN
from shared_testing.sql_server import SqlServer

pytestmark = pytest.mark.connected

SERVICES = ("storyboard", "scene_render", "composer", "gateway")
GRANTS = Path(__file__).parents[1] / "mysql" / "grants.sh"
PREFIX = f"test_{RUN}_own"


@pytest.fixture(scope="module")
def users(sql_server: SqlServer) -> Iterator[dict[str, SqlServer]]:
    passwords = {f"{service.upper()}_DB_PASSWORD": f"secret-{service}" for service in SERVICES}
    printed = subprocess.run(
        [GRANTS, "print"], env=os.environ | passwords | {"SCHEMA_PREFIX": PREFIX}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    try:
        sql_server.run(*(line for line in printed.stdout.split(";\n") if line.strip()))
        yield {
            service: SqlServer(sql_server.host, sql_server.port, f"{PREFIX}_{service}", f"secret-{service}")
            for service in SERVICES
        }
    finally:
        for service in SERVICES:
            sql_server.run(
                f"DROP DATABASE IF EXISTS {PREFIX}_{service}", f"DROP USER IF EXISTS '{PREFIX}_{service}'@'%'"
            )


@pytest.mark.parametrize("own", SERVICES)
def test_a_service_rules_its_own_schema_and_is_refused_by_the_others(users: dict[str, SqlServer], own: str) -> None:
    users[own].run(f"CREATE TABLE {PREFIX}_{own}.mine (n INT)", f"INSERT INTO {PREFIX}_{own}.mine VALUES (1)")
    assert users[own].run(f"SELECT n FROM {PREFIX}_{own}.mine") == [(1,)]
    for other in set(SERVICES) - {own}:
        for statement in (
            f"SELECT * FROM {PREFIX}_{own}.mine",
            f"INSERT INTO {PREFIX}_{own}.mine VALUES (2)",
            f"UPDATE {PREFIX}_{own}.mine SET n = 3",
            f"DELETE FROM {PREFIX}_{own}.mine",
            f"CREATE TABLE {PREFIX}_{own}.theirs (n INT)",
            f"DROP TABLE {PREFIX}_{own}.mine",
            f"USE {PREFIX}_{own}",
        ):
            with pytest.raises(pymysql.err.OperationalError, match="denied"):
                users[other].run(statement)


def test_the_application_reads_the_videos_and_nothing_else(users: dict[str, SqlServer], sql_server: SqlServer) -> None:
    schema, name = f"{PREFIX}_gateway", f"{PREFIX}_application"
    users["gateway"].run(*(f"CREATE TABLE {schema}.{table} (n INT)" for table in ("videos", "api_keys")))
    environment = os.environ | {"APPLICATION_DB_PASSWORD": "secret-app", "SCHEMA_PREFIX": PREFIX}
    printed = subprocess.run(
        [GRANTS, "print", "application"], env=environment, capture_output=True, text=True, check=True
    )
    try:
        sql_server.run(*(line for line in printed.stdout.split(";\n") if line.strip()))
        application = SqlServer(sql_server.host, sql_server.port, name, "secret-app")
        assert application.run(f"SELECT n FROM {schema}.videos") == []
        for statement in (
            f"INSERT INTO {schema}.videos VALUES (1)",
            f"UPDATE {schema}.videos SET n = 3",
            f"DELETE FROM {schema}.videos",
            f"SELECT n FROM {schema}.api_keys",
            f"SELECT n FROM {PREFIX}_composer.mine",
            f"CREATE TABLE {schema}.theirs (n INT)",
        ):
            with pytest.raises(pymysql.err.OperationalError, match="denied"):
                application.run(statement)
    finally:
        sql_server.run(f"DROP USER IF EXISTS '{name}'@'%'")


def test_what_grants_does_not_know_is_answered_with_its_usage() -> None:
    for arguments in ([], ["prnt"], ["print", "everybody"]):
        done = subprocess.run([GRANTS, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "grants.sh print application" in done.stdout
        assert "GRANT" not in done.stdout


def test_a_missing_password_is_named(users: dict[str, SqlServer]) -> None:
    failed = subprocess.run(
        [GRANTS, "print"], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False
    )
    assert failed.returncode != 0
    assert "STORYBOARD_DB_PASSWORD is not set" in failed.stderr
