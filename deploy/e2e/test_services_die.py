"""Processes are killed during a video: it is still finished, and nothing is paid twice."""

import asyncio
import signal
from pathlib import Path

import pytest

from shared_testing.servers import eventually

pytestmark = pytest.mark.connected


@pytest.mark.parametrize(
    ("service", "step"),
    [("storyboard", None), ("scene-render", "scenes"), ("composer", "combining"), ("gateway", "scenes")],
)
async def test_kill_9_in_the_middle_of_a_video(stack, service: str, step: str | None) -> None:
    process = stack.of(service)
    if step is None:
        # Before it has begun: it is away while the request comes.
        process.signal(signal.SIGKILL)
    video_id = stack.ask(sceneCount=3 if service == "scene-render" else 2)["videoId"]
    if step is not None:
        await stack.reached(video_id, step)
        await asyncio.sleep(0.5)
        process.signal(signal.SIGKILL)
    process.start()
    await process.ready()
    video = await stack.ended(video_id)
    assert video["status"] == "completed", video["errorMessage"]
    stack.paid_once(video_id)
    await stack.is_quiet()


@pytest.mark.long  # in `make test` each point of the paid step meets it
async def test_sigterm_stops_a_service_within_ten_seconds_and_loses_nothing(stack) -> None:
    process = stack.of("scene-render")
    video_id = stack.ask(sceneCount=2)["videoId"]
    await stack.reached(video_id, "scenes")
    await asyncio.sleep(0.5)
    process.signal(signal.SIGTERM)
    await eventually(lambda: process.popen.poll() is not None, seconds=12, what="scene-render ends")
    process.start()
    await process.ready()
    assert (await stack.ended(video_id))["status"] == "completed"
    stack.paid_once(video_id)


async def test_no_ffmpeg_outlives_its_service(stack) -> None:
    process = stack.of("composer")
    video_id = stack.ask()["videoId"]
    pids = await eventually(lambda: _children(process.popen.pid), what="ffmpeg runs")
    process.signal(signal.SIGKILL)
    await eventually(lambda: not any(map(_runs, pids)), seconds=5, what="ffmpeg ends")
    process.start()
    await process.ready()
    assert (await stack.ended(video_id))["status"] == "completed"


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
