"""The console scripts: help, errors and the output of `migrate`."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shared_testing.sql_server import SqlServer

BIN = Path(sys.executable).parent
EXAMPLE = "mysql+asyncmy://user:password@localhost:3306/schema"


def run(service: str, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [BIN / service, *arguments], env=environment, capture_output=True, text=True, timeout=60, cwd="/", check=False
    )


@pytest.mark.parametrize("service", ["storyboard", "scene-render", "composer", "gateway"])
def test_help_needs_no_settings_and_an_unknown_command_is_refused(service: str) -> None:
    help_run = run(service, "--help")
    assert (help_run.returncode, help_run.stderr) == (0, "")
    assert "migrate" in help_run.stdout
    refused = run(service, "migrat", DATABASE_URL=EXAMPLE, STORAGE_URL="file:///media")
    assert refused.returncode == 2
    assert "invalid choice: 'migrat'" in refused.stderr


@pytest.mark.connected
def test_migrate_says_what_it_applied_and_that_nothing_was_left(
    sql_server: SqlServer, schema: Callable[[], str]
) -> None:
    settings = {"DATABASE_URL": sql_server.url(schema()), "STORAGE_URL": "file:///media"}
    applied = run("composer", "migrate", **settings)
    assert (applied.returncode, applied.stderr) == (0, "")
    assert applied.stdout.startswith("Applied 0001")
    again = run("composer", "migrate", **settings)
    assert (again.returncode, again.stderr, again.stdout) == (0, "", "The schema is up to date.\n")


@pytest.mark.parametrize("service", ["composer", "gateway"])
def test_an_unreachable_database_is_reported_in_one_line(service: str, tmp_path: Path) -> None:
    url = "mysql+asyncmy://nobody:secret@127.0.0.1:1/none"
    ended = run(service, DATABASE_URL=url, STORAGE_URL=tmp_path.as_uri(), MEDIA_SECRET="x", PORT="0", HEALTH_PORT="0")
    assert ended.returncode == 3
    assert "Traceback" not in ended.stderr
    assert "secret" not in ended.stderr
    first, *rest = ended.stderr.splitlines()
    assert "DATABASE_URL: Cannot connect to the database" in first
    assert f"Example: DATABASE_URL={EXAMPLE}" in first
    assert len(rest) <= 1  # the web server's own good-bye
