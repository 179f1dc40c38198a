"""Folders of killed processes are removed, and those of running processes are kept."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shared.storage.folder import FolderStorage
from shared.storage.work_folder import YOUNGEST_SECONDS, locked, sweep_work_folders, work_folder

WORKING = """
import sys, time
from pathlib import Path
from shared.storage.work_folder import work_folder
with work_folder(Path(sys.argv[1]), "film") as folder:
    (folder / "film.mp4").write_bytes(b"half")
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def start_work(tmp_path: Path) -> Iterator[Callable[[], tuple[subprocess.Popen[str], Path]]]:
    """Start a process that works in a folder; returns both."""
    processes = []

    def start() -> tuple[subprocess.Popen[str], Path]:
        command = [sys.executable, "-c", WORKING, str(tmp_path)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout is not None
        return process, Path(process.stdout.readline().strip())

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def age(path: Path) -> None:
    """Make a file or folder look old enough to be left over."""
    old = time.time() - 2 * YOUNGEST_SECONDS
    os.utime(path, (old, old))


async def test_the_folder_of_a_killed_process_is_removed_and_that_of_a_living_one_is_not(
    tmp_path: Path, start_work: Callable[[], tuple[subprocess.Popen[str], Path]]
) -> None:
    (killed, leftover), (_, used) = start_work(), start_work()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    with work_folder(tmp_path, "clip") as own:
        for folder in (leftover, used, own):
            age(folder)
        await sweep_work_folders(tmp_path)
        assert (leftover.exists(), used.exists(), own.exists()) == (False, True, True)
        assert (used / "film.mp4").read_bytes() == b"half"
    assert not own.exists()


async def test_new_and_foreign_files_are_kept(tmp_path: Path) -> None:
    with work_folder(tmp_path, "clip") as own:
        ours = own.parent
    # Folders with our name that are not in our own folder, such as a checkout.
    foreign, outside = tmp_path / "multishot-servers", tmp_path / "multishot-work"
    new, link = ours / "clip-new", ours / "link"
    for folder in (new, foreign, outside):
        folder.mkdir()
    link.symlink_to(outside)
    age(foreign)
    age(outside)
    os.utime(link, (0, 0), follow_symlinks=False)
    await sweep_work_folders(tmp_path)
    assert all(path.exists() for path in (new, foreign, outside, link))


def test_the_folder_of_work_folders_is_this_user_s_alone(tmp_path: Path) -> None:
    with work_folder(tmp_path, "clip") as own:
        assert own.parent.stat().st_mode & 0o077 == 0
    shutil.rmtree(own.parent)
    (tmp_path / "elsewhere").mkdir()
    own.parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError), work_folder(tmp_path, "clip"):
        pass


async def test_a_sweep_of_a_missing_folder_does_nothing(tmp_path: Path) -> None:
    assert await sweep_work_folders(tmp_path / "nowhere") == 0


async def test_half_written_objects_are_removed_unless_they_are_being_written(tmp_path: Path) -> None:
    source = tmp_path / "film.mp4"
    source.write_bytes(b"film")
    async with FolderStorage(tmp_path / "media") as storage:
        reference = await storage.put("videos/1/film.mp4", source, "video/mp4")
        left, written = (storage.half_written / name for name in ("left", "written"))
        for path in (left, written):
            path.write_bytes(b"half")
            age(path)
        age(storage.path(reference.key))
        with locked(written):
            await storage.sweep()
            assert (left.exists(), written.exists()) == (False, True)
        await storage.get(reference, tmp_path / "back")
