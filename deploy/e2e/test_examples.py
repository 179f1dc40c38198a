"""The shell and Python examples of README and the documents work as they are written.

A `sh` block right after a comment `<!-- not run in tests: reason -->` is left out.
"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared_testing.broker import BrokerCorner
from shared_testing.ports import free_port
from shared_testing.servers import eventually, fetch_json
from shared_testing.sql_server import SqlServer

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
DOCUMENTS = ROOT / "shared" / "docs"
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCUMENTS.glob("*.md")))
BLOCK = re.compile(
    r"^(?:<!-- not run in tests: (?P<reason>[^>]+) -->\n)?```(?P<language>\w+)\n(?P<code>.*?)^```",
    re.MULTILINE | re.DOTALL,
)
WITHOUT_CONTAINERS = "multishot_$(echo $service"
LONGEST_SECONDS = 240


@dataclass(frozen=True)
class Example:
    """A block of code of a page."""

    page: str
    language: str
    code: str
    reason: str | None


def examples(language: str) -> list[Example]:
    return [
        Example(page.name, found["language"], found["code"], found["reason"])
        for page in PAGES
        for found in BLOCK.finditer(page.read_text())
        if found["language"] == language
    ]


def script(page: str) -> str:
    """The shell examples of a page that are run, one after the other as a reader types them."""
    run = [one.code for one in examples("sh") if one.page == page and one.reason is None]
    return "".join(code for code in run if WITHOUT_CONTAINERS not in code)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A started `make run`; yields its port."""
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    environment = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    process = subprocess.Popen(
        [BIN / "embedded", "--data-dir", folder / "data", "run", "--port", str(port)],
        env=environment | {"WEBHOOK_PRIVATE_HOSTS": '["127.0.0.1"]'}, cwd=folder,
    )  # fmt: skip
    try:
        _wait_for(f"http://127.0.0.1:{port}/api/v1/videos", process)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + 90
    while fetch_json(url)[0] != 200:
        assert process.poll() is None, "the server ended"
        assert time.monotonic() < end, "the server does not answer"
        time.sleep(0.1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A reader's working folder, with what a checkout has in it."""
    for name in (".venv", "deploy"):
        (tmp_path / name).symlink_to(BIN.parent if name == ".venv" else ROOT / name)
    return tmp_path


@pytest.mark.parametrize("page", [page.name for page in PAGES if script(page.name)])
def test_the_shell_examples_of_a_page_work(page: str, server: int, folder: Path) -> None:
    code = script(page).replace("localhost:8000", f"localhost:{server}")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code], cwd=folder, capture_output=True, text=True, timeout=LONGEST_SECONDS,
        env=os.environ | {"MULTISHOT_URL": f"http://localhost:{server}"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{code}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    for film in folder.rglob("*.mp4"):
        assert film.read_bytes()[4:8] == b"ftyp", film.read_bytes()[:300]


def test_the_python_client_example_makes_a_film(server: int, folder: Path) -> None:
    code = next(one.code for one in examples("python") if "multishot.make(" in one.code)
    done = subprocess.run(
        [sys.executable, "-c", code.replace("localhost:8000", f"localhost:{server}")],
        cwd=folder, capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert list(folder.glob("films/*.mp4"))


def test_the_receiver_of_webhooks_prints_what_the_gateway_sends(server: int, folder: Path) -> None:
    api, port = f"http://127.0.0.1:{server}/api/v1", free_port()
    hook = {"url": f"http://127.0.0.1:{port}/hook", "types": ["video.cancelled"]}
    endpoint = fetch_json(f"{api}/webhook-endpoints", hook)[1]
    code = next(one.code for one in examples("python") if "standardwebhooks" in one.code).replace("9000", str(port))
    receiver = subprocess.Popen([sys.executable, "-c", code, endpoint["secret"]], stdout=subprocess.PIPE, text=True)
    try:
        video_id = fetch_json(f"{api}/videos", {"prompt": "A lighthouse keeper", "review": True})[1]["videoId"]
        fetch_json(f"{api}/videos/{video_id}/cancel", {})
        assert receiver.stdout is not None
        assert f"video.cancelled {video_id}" in receiver.stdout.readline()
    finally:
        receiver.kill()
        receiver.wait()


@pytest.mark.connected
async def test_the_four_services_start_without_containers(
    rabbitmq: Callable[[], BrokerCorner], sql_server: SqlServer, folder: Path
) -> None:
    corner, gateway = rabbitmq(), free_port()
    prefix = f"test_{corner.vhost.replace('-', '_')}_"
    code = next(one.code for one in examples("sh") if WITHOUT_CONTAINERS in one.code)
    replaced = {
        "make .venv/.installed": "true",
        "amqp://guest:guest@localhost:5672/": corner.url,
        "multishot_$(": f"{prefix}$(",
        "--host=127.0.0.1 --user=root": f"--host={sql_server.host} --port={sql_server.port} --user=root",
        "root@127.0.0.1/": f"root@{sql_server.host}:{sql_server.port}/",
        "port=8081": f"port={free_port()}",
    }
    for before, after in replaced.items():
        assert before in code, before
        code = code.replace(before, after)
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", f"{code}\nwait"], cwd=folder, start_new_session=True,
        env=os.environ | {"PORT": str(gateway), "MYSQL_PWD": sql_server.password},
    )  # fmt: skip
    try:
        await eventually(lambda: fetch_json(f"http://127.0.0.1:{gateway}/readyz")[0] == 200, 90, what="it is ready")
        body = {"prompt": "A lighthouse keeper", "sceneCount": 1, "duration": 15}
        status, video = fetch_json(f"http://127.0.0.1:{gateway}/api/v1/videos", body)
        assert status == 202, video
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
        for service in ("storyboard", "scene_render", "composer", "gateway"):
            sql_server.run(f"DROP DATABASE IF EXISTS {prefix}{service}")
        corner.remove()
