"""Runs ffmpeg confined: with limits of time and resources, without a network, in a process group of its own.

It ends with its parent. No more run at once than there are cores.
"""

import asyncio
import contextlib
import errno
import functools
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from weakref import WeakKeyDictionary

import imageio_ffmpeg
import structlog

from shared.media.probe import LARGEST_PICTURE

log = structlog.get_logger()

STDERR_KEPT = 4000
NOT_STARTED_EXIT_CODES = frozenset({126, 127})
"""Exit codes of `setpriv` when it cannot execute the binary."""
MACHINE_EXIT_CODES = NOT_STARTED_EXIT_CODES | {
    256 - number for number in (errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.EIO)
}
"""ffmpeg exits with a negative errno, of which the system keeps the lowest byte."""
MEMORY_LIMIT = 6 * 2**30
FILE_SIZE_LIMIT = 2 * 2**30
"""Bytes."""
RUNS_AT_ONCE = os.cpu_count() or 1
"""More than there are cores would only take more memory, and time from each other's limits."""
PROTOCOLS = "file"
"""What ffmpeg may open, also for the files that a file names."""

_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
"""Of all runs of a process. It has one event loop; in tests, one after the other."""


def blames_machine(error: BaseException) -> bool:
    """Return whether the machine is at fault, for example a full disk, rather than what is read: a retry may succeed.

    EPERM is -1, which ffmpeg's libraries also return for files that cannot be read at some place.
    """
    if isinstance(error, FfmpegFailed):
        return error.blames_machine
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno != errno.EPERM)


class InputNotConfined(ValueError):
    """An input does not name its format: ffmpeg would guess it, and a playlist may name any other file."""


class FfmpegFailed(Exception):
    """ffmpeg ended with an error. The message is safe to show; `stderr` names files and is for the log only."""

    def __init__(self, exit_code: int, stderr: str) -> None:
        super().__init__(f"ffmpeg ended with exit code {exit_code}")
        self.exit_code = exit_code
        self.stderr = stderr

    @property
    def blames_machine(self) -> bool:
        """Whether ffmpeg was killed, lacked memory or space, or did not start: a retry may succeed."""
        return self.exit_code < 0 or self.exit_code in MACHINE_EXIT_CODES


class FfmpegTimedOut(Exception):
    """ffmpeg ran longer than `time_limit` seconds and was killed."""

    def __init__(self, time_limit: float) -> None:
        super().__init__(f"ffmpeg was killed after {time_limit:.0f} s")
        self.time_limit = time_limit


class Ffmpeg:
    """An ffmpeg binary: `binary`, or the one that ships with `imageio-ffmpeg`."""

    def __init__(self, binary: Path | None = None) -> None:
        self.binary = str(binary or imageio_ffmpeg.get_ffmpeg_exe())

    async def run(
        self, arguments: Sequence[str], *, time_limit: float, on_frame: Callable[[int], None] | None = None
    ) -> str:
        """Run ffmpeg with `arguments` (without the binary) and return the end of its stderr.

        It waits while as many run as there are cores; that does not count as its time. Inputs are local files
        with pictures of at most `LARGEST_PICTURE`.
        `on_frame` is called about twice a second with the number of frames written so far. Cancelling the caller kills
        ffmpeg.

        Raises:
            FfmpegFailed: it ended with an error; its stderr is logged.
            FfmpegTimedOut: it ran longer than `time_limit` seconds.
            InputNotConfined: an input has no option `-f`.
        """
        confined = [*_confined(arguments)]
        async with _slots.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(RUNS_AT_ONCE)):
            return await self._run(confined, time_limit, on_frame)

    async def _run(self, arguments: Sequence[str], time_limit: float, on_frame: Callable[[int], None] | None) -> str:
        progress = ["-progress", "pipe:1"] if on_frame else []
        process = await asyncio.create_subprocess_exec(
            *_parent_death_prefix(),
            self.binary,
            *("-hide_banner", "-nostdin", "-v", "error", *progress),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            process_group=0,
        )
        try:
            _limit_resources(process.pid, time_limit)
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


def _confined(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the arguments, with the permitted protocols and picture size before each input."""
    has_format = False
    for argument in arguments:
        if argument == "-i":
            if not has_format:
                raise InputNotConfined("an input does not name its format")
            yield from ("-protocol_whitelist", PROTOCOLS, "-max_pixels", str(LARGEST_PICTURE))
        has_format = argument == "-f" or (has_format and argument != "-i")
        yield argument


@functools.cache
def _parent_death_prefix() -> Sequence[str]:
    """Return the command that makes the kernel kill ffmpeg when this process dies; empty if it is not available.

    Without it, the CPU limit ends an orphan.
    """
    setpriv = shutil.which("setpriv") if sys.platform == "linux" else None
    return (setpriv, "--pdeathsig", "KILL", "--") if setpriv else ()


def _limit_resources(pid: int, time_limit: float) -> None:
    """Limit memory, file size and CPU time of a process that has just started; it leaves no memory dump if it crashes.

    From outside: code between fork and exec (`preexec_fn`) may deadlock in a process with threads.
    """
    if sys.platform != "linux":
        return
    cpu_seconds = int(time_limit * (os.cpu_count() or 1)) + 1
    with contextlib.suppress(ProcessLookupError):
        for kind, limit in (
            (resource.RLIMIT_AS, MEMORY_LIMIT),
            (resource.RLIMIT_FSIZE, FILE_SIZE_LIMIT),
            (resource.RLIMIT_CPU, cpu_seconds),
            (resource.RLIMIT_CORE, 0),
        ):
            resource.prlimit(pid, kind, (limit, limit))


async def _report(stream: asyncio.StreamReader | None, on_frame: Callable[[int], None] | None) -> None:
    assert stream is not None  # noqa: S101 - requested above
    async for line in stream:
        key, _, value = line.decode(errors="replace").strip().partition("=")
        if on_frame and key == "frame" and value.isdigit():
            on_frame(int(value))


async def _tail(stream: asyncio.StreamReader | None) -> str:
    assert stream is not None  # noqa: S101 - requested above
    kept = b""
    while chunk := await stream.read(4096):
        kept = (kept + chunk)[-STDERR_KEPT:]
    return kept.decode(errors="replace")
