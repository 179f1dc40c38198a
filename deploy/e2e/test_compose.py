"""docker-compose.yml and the preparations of `make up`: secrets are required, random, and only where needed."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
REQUIRED = set(re.findall(r"\$\{(\w+):\?", COMPOSE.read_text()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(COMPOSE, tmp_path)
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=lambda *_: ["e2e", "client", "embedded", "simulator"])
    return tmp_path


def run(folder: Path, *command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", **environment}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=30)


def stand_in(folder: Path, name: str, script: str) -> None:
    path = folder / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_no_secret_has_a_default() -> None:
    with_default = re.findall(r"\$\{(\w*(?:PASSWORD|SECRET_KEY)):-", COMPOSE.read_text())
    assert with_default == []


def test_a_newcomer_gets_random_secrets_and_keeps_them(folder: Path) -> None:
    made = [run(folder, "deploy/secrets.sh") and (folder / ".env").read_text() for _ in range(2)]
    values = dict(line.split("=") for line in made[0].splitlines())
    assert set(values) == REQUIRED
    assert len(set(values.values())) == len(REQUIRED)
    assert all(re.fullmatch("[0-9a-f]{48}", value) for value in values.values())
    assert (folder / ".env").stat().st_mode & 0o077 == 0
    assert made[0] == made[1]


def test_an_existing_env_file_is_not_changed(folder: Path) -> None:
    (folder / ".env").write_text("MINE=1\n")
    assert run(folder, "deploy/secrets.sh").returncode == 0
    assert (folder / ".env").read_text() == "MINE=1\n"


def test_each_service_has_the_password_of_its_own_broker_user_and_of_no_other() -> None:
    for name, service in SERVICES.items():
        environment = str(service.get("environment", {}))
        known = set(re.findall(r"\$\{(\w+)_BROKER_PASSWORD", environment))
        owner = name.removesuffix("-schema")
        assert name == "broker-users" or known <= {owner.upper().replace("-", "_")}, name
        if known:
            assert f"amqp://{owner}:" in environment or name == "broker-users"


def test_only_services_with_a_storage_have_storage_credentials() -> None:
    holders = {name for name, service in SERVICES.items() if "S3_SECRET_KEY" in str(service.get("environment", {}))}
    assert holders == {"s3", "bucket-rules"} | {
        f"{name}{job}" for name in ("scene-render", "composer", "gateway") for job in ("", "-schema")
    }


def test_every_image_is_ours_or_among_those_that_can_be_pinned() -> None:
    images = set(yaml.safe_load(COMPOSE.read_text())["x-images"].values())
    for service in SERVICES.values():
        assert service["image"] in images or service["image"].startswith("multishot/")
        assert service.get("build", {}).get("args", {}).get("PYTHON_IMAGE", "python:3.12-slim") in images
    used = {service["image"] for service in SERVICES.values()} | {"python:3.12-slim"}
    assert images <= used


def test_images_are_pinned_to_the_digests_of_their_tags_each_time(folder: Path) -> None:
    compose = folder / "docker-compose.yml"
    for digit in "ab":
        digest = "sha256:" + digit * 64
        stand_in(folder, "docker", f'[ "$3" = inspect ] && case $4 in *@*) exit 1 ;; *) echo {digest} ;; esac')
        pinned = run(folder, "deploy/pin-images.sh")
        assert pinned.returncode == 0, pinned.stderr
        after = yaml.safe_load(compose.read_text())["x-images"]
        before = yaml.safe_load(COMPOSE.read_text())["x-images"]
        assert after == {name: f"{image.partition('@')[0]}@{digest}" for name, image in before.items()}
    assert digest in yaml.safe_load(compose.read_text())["services"]["rabbitmq"]["image"]


def test_an_image_without_a_digest_is_named(folder: Path) -> None:
    stand_in(folder, "docker", "echo no such image")
    failed = run(folder, "deploy/pin-images.sh")
    assert failed.returncode != 0
    assert "python:3.12-slim" in failed.stderr
    assert (folder / "docker-compose.yml").read_text() == COMPOSE.read_text()


def test_the_root_password_is_in_no_command_line(folder: Path) -> None:
    stand_in(folder, "mariadb", 'echo "arguments: $*"; [ "$MYSQL_PWD" = top-secret ] && cat')
    services = ("STORYBOARD", "SCENE_RENDER", "COMPOSER", "GATEWAY")
    passwords = {f"{service}_DB_PASSWORD": "x" for service in services}
    done = run(folder, "deploy/mysql/grants.sh", "apply", DB_ROOT_PASSWORD="top-secret", **passwords)
    assert done.returncode == 0
    assert "top-secret" not in done.stdout
    assert "GRANT" in done.stdout
