"""`make key` and `make redrive` work on what the services would: the servers of the environment or `.env`."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from shared_testing.ports import free_port

ROOT = Path(__file__).parents[2]
GATEWAY = Path(sys.executable).with_name("gateway")

pytestmark = pytest.mark.skipif(
    not (ROOT / ".venv" / ".installed").exists() or shutil.which("make") is None,
    reason="it is not installed by make here",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout of its own: the same files, and no `.env` but the test's."""
    for name in ("Makefile", ".venv", "requirements.lock", "requirements-dev.lock", "shared", "services", "deploy"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def run(folder: Path, *command: "str | Path") -> "subprocess.CompletedProcess[str]":
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    return subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, check=False, timeout=60)


def test_the_sbom_names_every_locked_package_with_its_hashes(folder: Path) -> None:
    made = run(folder, "make", "sbom")
    assert made.returncode == 0, made.stderr
    bom = json.loads((folder / "sbom.json").read_text())
    locked = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert bom["bomFormat"] == "CycloneDX"
    assert {part["name"]: part["version"] for part in bom["components"]} == locked
    assert all(part["externalReferences"][0]["hashes"] for part in bom["components"])


def test_a_key_is_for_the_gateway_of_the_database_in_the_env_file(folder: Path) -> None:
    (folder / ".env").write_text(
        f"STORAGE_URL=file://{folder}/media\nDATABASE_URL=sqlite+aiosqlite:///{folder}/mine.db\n"
    )
    migrated = run(folder, GATEWAY, "migrate")
    assert migrated.returncode == 0, migrated.stderr
    made = run(folder, "make", "key", "OWNER=anna")
    assert made.returncode == 0, made.stderr
    assert sqlite3.connect(folder / "mine.db").execute("SELECT owner FROM api_keys").fetchall() == [("anna",)]
    assert not (folder / ".multishot").exists()


def test_a_key_is_for_the_folder_where_no_database_is_named(folder: Path) -> None:
    (folder / ".env").write_text("#DATABASE_URL=mysql+asyncmy://commented/out\n")
    made = run(folder, "make", "key", "OWNER=anna")
    assert made.returncode == 0, made.stderr
    owners = sqlite3.connect(folder / ".multishot" / "gateway.db").execute("SELECT owner FROM api_keys").fetchall()
    assert owners == [("anna",)]


def test_dead_letters_are_those_of_the_broker_in_the_env_file(folder: Path) -> None:
    (folder / ".env").write_text(f"BROKER_URL=amqp://127.0.0.1:{free_port()}/\n")
    done = run(folder, "make", "redrive")
    assert done.returncode != 0
    assert "127.0.0.1" in done.stderr
    assert not (folder / ".multishot").exists()


@pytest.mark.parametrize(
    "target",
    "demo run simulator key redrive doctor test bench lint asyncapi permissions types schemas".split(),
)
def test_a_target_that_takes_its_time_first_says_what_it_does(folder: Path, target: str) -> None:
    done = run(folder, "make", "-n", target)
    own = [line for line in done.stdout.splitlines() if not re.match("echo .(Setting up|Installing)", line)]
    first = next(line for line in own if "/uv pip" not in line and "compileall" not in line and "touch" not in line)
    assert re.fullmatch(r'echo "[A-Z].* \.\.\." >&2', first), done.stdout


def test_a_redrive_without_dead_letters_says_so(folder: Path) -> None:
    done = run(folder, "make", "redrive")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "There are no dead letters.\n"
    assert done.stderr.startswith("Looking for dead letters ...\n")


def test_the_prices_are_those_of_the_configured_catalogue(folder: Path) -> None:
    (folder / ".env").write_text('VIDEO_PRICES={"runway/gen4_turbo": 0.10}\n')
    printed = run(folder, "make", "prices")
    assert printed.returncode == 0, printed.stderr
    lines = [line.split() for line in printed.stdout.splitlines()]
    [turbo] = [line for line in lines if line[:1] == ["gen4_turbo"]]
    assert turbo[1:4] == ["standard", "2", "s:"]
    [runway] = [line[1:] for line in lines if line[:1] == ["runway"] and len(line) == 4]
    assert (runway[0], float(runway[1])) == ("0.00", 3.16)
    (folder / ".env").write_text("MODEL_CATALOGUE=/none.toml\n")
    failed = run(folder, "make", "prices")
    assert "/none.toml: it cannot be read" in failed.stderr
    assert "Traceback" not in failed.stderr
