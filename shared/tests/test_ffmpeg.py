"""ffmpeg has limits, can be stopped, and its failures are detected."""

import asyncio
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from shared.media.ffmpeg import FILE_SIZE_LIMIT, MEMORY_LIMIT, Ffmpeg, FfmpegFailed, FfmpegTimedOut
from shared_testing.servers import eventually

ENDLESS = ["-re", "-f", "lavfi", "-i", "testsrc2=s=64x64", "-f", "null", "-"]


def running() -> list[str]:
    """Return the ffmpeg processes that this process has started."""
    children = [pid for child in Path("/proc/self/task").glob("*/children") for pid in child.read_text().split()]
    return [pid for pid in children if "ffmpeg" in Path(f"/proc/{pid}/comm").read_text()]


async def test_frames_are_reported_as_they_are_written(tmp_path: Path) -> None:
    frames: list[int] = []
    arguments = ["-f", "lavfi", "-i", "testsrc2=s=64x64:r=24:d=2", "-y", str(tmp_path / "a.mp4")]
    await Ffmpeg().run(arguments, time_limit=20, on_frame=frames.append)
    assert frames[-1] == 48


async def test_stderr_of_ffmpeg_is_logged_and_not_shown_to_users() -> None:
    with capture_logs() as lines, pytest.raises(FfmpegFailed) as failed:
        await Ffmpeg().run(["-i", "/nowhere.mp4", "-f", "null", "-"], time_limit=20)
    assert "nowhere" in failed.value.stderr
    assert "nowhere" not in str(failed.value)
    assert any("nowhere" in line.get("stderr", "") for line in lines)


@pytest.mark.parametrize(
    ("script", "blames_machine"),
    [("exit 228", True), ("exit 244", True), ("kill -9 $$", True), ("exit 183", False), ("exit 1", False)],
    ids=["no space", "no memory", "killed", "invalid data", "error"],
)
async def test_a_machine_fault_is_distinguished_from_an_input_fault(
    tmp_path: Path, script: str, blames_machine: bool
) -> None:
    binary = tmp_path / "ffmpeg"
    binary.write_text(f"#!/bin/sh\n{script}\n")
    binary.chmod(0o755)
    with pytest.raises(FfmpegFailed) as failed:
        await Ffmpeg(binary).run([], time_limit=20)
    assert failed.value.blames_machine is blames_machine


async def test_ffmpeg_is_killed_after_its_time_limit() -> None:
    with pytest.raises(FfmpegTimedOut, match="killed after 1 s"):
        await Ffmpeg().run(ENDLESS, time_limit=0.6)
    assert running() == []


async def test_cancelling_the_caller_kills_ffmpeg() -> None:
    task = asyncio.create_task(Ffmpeg().run(ENDLESS, time_limit=60))
    await eventually(running)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert running() == []


async def test_a_configured_binary_is_used() -> None:
    with pytest.raises(FfmpegFailed, match="exit code 1"):
        await Ffmpeg(Path("/bin/false")).run(ENDLESS, time_limit=5)


async def test_ffmpeg_runs_within_limits_of_memory_and_file_size() -> None:
    task = asyncio.create_task(Ffmpeg().run(ENDLESS, time_limit=60))
    await eventually(running)
    [pid] = running()
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert [line.split()[-2] for line in limits.splitlines() if line.startswith(("Max file size", "Max address"))] == [
        str(FILE_SIZE_LIMIT),
        str(MEMORY_LIMIT),
    ]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_ffmpeg_is_killed_with_the_process_that_runs_it(tmp_path: Path) -> None:
    arguments = [*ENDLESS[:-1], "-metadata", f"title={tmp_path}", "-"]
    script = "import asyncio; from shared.media.ffmpeg import Ffmpeg; "
    script += f"asyncio.run(Ffmpeg().run({arguments!r}, time_limit=60))"
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    await eventually(lambda: has_ffmpeg(str(tmp_path)), 30)
    parent.kill()
    await parent.wait()
    await eventually(lambda: not has_ffmpeg(str(tmp_path)), 30)


async def test_a_binary_that_cannot_be_started_is_a_fault_of_the_machine() -> None:
    with pytest.raises((FfmpegFailed, FileNotFoundError)) as failed:
        await Ffmpeg(Path("/nowhere/ffmpeg")).run(ENDLESS, time_limit=5)
    assert isinstance(failed.value, FileNotFoundError) or failed.value.blames_machine


def has_ffmpeg(argument: str) -> bool:
    """Whether any ffmpeg process runs with this in its arguments."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            binary, _, arguments = path.read_bytes().partition(b"\0")
        except OSError:
            continue
        if b"ffmpeg" in binary and argument.encode() in arguments:
            return True
    return False
