"""RabbitMQ and MariaDB restart during a video. Both are private instances: the machine's own servers keep running."""

import asyncio
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from shared_testing.broker import BrokerCorner
from shared_testing.ports import free_port, listens
from shared_testing.private_mariadb import PrivateMariaDB
from shared_testing.servers import eventually, fetch_json
from shared_testing.sql_server import SqlServer

pytestmark = [pytest.mark.connected, pytest.mark.xdist_group("servers")]


def _wait(what: str, answers: Callable[[], bool], process: "subprocess.Popen[bytes]", seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while not answers():
        assert process.poll() is None, f"{what} ended with {process.returncode}"
        assert time.monotonic() < end, f"{what} did not start"
        time.sleep(0.3)


class PrivateRabbit:
    """A RabbitMQ node of the test's own, from the machine's package, run as nobody."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.dist, self.epmd = free_port(), free_port(), free_port()
        self.scripts = next(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin"), Path("/nowhere"))
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.default = 127.0.0.1:{self.port}\nloopback_users.guest = false\n"
        )
        (folder / "enabled_plugins").write_text("[].")
        (folder / "env.conf").write_text("")
        nobody = pwd.getpwnam("nobody")
        for path in (folder, *folder.iterdir()):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "RABBITMQ_NODENAME": f"e2e{self.port}@localhost",
            "RABBITMQ_CONFIG_FILE": str(self.folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "env.conf"),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "enabled_plugins"),
            "RABBITMQ_DIST_PORT": str(self.dist),
            "ERL_EPMD_PORT": str(self.epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }

    def start(self) -> None:
        self.process = subprocess.Popen(
            [self.scripts / "rabbitmq-server"],
            env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user="nobody", group="nogroup",
            cwd=self.folder, start_new_session=True,
        )  # fmt: skip
        _wait("RabbitMQ", lambda: listens("127.0.0.1", self.port), self.process)
        self.control(["await_startup"])

    def control(self, arguments: list[str]) -> str:
        done = subprocess.run(
            [self.scripts / "rabbitmqctl", "-q", *arguments],
            env=self.environment, capture_output=True, text=True, user="nobody", group="nogroup", cwd=self.folder,
            check=True, timeout=90,
        )  # fmt: skip
        return done.stdout

    def stop(self) -> None:
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(60)

    def end(self) -> None:
        self.stop()
        subprocess.run(["epmd", "-port", str(self.epmd), "-kill"], capture_output=True, check=False)


@pytest.fixture(scope="module")
def private(request: pytest.FixtureRequest) -> Iterator[tuple[PrivateRabbit, PrivateMariaDB]]:
    missing = [name for name in ("mariadb-install-db", "epmd") if shutil.which(name) is None]
    if os.getuid() != 0 or missing or not list(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*")):
        reason = f"private servers need root and Debian's rabbitmq-server and mariadb-server (missing: {missing})"
        assert os.environ.get("CI") != "true", reason
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="multishot-servers-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        rabbit, sql = PrivateRabbit(folder / "rabbit"), PrivateMariaDB(folder / "sql")
        try:
            rabbit.start()
            sql.start()
            yield rabbit, sql
        finally:
            rabbit.end()
            sql.stop()


@pytest.fixture(scope="module")
def stack(private: tuple[PrivateRabbit, PrivateMariaDB], stack_on) -> Iterator[Any]:
    """A stack on the private servers."""
    rabbit, mariadb = private
    vhost = secrets.token_hex(4)
    broker = BrokerCorner(f"amqp://guest:guest@127.0.0.1:{rabbit.port}/{vhost}", vhost, rabbit.control)
    broker.add("guest")
    sql = SqlServer("127.0.0.1", mariadb.port, "root", "")

    def schema() -> str:
        name = f"e2e_{secrets.token_hex(4)}"
        sql.run(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return name

    with stack_on(broker, sql, schema) as stack:
        yield stack


@pytest.mark.parametrize("step", ["scenes", pytest.param("combining", marks=pytest.mark.long)])
@pytest.mark.parametrize("server", [0, 1], ids=["RabbitMQ", "MariaDB"])
async def test_a_server_is_restarted_in_the_middle_of_a_video(stack, watch, private, server: int, step: str) -> None:
    async with watch(stack.of("gateway").url) as watcher:
        video_id = stack.ask(sceneCount=2)["videoId"]
        await stack.reached(video_id, step)
        await asyncio.sleep(0.3)

        await asyncio.to_thread(private[server].stop)
        await asyncio.sleep(1)
        await asyncio.to_thread(private[server].start)

        video = await stack.ended(video_id)
        await eventually(lambda: any(name == "video_completed" for name, _ in watcher.of(video_id)), 15)
    seqs = [data["seq"] for _, data in watcher.of(video_id) if data["seq"] is not None]
    assert seqs == list(range(1, len(seqs) + 1)), "a watcher missed something, or heard it twice"
    assert video["status"] == "completed", video["errorMessage"]
    stack.paid_once(video_id)
    await stack.is_quiet()
    assert not any(count for name, count in stack.queues().items() if name.endswith(".dead"))
    for process in stack.processes:
        assert process.popen.poll() is None, f"{process.service} did not outlive the restart"


async def test_while_the_database_is_away_the_api_says_so_and_accepts_nothing(stack, private) -> None:
    await asyncio.to_thread(private[1].stop)
    try:
        status, body = await asyncio.to_thread(fetch_json, stack.api, {"prompt": "a fox"}, 30)
        assert (status, body["title"]) == (503, "Unavailable")
    finally:
        await asyncio.to_thread(private[1].start)
    await eventually(lambda: fetch_json(stack.api)[0] == 200)
