"""The embedded mode: one process, no servers; a crash loses nothing."""

import asyncio
import contextlib
import http.client
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import av
import pytest

from shared_testing.ports import free_port
from shared_testing.servers import eventually, fetch_json, request_json

EMBEDDED = Path(sys.executable).with_name("embedded")


class Embedded:
    """A newcomer's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[str] | None = None

    @property
    def videos(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1/videos"

    def environment(self, **more: str) -> dict[str, str]:
        kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
        return kept | more

    def run(self, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [EMBEDDED, "--data-dir", self.folder, *arguments],
            env=self.environment(**more), cwd=self.folder.parent, capture_output=True, text=True, check=False,
            timeout=180,
        )  # fmt: skip

    async def start(self, **more: str) -> None:
        self.process = subprocess.Popen(
            [EMBEDDED, "--data-dir", self.folder, "run", "--port", str(self.port)],
            env=self.environment(**more), cwd=self.folder.parent, text=True,
        )  # fmt: skip
        await eventually(lambda: fetch_json(self.videos)[0] == 200, 60, what="it serves")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    async def ended(self, video_id: str) -> dict[str, Any]:
        def check() -> dict[str, Any] | None:
            status, video = fetch_json(f"{self.videos}/{video_id}")
            return video if status == 200 and video["status"] in ("completed", "failed") else None

        return await eventually(check, 120, what="the video ends")

    def rows(self, service: str, query: str) -> list[tuple[Any, ...]]:
        return sqlite3.connect(self.folder / f"{service}.db").execute(query).fetchall()


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Embedded]:
    embedded = Embedded(tmp_path / "data")
    yield embedded
    if embedded.process is not None and embedded.process.poll() is None:
        embedded.kill()


def frames(path: Path) -> tuple[int, int, int]:
    with av.open(str(path)) as container:
        count = sum(1 for _ in container.decode(video=0))
        return count, container.streams.video[0].width, container.streams.video[0].height


async def test_the_demo_makes_a_film_and_says_where_it_is(embedded: Embedded) -> None:
    done = embedded.run(
        "demo", "--prompt", "Kucing kecil mencari rumah", "--scenes", "2", "--duration", "15", "--aspect", "9:16"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    film, thumbnail, storyboard = (Path(line.split()[-1]) for line in done.stdout.splitlines()[-3:])
    assert frames(film) == (360, 720, 1280)
    assert thumbnail.read_bytes()[:3] == b"\xff\xd8\xff"
    board = json.loads(storyboard.read_text())
    assert [scene["sceneNumber"] for scene in board["scenes"]] == [1, 2]
    assert "Kucing kecil mencari rumah" in board["storyScript"]
    [(composed,)] = embedded.rows("composer", "SELECT film FROM films")
    assert json.loads(composed)["encodedFrames"] <= 18, "all but a transition is copied"


async def test_probes_and_metrics_answer_without_a_redirect(embedded: Embedded) -> None:
    await embedded.start()
    found = {}
    for path in ("/healthz", "/readyz", "/metrics"):
        connection = http.client.HTTPConnection("127.0.0.1", embedded.port, timeout=10)
        connection.request("GET", path)
        answer = connection.getresponse()
        found[path] = (answer.status, answer.read().decode())
        connection.close()
    assert {path: status for path, (status, _) in found.items()} == dict.fromkeys(found, 200)
    assert json.loads(found["/readyz"][1]) == {"ready": True, "database": True, "background": True}
    assert "multishot_background_restarts_total" in found["/metrics"][1]


def test_an_invalid_demo_request_names_every_fault(embedded: Embedded) -> None:
    done = embedded.run("demo", "--prompt", " ", "--scenes", "6", "--duration", "14", "--aspect", "4:3")
    assert done.returncode == 2
    assert [name for name in ("prompt", "sceneCount", "duration", "aspectRatio") if name not in done.stdout] == []


@pytest.mark.parametrize("step", ["scenes", pytest.param("combining", marks=pytest.mark.long)])
async def test_the_film_is_finished_after_a_kill_and_a_restart(embedded: Embedded, step: str) -> None:
    await embedded.start()
    _, video = fetch_json(embedded.videos, {"prompt": "a fox", "sceneCount": 2, "duration": 15})
    video_id = video["videoId"]
    await eventually(lambda: fetch_json(f"{embedded.videos}/{video_id}")[1]["currentStep"] == step, 60)
    embedded.kill()
    await embedded.start()
    assert (await embedded.ended(video_id))["status"] == "completed"
    assert frames(embedded.folder / "media" / "videos" / video_id / "film.mp4") == (360, 1280, 720)
    assert embedded.rows("storyboard", "SELECT COUNT(*) FROM storyboards") == [(1,)]
    assert embedded.rows("scene-render", "SELECT scene_number, COUNT(*) FROM attempts GROUP BY 1") == [(1, 1), (2, 1)]


async def test_an_expired_film_is_removed_with_its_clips_and_a_kept_one_is_not(embedded: Embedded) -> None:
    await embedded.start()
    wish = {"prompt": "A lantern maker in Hoi An", "sceneCount": 1, "duration": 15}
    ids = [fetch_json(embedded.videos, wish)[1]["videoId"] for _ in range(2)]
    for video_id in ids:
        assert (await embedded.ended(video_id))["status"] == "completed"
    expired, kept = ids
    assert request_json("PUT", f"{embedded.videos}/{kept}/retention", {"keep": True})[1]["kept"] is True
    embedded.kill()
    with contextlib.closing(sqlite3.connect(embedded.folder / "gateway.db")) as database, database:
        database.execute("UPDATE videos SET expiresAt = '2026-01-01 00:00:00.000000' WHERE expiresAt IS NOT NULL")
        assert database.execute("SELECT COUNT(*) FROM videos WHERE expiresAt IS NOT NULL").fetchone() == (1,)
    await embedded.start()

    def files() -> dict[str, set[str]]:
        return {one: {path.name for path in (embedded.folder / "media" / "videos" / one).rglob("*.*")} for one in ids}

    await eventually(lambda: not files()[expired], 30, what="its files are gone")
    assert {"film.mp4", "thumbnail.jpg", "scene-1-1.mp4"} <= files()[kept]
    assert fetch_json(f"{embedded.videos}/{kept}")[1]["status"] == "completed"
    video = fetch_json(f"{embedded.videos}/{expired}")[1]
    assert (video["status"], video["videoUrl"], video["prompt"]) == ("expired", None, wish["prompt"])
    status, problem = fetch_json(f"{embedded.videos}/{expired}/content")
    assert (status, problem["title"]) == (410, "Film expired")
    assert len(list((embedded.folder / "media" / "animatics").iterdir())) == 1, "what was drawn for the kept one"


async def test_nothing_holds_the_prompt_of_a_deleted_video(embedded: Embedded) -> None:
    await embedded.start()
    wish = {"prompt": "A Quetzalcoatlus crosses the night market", "sceneCount": 1, "duration": 15}
    _, video = request_json("POST", embedded.videos, wish, {"idempotency-key": "once"})
    video = await embedded.ended(video["videoId"])
    assert video["status"] == "completed", video["errorMessage"]

    letter = embedded.folder / "dead-letters" / "gateway.video.requested-1.json"
    letter.parent.mkdir(exist_ok=True)
    letter.write_text(json.dumps({"message": {"videoId": video["videoId"], "body": wish["prompt"]}}))

    def places() -> list[str]:
        found = []
        for service in ("storyboard", "scene-render", "composer", "gateway"):
            for (table,) in embedded.rows(service, "SELECT name FROM sqlite_master WHERE type = 'table'"):
                found += [
                    service for row in embedded.rows(service, f"SELECT * FROM {table}") if "quetzal" in str(row).lower()
                ]
        # Files and folders may go while we look.
        for folder, _, names in os.walk(embedded.folder):
            for path in (Path(folder, name) for name in names if ".db" not in name):
                with contextlib.suppress(FileNotFoundError):
                    found += [path.name] if b"quetzal" in path.read_bytes().lower() else []
        return found

    # The title of this story is its prompt.
    assert set(places()) == {"storyboard", "scene-render", "composer", "gateway", letter.name, "film.mp4"}
    assert request_json("DELETE", f"{embedded.videos}/{video['videoId']}")[0] == 204
    await eventually(lambda: not places(), 30, "every service has erased the text")
    await eventually(lambda: not (embedded.folder / "media" / "videos" / video["videoId"] / "film.mp4").exists())


@pytest.mark.long
async def test_a_killed_demo_continues_the_same_film(embedded: Embedded) -> None:
    wish = ["demo", "--prompt", "a fox", "--scenes", "1", "--duration", "15"]
    first = subprocess.Popen(
        [EMBEDDED, "--data-dir", embedded.folder, *wish], env=embedded.environment(), cwd=embedded.folder.parent
    )
    await eventually(lambda: (embedded.folder / "gateway.db").exists() and _has_video(embedded), 60)
    first.kill()
    first.wait()
    done = embedded.run(*wish)
    assert done.returncode == 0, done.stdout
    assert "Resuming the interrupted film" in done.stdout
    assert embedded.rows("gateway", "SELECT COUNT(*) FROM videos") == [(1,)]


def _has_video(embedded: Embedded) -> bool:
    try:
        return bool(embedded.rows("gateway", "SELECT 1 FROM videos"))
    except sqlite3.OperationalError:
        return False


async def test_a_folder_has_one_process_and_a_demo_uses_the_running_one(embedded: Embedded) -> None:
    await embedded.start()
    second = embedded.run("run", "--port", str(free_port()))
    assert second.returncode == 1
    assert "is in use by another Multishot" in second.stderr
    assert "Stop that one first" in second.stderr
    other = Embedded(embedded.folder.with_name("other"))
    taken = other.run("run", "--port", str(embedded.port))
    assert (taken.returncode, taken.stdout) == (1, "")
    assert (
        taken.stderr.strip()
        == f"Port {embedded.port} cannot be used: another program uses it. Choose another one with PORT=…"
    )
    impossible = other.run("run", "--port", "99999")
    assert impossible.returncode == 2
    assert "'99999' is not a port number" in impossible.stderr
    wish = ["demo", "--prompt", "a fox", "--scenes", "1", "--duration", "15"]
    simulated = embedded.run(*wish, "--provider", "runway")
    assert simulated.returncode == 2
    assert "has its own providers" in simulated.stderr
    assert fetch_json(embedded.videos)[1]["total"] == 0
    done = embedded.run(*wish)
    assert done.returncode == 0, done.stdout + done.stderr
    assert fetch_json(embedded.videos)[1]["total"] == 1


async def test_a_film_fails_with_the_reason_if_its_scenes_cannot_be_drawn(embedded: Embedded) -> None:
    await embedded.start(FFMPEG_BINARY="/bin/false")
    _, video = fetch_json(embedded.videos, {"prompt": "a fox", "sceneCount": 1, "duration": 15})
    ended = await embedded.ended(video["videoId"])
    assert ended["status"] == "failed"
    assert "ffmpeg" in ended["errorMessage"]
    assert embedded.process is not None
    embedded.process.send_signal(signal.SIGTERM)
    assert embedded.process.wait(15) is not None


def test_the_demo_with_a_simulated_provider_needs_no_key_and_shows_the_price(embedded: Embedded) -> None:
    wish = ["demo", "--prompt", "a fox", "--scenes", "2", "--duration", "15", "--provider", "luma"]
    done = embedded.run(*wish)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "luma would have charged $0.86; the estimate was $0.86." in done.stdout
    assert embedded.rows("scene-render", "SELECT provider, state FROM attempts") == [("luma", "SUCCEEDED")] * 2
    [film] = [Path(line.split()[-1]) for line in done.stdout.splitlines() if line.endswith("film.mp4")]
    assert frames(film) == (360, 1280, 720)
    [(composed,)] = embedded.rows("composer", "SELECT film FROM films")
    assert json.loads(composed)["encodedFrames"] <= 48, "all but a transition is copied"


async def test_with_keys_asked_for_one_made_beside_the_running_server_opens_it_also_to_the_demo(tmp_path: Path) -> None:
    embedded = Embedded(tmp_path / "data")
    first = embedded.run("key", "--owner", "root", "--scopes", "admin")
    assert first.returncode == 0, first.stderr
    embedded.process = subprocess.Popen(
        [EMBEDDED, "--data-dir", embedded.folder, "run", "--port", str(embedded.port)],
        env=embedded.environment(AUTH="keys"), cwd=tmp_path, text=True,
    )  # fmt: skip
    try:
        await eventually(lambda: fetch_json(embedded.videos)[0] == 401, 60, what="it serves, and asks for a key")
        second = embedded.run("key", "--owner", "anna", "--name", "made while it serves")
        for made in (first, second):
            request = Request(embedded.videos, headers={"authorization": f"Bearer {made.stdout.strip()}"})
            with urlopen(request, timeout=10) as answer:
                assert answer.status == 200
        wish = ["demo", "--prompt", "a fox", "--scenes", "1", "--duration", "15"]
        for keys in ({}, {"MULTISHOT_KEY": "msk_not_ours"}, {"MULTISHOT_KEY": "nötig"}):
            refused = embedded.run(*wish, **keys)
            assert refused.returncode == 2
            assert refused.stdout.count("\n") == 1
            assert "requires an API key: set MULTISHOT_KEY" in refused.stdout
            assert refused.stderr == ""
        done = embedded.run(*wish, MULTISHOT_KEY=second.stdout.strip())
        assert done.returncode == 0, done.stdout + done.stderr
    finally:
        embedded.kill()


@pytest.mark.parametrize("command", ["run", "demo"])
async def test_ctrl_c_exits_cleanly_with_one_sentence_and_plain_logs(embedded: Embedded, command: str) -> None:
    arguments = ["--port", str(embedded.port)] if command == "run" else ["--prompt", "a fox", "--duration", "60"]
    embedded.process = subprocess.Popen(
        [EMBEDDED, "--data-dir", embedded.folder, command, *arguments],
        env=embedded.environment(), cwd=embedded.folder.parent, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert embedded.process.stdout is not None
    first = await asyncio.to_thread(embedded.process.stdout.readline)
    assert "running on" in first or "writing the story" in first
    embedded.process.send_signal(signal.SIGINT)
    _, err = await asyncio.to_thread(embedded.process.communicate, timeout=60)
    assert embedded.process.returncode == 0, err
    assert [line for line in err.splitlines() if "Stopped" in line or "Traceback" in line] == [
        "Stopped. The same command resumes unfinished films."
    ]
    assert "\x1b" not in err
