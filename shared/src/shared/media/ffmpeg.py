"""Runs ffmpeg: a process of its own group, with a time limit, that dies with its parent."""

import asyncio
import contextlib
import ctypes
import errno
import functools
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import imageio_ffmpeg
import structlog

log = structlog.get_logger()

LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1
STDERR_KEPT = 4000
MACHINE_EXIT_CODES = frozenset(256 - number for number in (errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.EIO))
"""ffmpeg ends with the negative of an errno, of which the system keeps the lowest byte."""
MOST_MEMORY = 6 * 2**30
LARGEST_FILE = 2 * 2**30
"""In bytes; and a run may take no more CPU time than all cores give it within its time limit."""


class FfmpegFailed(Exception):
    """ffmpeg ended with an error. Its text is safe to show; `stderr`, which names files, is for the log."""

    def __init__(self, exit_code: int, stderr: str) -> None:
        super().__init__(f"ffmpeg ended with exit code {exit_code}")
        self.exit_code = exit_code
        self.stderr = stderr

    @property
    def blames_machine(self) -> bool:
        """Whether ffmpeg was killed or lacked memory or space: the same input may go well another time."""
        return self.exit_code < 0 or self.exit_code in MACHINE_EXIT_CODES


class FfmpegTimedOut(Exception):
    """ffmpeg did not end within its time limit, in seconds, and was killed."""

    def __init__(self, time_limit: float) -> None:
        super().__init__(f"ffmpeg was killed after {time_limit:.0f} s")
        self.time_limit = time_limit


class Ffmpeg:
    """An ffmpeg binary: the given one, else the one that ships with `imageio-ffmpeg`."""

    def __init__(self, binary: Path | None = None) -> None:
        self.binary = str(binary or imageio_ffmpeg.get_ffmpeg_exe())

    async def run(
        self, arguments: Sequence[str], *, time_limit: float, on_frame: Callable[[int], None] | None = None
    ) -> str:
        """Run ffmpeg with these arguments (without the binary) and return what it wrote to stderr.

        `on_frame` hears the number of frames written so far, about twice a second. Cancelling the caller kills ffmpeg.

        Raises:
            FfmpegFailed: it ended with an error; what it said is logged.
            FfmpegTimedOut: it ran longer than `time_limit` seconds.
        """
        progress = ["-progress", "pipe:1"] if on_frame else []
        process = await asyncio.create_subprocess_exec(
            self.binary,
            *("-hide_banner", "-nostdin", "-v", "error", *progress),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            process_group=0,
            preexec_fn=functools.partial(_confine, time_limit) if sys.platform == "linux" else None,
        )
        try:
            async with asyncio.timeout(time_limit):
                _, stderr = await asyncio.gather(_report(process.stdout, on_frame), _tail(process.stderr))
                exit_code = await process.wait()
        except TimeoutError:
            log.warning("ffmpeg.timed_out", seconds=time_limit)
            raise FfmpegTimedOut(time_limit) from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if exit_code:
            log.warning("ffmpeg.failed", exit_code=exit_code, stderr=stderr)
            raise FfmpegFailed(exit_code, stderr)
        return stderr


def _confine(time_limit: float) -> None:
    """Runs in the new process: it dies with its parent, and stays within its limits whatever it is given."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    cpu_seconds = int(time_limit * (os.cpu_count() or 1)) + 1
    for limit, most in (
        (resource.RLIMIT_AS, MOST_MEMORY),
        (resource.RLIMIT_FSIZE, LARGEST_FILE),
        (resource.RLIMIT_CPU, cpu_seconds),
    ):
        resource.setrlimit(limit, (most, most))


async def _report(stream: asyncio.StreamReader | None, on_frame: Callable[[int], None] | None) -> None:
    assert stream is not None  # noqa: S101 - it was asked for above
    async for line in stream:
        key, _, value = line.decode(errors="replace").strip().partition("=")
        if on_frame and key == "frame" and value.isdigit():
            on_frame(int(value))


async def _tail(stream: asyncio.StreamReader | None) -> str:
    assert stream is not None  # noqa: S101 - it was asked for above
    kept = b""
    while chunk := await stream.read(4096):
        kept = (kept + chunk)[-STDERR_KEPT:]
    return kept.decode(errors="replace")
