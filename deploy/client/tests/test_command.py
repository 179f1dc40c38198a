"""The command line as a person and a script see it."""

import asyncio
import io
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from multishot import Multishot
from multishot.display import picture, print_list, time_left
from shared.contracts.events import FrameRejected, FramesRendered, PictureRendered, VideoRequested
from shared_testing.servers import eventually, published

MULTISHOT = Path(sys.executable).with_name("multishot")


class Shell:
    """Runs the command against a served gateway."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder

    async def start(self, *arguments: str) -> Process:
        environment = {"PATH": os.environ["PATH"], "MULTISHOT_URL": self.url}
        return await asyncio.create_subprocess_exec(
            MULTISHOT, *arguments, env=environment, cwd=self.folder, stdin=PIPE, stdout=PIPE, stderr=PIPE
        )

    async def run(self, *arguments: str, given: str = "") -> tuple[int | None, str, str]:
        process = await self.start(*arguments)
        out, err = await process.communicate(given.encode())
        return process.returncode, out.decode(), err.decode()


@pytest.fixture
def shell(served: Any, tmp_path: Path) -> Shell:
    return Shell(served.url, tmp_path)


async def test_make_prints_a_line_for_each_step_and_downloads_the_film(
    shell: Shell, served: Any, tmp_path: Path
) -> None:
    process = await shell.start("make", "a fox", "--scenes", "2", "--download", "films")
    async with Multishot(served.url) as multishot:
        [video] = await eventually(multishot.list, 30)
    assert process.stdout is not None
    first = (await process.stdout.readline()).decode()
    await served.write(video["videoId"])
    second = (await process.stdout.readline()).decode()
    await served.render(video["videoId"], tmp_path)
    out, err = (text.decode() for text in await process.communicate())
    assert process.returncode == 0, err
    assert f"{video['videoId']}  writing the story" in first
    assert "s left" in first
    assert "rendering scenes (0 of 2 done)" in second
    file = Path(out.splitlines()[-1])
    assert (tmp_path / file).read_bytes() == served.film
    assert "\x1b" not in first + second + out


async def test_with_json_only_json_is_printed(shell: Shell, served: Any, tmp_path: Path) -> None:
    code, out, _ = await shell.run("make", "a fox", "--scenes", "2", "--detach", "--json")
    video_id = json.loads(out)["videoId"]
    assert code == 0
    await served.write(video_id)
    await served.render(video_id, tmp_path)
    code, out, _ = await shell.run("watch", video_id, "--json", "--download", ".")
    video = json.loads(out)
    assert (code, video["status"], Path(tmp_path, video["file"]).read_bytes()) == (0, "completed", served.film)
    code, out, _ = await shell.run("list", "--json")
    assert [one["videoId"] for one in json.loads(out)] == [video_id]
    code, out, _ = await shell.run("list")
    assert out.split("\t")[:3] == [video_id, "completed", "100%"]
    code, out, _ = await shell.run("get", video_id)
    assert (code, out.splitlines()[-1]) == (0, f"{served.url}/api/v1/videos/{video_id}/content")


async def test_the_exit_code_shows_the_outcome(shell: Shell, served: Any, tmp_path: Path) -> None:
    code, _, err = await shell.run("watch")
    assert (code, "No films yet" in err) == (2, True)
    _, out, _ = await shell.run("make", "a fox", "--detach")
    video_id = out.strip()
    code, out, err = await shell.run("get", "--download")
    assert (code, video_id in out, "not finished" in err) == (1, True, True)
    assert (await shell.run("cancel", video_id))[0] == 0
    code, _, err = await shell.run("watch", video_id)
    assert (code, "not made" in err) == (1, True)
    for arguments, about in (
        (["make", "a fox", "--scenes", "9"], "sceneCount"),
        (["make"], "prompt"),
        (["get", "11111111-1111-4111-8111-111111111111"], "Video not found"),
        (["cancel", "../videos"], "is not a valid video id"),
        (["get", "--download", video_id], "not a folder"),
        (["list", "--limit", "0"], "at least 1"),
        (["approve", video_id], "does not await a review"),
        (["make", "--storyboard", "missing.json"], "missing.json"),
        (["nonsense"], "invalid choice"),
    ):
        code, out, err = await shell.run(*arguments)
        assert (code, out, about in err) == (2, "", True), (arguments, err)
    code, _, err = await Shell("http://127.0.0.1:1", tmp_path).run("list")
    assert (code, "http://127.0.0.1:1" in err) == (3, True)


async def test_a_review_stops_make_and_prints_the_next_command(shell: Shell, served: Any) -> None:
    _, out, _ = await shell.run("make", "a fox", "--scenes", "2", "--review", "--detach")
    video_id = out.strip()
    await served.write(video_id, review=True)
    code, out, err = await shell.run("watch", video_id)
    assert (code, f"multishot approve {video_id}" in err) == (0, True)
    code, out, _ = await shell.run("get", video_id, "--storyboard")
    board = json.loads(out)
    too_long = {**board, "scenes": [{**board["scenes"][0], "duration": 90}, board["scenes"][1]]}
    Path(shell.folder, "too_long.json").write_text(json.dumps(too_long))
    code, _, err = await shell.run("approve", video_id, "--storyboard", "too_long.json")
    assert (code, "storyboard.scenes.0.duration" in err) == (2, True)
    board["scenes"][1]["action"] = "A hen sleeps"
    Path(shell.folder, "board.json").write_text(json.dumps(board))
    code, out, _ = await shell.run("approve", video_id, "--storyboard", "board.json")
    assert (code, f"multishot watch {video_id}" in out) == (0, True)
    code, out, _ = await shell.run("make", "--storyboard", "-", "--detach", "--json", given=json.dumps(board))
    assert (code, json.loads(out)["totalScenes"]) == (0, 2)


async def test_interrupting_watch_does_not_cancel_the_film(shell: Shell, served: Any) -> None:
    _, out, _ = await shell.run("make", "a fox", "--detach")
    video_id = out.strip()
    process = await shell.start("watch", video_id)
    assert process.stdout is not None
    await process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert (process.returncode, f"multishot watch {video_id}" in err.decode()) == (130, True)
    assert "Traceback" not in err.decode()
    async with Multishot(served.url) as multishot:
        assert (await multishot.get(video_id))["status"] == "pending"


async def test_a_terminal_shows_the_progress_of_each_scene_and_outages(served: Any, tmp_path: Path) -> None:
    async with Multishot(served.url) as multishot:
        video = await multishot.make("a fox", scenes=2, duration=30)
        await served.write(video["videoId"])
        await served.render(video["videoId"], tmp_path)
        video = await multishot.get(video["videoId"])
    video = {**video, "etaRangeSeconds": [20, 35], "status": "processing", "isTerminal": False, "currentStep": "scenes"}
    video["scenes"][1] = {**video["scenes"][1], "progress": 40.0}

    def seen(silence: float) -> str:
        console = Console(width=80, file=io.StringIO(), force_terminal=True, color_system=None)
        with console.capture() as capture:
            console.print(picture(video, 0, silence))
        return capture.get()

    assert all(len(line) <= 80 for line in seen(0).splitlines())
    for part in ("A fox [red] / 狐", video["videoId"], "about 20-35 s left", "scene 1/2", "100%", "scene 2/2", " 40%"):
        assert part in seen(0)
    assert "no answer for 12 s" in seen(12)
    assert "left" not in seen(12)


@pytest.mark.parametrize(("width", "also"), [(60, []), (80, ["about 20-35 s", "word"])])
async def test_a_list_keeps_its_important_columns_in_a_narrow_terminal(width: int, also: list[str]) -> None:
    video: Any = {
        "videoId": "11111111-1111-4111-8111-111111111111", "status": "processing", "isTerminal": False,
        "awaitingReview": False,
        "progress": 40.0, "etaRangeSeconds": [20, 35], "etaSeconds": 35, "title": "word " * 40, "prompt": "p",
    }  # fmt: skip
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    with console.capture() as capture:
        print_list(console, [video])
    [_, line] = capture.get().splitlines()
    assert all(part in line for part in (video["videoId"], "processing", "40%", *also))


@pytest.mark.parametrize(
    ("eta", "age", "said"),
    [
        ([20, 35], 0, "about 20-35 s left"),
        ([20, 35], 6, "about 14-30 s left"),
        ([3, 9], 5, "less than 4 s left"),
        ([3, 9], 60, "less than 1 s left"),
        ([7, 7], 0, "about 7 s left"),
        ([100, 300], 0, "about 2-5 min left"),
        (None, 0, ""),
    ],
)
def test_the_remaining_time_is_human_readable(eta: list[int] | None, age: float, said: str) -> None:
    assert time_left({"etaRangeSeconds": eta, "etaSeconds": None}, age) == said  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("prompt", "why"),
    [("a\x1b[2J", "prompt: holds the character U+001B"), ("\u200b\u200d", "prompt: holds only invisible characters")],
)
async def test_a_prompt_with_control_characters_is_refused(shell: Shell, prompt: str, why: str) -> None:
    code, out, err = await shell.run("make", prompt)
    assert (code, out) == (2, "")
    assert why in err


async def test_pictures_are_uploaded_and_first_frames_reviewed(shell: Shell, served: Any, tmp_path: Path) -> None:
    Image.new("RGB", (200, 200), "red").save(tmp_path / "ana.png")
    make = ("make", "a fox", "--scenes", "2", "--review", "--detach", "--json")
    how = ("--quality", "premium", "--clip-sound", "drop", "--reference", "Ana=ana.png")
    code, out, err = await shell.run(*make, *how)
    assert code == 0, err
    video_id = json.loads(out)["videoId"]
    [request] = [one for one in await published(served.gateway.database) if isinstance(one, VideoRequested)]
    assert (request.quality, request.clip_sound, request.references[0].name) == ("premium", "drop", "Ana")
    await served.write(video_id, review=True)
    assert (await shell.run("frame", video_id, "1", "--description", "by night"))[0] == 2
    assert (await shell.run("approve", video_id))[0] == 0
    media = {"key": f"videos/{video_id}/pictures/a.jpg", "content_type": "image/jpeg", "size": 1, "sha256": "0" * 64}
    frame = {"purpose": "first_frame", "scene_number": 1, "picture": media, "cost_usd": "0.02", "provider": "runway"}
    await served.deliver(PictureRendered(video_id=video_id, **frame), FramesRendered(video_id=video_id))
    code, out, err = await shell.run("watch", video_id)
    assert code == 0
    assert f"first frame of scene 1: {served.url}/api/v1/videos/{video_id}/scenes/1/frame" in out
    assert "first frame of scene 2: none" in out
    assert f"multishot approve {video_id}" in err
    assert (await shell.run("frame", video_id, "1", "--image", "ana.png"))[0] == 0
    [rejected] = [one for one in await published(served.gateway.database) if isinstance(one, FrameRejected)]
    assert rejected.image.content_type == "image/jpeg"
    await served.deliver(FramesRendered(video_id=video_id))
    assert (await shell.run("approve", video_id))[0] == 0
    _, out, _ = await shell.run("get", video_id, "--json")
    assert json.loads(out)["currentStep"] == "scenes"


async def test_a_reference_that_is_no_picture_is_refused(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "ana.png").write_text("<svg/>")
    for reference, text in (("Ana=ana.png", "not a PNG picture"), ("Ana=none.png", "existing file"), ("Ana", "FILE")):
        code, _, err = await shell.run("make", "a fox", "--detach", "--reference", reference)
        assert code == 2
        assert text in err


async def test_an_estimate_names_all_tiers_and_the_report_is_a_table(shell: Shell, served: Any, tmp_path: Path) -> None:
    code, out, err = await shell.run("estimate", "a fox", "--quality", "draft")
    assert (code, out, err) == (0, "about $0.00 with animatic\n", "draft $0.00, standard $0.00, premium $0.00\n")
    _, out, _ = await shell.run("make", "a fox", "--scenes", "2", "--detach")
    video_id = out.strip()
    await served.write(video_id)
    await served.render(video_id, tmp_path)
    code, out, _ = await shell.run("report", "--days", "7")
    lines = [line.split() for line in out.splitlines()]
    assert (code, out.splitlines()[0]) == (0, "1 requested, 1 completed, 0 failed; success 100.0 %; rating -")
    assert [line[:3] for line in lines[2:]] == [["all", "1", "$0.00"], ["standard", "1", "$0.00"], lines[4][:3]]
    assert lines[2][-1] == "s"
    code, out, _ = await shell.run("report", "--json")
    assert json.loads(out)["films"]["films"] == 1
