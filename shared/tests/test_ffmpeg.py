"""ffmpeg has limits, can be stopped, and its failures are detected."""

import asyncio
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from shared.media import ffmpeg
from shared.media.ffmpeg import (
    FILE_SIZE_LIMIT,
    MEMORY_LIMIT,
    Ffmpeg,
    FfmpegFailed,
    FfmpegTimedOut,
    InputNotConfined,
)
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
        await Ffmpeg().run(["-f", "mov", "-i", "/nowhere.mp4", "-f", "null", "-"], time_limit=20)
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


@pytest.mark.parametrize("kind", ["address", "playlist", "script", "description"])
async def test_no_input_reaches_the_network(tmp_path: Path, kind: str) -> None:
    calls: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: calls.append(writer), "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/a.ts"
    texts = {
        "playlist": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}\n#EXT-X-ENDLIST\n",
        "script": f"ffconcat version 1.0\nfile {address}\n",
        "description": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=n\nc=IN IP4 127.0.0.1\nt=0 0\na=control:{address}\n",
    }
    source = tmp_path / "clip.mp4"
    source.write_text(texts.get(kind, ""))
    form = {"address": "mpegts", "playlist": "hls", "script": "concat", "description": "sdp"}[kind]
    given = [*(["-safe", "0"] if kind == "script" else []), "-i", address if kind == "address" else str(source)]
    for name in (form, "mov"):
        with pytest.raises(FfmpegFailed):
            await Ffmpeg().run(["-f", name, *(given if name == form else given[-2:]), "-f", "null", "-"], time_limit=20)
    assert calls == []
    server.close()


async def test_a_picture_that_would_fill_the_memory_is_not_decoded(tmp_path: Path) -> None:
    large = str(tmp_path / "large.mp4")
    drawn = ["-f", "lavfi", "-i", "color=s=4096x4096", "-frames:v", "1", "-preset", "ultrafast"]
    await Ffmpeg().run([*drawn, large], time_limit=60)
    with pytest.raises(FfmpegFailed):
        await Ffmpeg().run(["-xerror", "-f", "mov", "-i", large, "-f", "null", "-"], time_limit=60)


async def test_an_input_names_its_format() -> None:
    arguments = ["-f", "lavfi", "-i", "testsrc2", "-i", "clip.mp4", "-f", "null", "-"]
    with pytest.raises(InputNotConfined):
        await Ffmpeg().run(arguments, time_limit=20)


async def test_no_more_run_at_once_than_there_are_cores_and_waiting_takes_none_of_their_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ffmpeg, "RUNS_AT_ONCE", 1)
    first = asyncio.create_task(Ffmpeg().run(ENDLESS, time_limit=60))
    await eventually(running)
    [pid] = running()
    short = ["-f", "lavfi", "-i", "testsrc2=s=64x64:r=24:d=0.1", "-f", "null", "-"]
    second = asyncio.create_task(Ffmpeg().run(short, time_limit=15))
    waits_too_long = asyncio.create_task(Ffmpeg().run(ENDLESS, time_limit=0.2))
    await asyncio.sleep(0.5)
    assert running() == [pid]
    assert not waits_too_long.done()
    first.cancel()
    await second
    with pytest.raises(FfmpegTimedOut):
        await waits_too_long


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
