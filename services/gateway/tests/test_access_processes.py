"""The gateway as a process: rejected settings, keys from the command line, and no secrets in its log."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.access import key_command
from gateway.settings import Settings
from shared_testing.broker import BrokerCorner
from shared_testing.ports import free_port
from shared_testing.servers import eventually
from shared_testing.sql_server import SqlServer

pytestmark = pytest.mark.slow

GATEWAY = Path(sys.executable).with_name("gateway")
SECRET = "0123456789abcdef" * 2


def environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "TMPDIR", "LANG") if key in os.environ}
    database = f"sqlite+aiosqlite:///{folder}/gateway.db"
    return kept | {"DATABASE_URL": database, "STORAGE_URL": folder.as_uri(), "MEDIA_SECRET": "media-secret"} | more


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, None),
        ({"host": "localhost"}, None),
        ({"host": "::1"}, None),
        ({"host": "127.1.2.3"}, None),
        ({"host": "0.0.0.0"}, "AUTH_NONE_ANYWHERE"),
        ({"host": "::"}, "AUTH_NONE_ANYWHERE"),
        ({"host": "10.0.0.1"}, "AUTH_NONE_ANYWHERE"),
        ({"host": "gateway.example"}, "AUTH_NONE_ANYWHERE"),
        ({"host": ""}, "AUTH_NONE_ANYWHERE"),
        ({"host": "0.0.0.0", "auth_none_anywhere": True}, None),
        ({"auth": "keys"}, "AUTH_SECRET"),
        ({"auth": "keys", "auth_secret": "short"}, "AUTH_SECRET"),
        ({"auth": "keys", "auth_secret": SECRET, "host": "0.0.0.0"}, None),
        ({"auth": "keys", "auth_secret": SECRET, "media_secret": ""}, "MEDIA_SECRET"),
        ({"auth": "keys", "auth_secret": SECRET, "media_secret": "", "storage_url": "s3://bucket"}, None),
    ],
)
def test_public_access_without_keys_and_missing_secrets_are_rejected(
    settings: dict[str, Any], named: str | None
) -> None:
    whole = {"database_url": "sqlite://", "storage_url": "file:///media", "media_secret": "m", **settings}
    objections = Settings(**whole).objections()
    assert len(objections) == (named is not None)
    assert all(named is not None and named in one for one in objections)


def test_the_gateway_does_not_start_with_rejected_settings_and_says_why(tmp_path: Path) -> None:
    done = subprocess.run(
        [GATEWAY], env=environment(tmp_path, HOST="0.0.0.0"), cwd=tmp_path, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (1, 1), done.stderr
    assert "AUTH=keys" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--owner", "anna", "--scopes", "reed"), "--scopes"),
        (("--owner", " "), "--owner"),
        (("--owner", "anna", "--days", "soon"), "--days"),
        (("--owner", "anna", "--budget-day-usd", "-1"), "--budget-day-usd"),
    ],
)
def test_an_invalid_key_is_rejected_on_the_command_line(arguments: tuple[str, ...], named: str) -> None:
    with pytest.raises(SystemExit) as ended:
        key_command.main(arguments)
    assert str(ended.value).startswith(named)


@dataclass
class Running:
    """A gateway that requires keys, on real servers."""

    url: str
    environment: dict[str, str]
    log: Path

    @property
    def schema(self) -> str:
        return self.environment["DATABASE_URL"].rpartition("/")[2]

    def make_key(self, *arguments: str) -> str:
        done = subprocess.run(
            [GATEWAY, "key", *arguments], env=self.environment, capture_output=True, text=True, check=True
        )
        [key] = done.stdout.split()
        assert key not in done.stderr
        return key


@pytest.fixture
def running(
    tmp_path: Path, rabbitmq: Callable[[], BrokerCorner], sql_server: SqlServer, schema: Callable[[], str]
) -> Iterator[Running]:
    port, corner = free_port(), rabbitmq()
    settings = environment(
        tmp_path,
        BROKER_URL=corner.url,
        DATABASE_URL=sql_server.url(schema()),
        HOST="0.0.0.0",
        PORT=str(port),
        AUTH="keys",
        AUTH_SECRET=SECRET,
        LOG_LEVEL="DEBUG",
    )
    subprocess.run([GATEWAY, "migrate"], env=settings, check=True, timeout=60)
    log = tmp_path / "log"
    process = subprocess.Popen([GATEWAY], env=settings, stdout=log.open("wb"), stderr=subprocess.STDOUT)
    running = Running(f"http://127.0.0.1:{port}", settings, log)

    def is_ready() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return httpx.get(f"{running.url}/readyz", timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    try:
        asyncio.run(eventually(is_ready, 60, "the gateway is ready", every=0.2))
        yield running
    finally:
        process.terminate()
        process.wait(20)
        corner.remove()


@pytest.mark.connected
def test_a_key_from_the_command_line_works_and_no_secret_is_logged(running: Running, sql_server: SqlServer) -> None:
    key = running.make_key("--owner", "anna", "--name", "hers", "--scopes", "read,write")
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=running.url, timeout=20) as stranger:
        open_to_all = ("/healthz", "/readyz", "/", "/openapi.json")
        assert [stranger.get(path).status_code for path in open_to_all] == [200] * len(open_to_all)
        assert [stranger.get(path).status_code for path in ("/metrics", "/api/v1/videos")] == [401] * 2
        assert "multishot_outbox_rows" in stranger.get("/metrics", headers=headers).text
        video = stranger.post("/api/v1/videos", json={"prompt": "a fox"}, headers=headers)
        assert (video.status_code, video.json()["owner"]) == (202, "anna")
        token = stranger.post("/api/v1/token", headers=headers).json()["token"]
        assert stranger.get("/api/v1/videos", params={"token": token}).json()["total"] == 1
        wrong = key[:-4] + "xxxx"
        tried = [
            stranger.get("/api/v1/videos", params={"token": token + "x"}),
            stranger.get("/api/v1/videos", headers={"authorization": f"Bearer {wrong}"}),
            stranger.get("/api/v1/nothing", params={"token": token}, headers=headers),
            stranger.post("/api/v1/session", json={"key": wrong}),
            stranger.post("/api/v1/session", json={"key": key, "more": 1}),
            stranger.post("/api/v1/session", json={"key": [key]}),
            stranger.post("/api/v1/session", content=f'{{"key": "{key}"', headers={"content-type": "application/json"}),
        ]
        assert [answer.status_code for answer in tried] == [401, 401, 404, 401, 422, 422, 400]
        assert not [answer.text for answer in tried if key in answer.text or wrong in answer.text]
        session = stranger.post("/api/v1/session", json={"key": key}).cookies["multishot_session"]
        stranger.get("/socket.io/", params={"EIO": "4", "transport": "polling", "token": token}, headers=headers)
        # What nobody foresaw is logged with all there is.
        sql_server.run(f"USE {running.schema}", "RENAME TABLE videos TO away")
        try:
            unforeseen = [
                stranger.get("/api/v1/videos", headers=headers),
                stranger.get("/api/v1/videos", params={"token": token}),
            ]
        finally:
            sql_server.run(f"USE {running.schema}", "RENAME TABLE away TO videos")
    log = running.log.read_text()
    for answer in unforeseen:
        assert (answer.status_code, answer.json()["title"]) == (500, "Internal server error")
        assert running.schema not in answer.text
        assert answer.headers["x-request-id"] in log
    assert "Traceback" in log
    for secret in (key, wrong, token, session, SECRET, "media-secret"):
        assert secret not in log
