"""ffmpeg as a guest: it has limits, it can be stopped, and it is told apart from success."""

import asyncio
from pathlib import Path

import pytest

from shared.ffmpeg import Ffmpeg, FfmpegFailed, FfmpegTimedOut
from shared.testing import eventually

ENDLESS = ["-re", "-f", "lavfi", "-i", "testsrc2=s=64x64", "-f", "null", "-"]


def running() -> list[str]:
    children = Path("/proc/self/task").glob("*/children")
    return [pid for child in children for pid in child.read_text().split()]


async def test_frames_are_told_as_they_are_made(tmp_path: Path) -> None:
    told: list[int] = []
    arguments = ["-f", "lavfi", "-i", "testsrc2=s=64x64:r=24:d=2", "-y", str(tmp_path / "a.mp4")]
    await Ffmpeg().run(arguments, time_limit=20, on_frame=told.append)
    assert told[-1] == 48


async def test_an_error_is_raised_with_what_ffmpeg_said() -> None:
    with pytest.raises(FfmpegFailed, match="nowhere"):
        await Ffmpeg().run(["-i", "/nowhere.mp4", "-f", "null", "-"], time_limit=20)


async def test_what_takes_too_long_is_killed() -> None:
    with pytest.raises(FfmpegTimedOut, match="killed after 1 s"):
        await Ffmpeg().run(ENDLESS, time_limit=0.6)
    assert running() == []


async def test_cancelling_the_caller_kills_it() -> None:
    task = asyncio.create_task(Ffmpeg().run(ENDLESS, time_limit=60))
    await eventually(running)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert running() == []


async def test_a_binary_of_ones_own_is_used() -> None:
    with pytest.raises(FfmpegFailed, match="ended with 1"):
        await Ffmpeg(Path("/bin/false")).run(ENDLESS, time_limit=5)
