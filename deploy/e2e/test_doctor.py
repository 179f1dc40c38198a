"""`doctor` of the console scripts: its findings for a complete system, and its exit code."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shared_testing.servers import eventually

BIN = Path(sys.executable).parent
SERVICES = ("gateway", "storyboard", "scene-render", "composer")


def doctor(stack, service: str, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [BIN / service, "doctor", *arguments],
        env=stack.environment(service), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def own_stack(stack_on, rabbitmq, sql_server, schema):
    """A stack in which no other test leaves dead letters."""
    with stack_on(rabbitmq(), sql_server, schema) as stack:
        yield stack


@pytest.mark.connected
async def test_a_running_system_is_consistent_until_a_service_and_its_queue_are_removed(own_stack) -> None:
    stack = own_stack
    video = await stack.ended(stack.ask(sceneCount=1)["videoId"])
    assert video["status"] == "completed"
    await stack.is_quiet()
    # The lifecycle rules of this bucket are not set yet.
    assert "lifecycle rules missing from the bucket: 2" in doctor(stack, "scene-render")[1]
    assert doctor(stack, "scene-render", "--fix")[0] == 0
    for service in SERVICES:
        assert doctor(stack, service) == (0, f"{service}: nothing differs.\n")

    composer = stack.of("composer")
    composer.signal(signal.SIGKILL)
    stack.broker.control(["delete_queue", "-p", stack.broker.vhost, "composer.scene.failed"])

    def reported() -> bool:
        code, report = doctor(stack, "composer")
        return code == 1 and "queues missing on RabbitMQ: 1 (composer.scene.failed)" in report

    await eventually(reported)
    assert "composer: queues that no process consumes: " in doctor(stack, "composer")[1]
    assert "fixed 1 of 1 (declare and bind them)" in doctor(stack, "composer", "--fix")[1]
    assert "composer.scene.failed" in stack.queues()
    composer.start()
    await composer.ready()
    await eventually(lambda: doctor(stack, "composer") == (0, "composer: nothing differs.\n"))


@pytest.mark.connected
def test_a_schema_without_its_migrations_is_reported(schema, sql_server, tmp_path: Path) -> None:
    environment = {"DATABASE_URL": sql_server.url(schema()), "STORAGE_URL": tmp_path.as_uri()}
    done = subprocess.run([BIN / "composer", "doctor"], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "composer: migrations are missing; run `composer migrate`.\n")


def test_an_unreachable_server_is_reported_in_one_line_without_a_secret(tmp_path: Path) -> None:
    environment = {"DATABASE_URL": "mysql+asyncmy://nobody:secret@127.0.0.1:1/none", "STORAGE_URL": tmp_path.as_uri()}
    done = subprocess.run([BIN / "composer", "doctor"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    [line] = done.stdout.splitlines()
    assert line.startswith("composer: Could not be examined: Cannot connect to the database")
    assert "secret" not in done.stdout + done.stderr


def test_only_doctor_accepts_fix() -> None:
    done = subprocess.run([BIN / "composer", "migrate", "--fix"], env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--fix is an option of doctor" in done.stderr


def test_the_embedded_mode_is_examined_with_its_dead_letters(tmp_path: Path) -> None:
    def run(*arguments: str) -> tuple[int, list[str]]:
        command = [BIN / "embedded", "--data-dir", tmp_path / "data", "doctor", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.stderr == ""
        return done.returncode, done.stdout.splitlines()

    assert run() == (0, [f"{service}: nothing differs." for service in SERVICES])
    letters = tmp_path / "data" / "dead-letters"
    letters.mkdir()
    (letters / "composer.clips.collected-1.json").write_text(json.dumps({}))
    code, lines = run("--fix")
    assert code == 1
    assert lines[-1].startswith("embedded: dead letters: 1; --fix does nothing: `make redrive`")
