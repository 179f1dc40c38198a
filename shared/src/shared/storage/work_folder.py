"""Temporary folders for the files of one step, and the sweep that removes those of killed processes.

A folder is locked while its step runs. The system releases the locks of a process that ends, even if it is killed, so a
folder without a lock is left over.
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
"""Name of the folder that has only work folders: everything in it may be swept."""
YOUNGEST_SECONDS = 60.0
"""Younger files and folders are not swept: they may be new and not locked yet."""


@contextlib.contextmanager
def work_folder(parent: Path | None, step: str) -> Iterator[Path]:
    """Provide a folder for a step in `parent`, or in the system's temporary folder; remove it at the end."""
    with tempfile.TemporaryDirectory(dir=_own(parent), prefix=f"{step}-") as name, locked(Path(name)):
        yield Path(name)


def _own(parent: Path | None) -> Path:
    """Create the folder of all work folders, private to this user. Raises `OSError` if it belongs to another user."""
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
        # On a file system without locks nothing can be locked, and so nothing is swept.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


async def sweep_work_folders(parent: Path | None) -> int:
    """Remove the work folders in `parent` that no running process uses. Return how many there were."""
    return await asyncio.to_thread(sweep, _own(parent), "*")


def sweep(parent: Path, pattern: str) -> int:
    """Remove the files and folders in `parent` that match, are not locked and are not new.

    Return how many there were.
    """
    removed = 0
    for path in parent.glob(pattern):
        # Removed meanwhile, another user's, or in use.
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
