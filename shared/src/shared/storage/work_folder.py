"""Folders for the files of one step, and the sweep that removes those of killed processes.

A folder is locked as long as its step works. The system frees the locks of a process that ends, however it ends: what
nobody has locked is left over.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import structlog

log = structlog.get_logger()

FOLDER = "multishot-work"
"""All work folders lie in a folder of this name, and nothing else does: whatever is in it may be swept."""
YOUNGEST_SECONDS = 60.0
"""What is younger stays: it may have been made a moment ago, and not be locked yet."""


@contextlib.contextmanager
def work_folder(parent: Path | None, step: str) -> Iterator[Path]:
    """Make a folder for the files of a step below `parent`, or below the system's temporary folder. It is removed."""
    with tempfile.TemporaryDirectory(dir=_own(parent), prefix=f"{step}-") as name, locked(Path(name)):
        yield Path(name)


def _own(parent: Path | None) -> Path:
    """Make the folder of all work folders, which this user alone can enter. Raises `OSError` where it is another's."""
    own = (parent or Path(tempfile.gettempdir())) / f"{FOLDER}-{os.getuid()}"
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    if own.is_symlink() or own.stat().st_uid != os.getuid():
        raise FileExistsError(f"{own} belongs to another user")
    return own


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep a folder or file from being swept."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        # Where the file system knows no locks, nothing can be locked, and so nothing is swept either.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


async def sweep_work_folders(parent: Path | None) -> int:
    """Remove the work folders below `parent` that no living process uses. Returns how many those were."""
    return await asyncio.to_thread(sweep, _own(parent), "*")


def sweep(parent: Path, pattern: str) -> int:
    """Remove the files and folders in `parent` whose names match, that nobody has locked and that are not new.

    Returns how many those were.
    """
    removed = 0
    for path in parent.glob(pattern):
        # Gone meanwhile, of another user, or in use.
        with contextlib.suppress(OSError):
            if time.time() - path.lstat().st_mtime > YOUNGEST_SECONDS:
                _remove_unless_locked(path)
                removed += 1
    return removed


def _remove_unless_locked(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        log.info("leftover.removed", name=path.name)
    finally:
        os.close(descriptor)
