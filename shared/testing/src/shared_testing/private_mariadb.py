"""A MariaDB for the tests, from the machine's package, in memory if possible; it is removed after them."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from shared_testing.ports import free_port, listens

MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
START_SECONDS = 90
SMALL = (
    "--innodb-buffer-pool-size=64M",
    "--innodb-log-file-size=16M",
    "--performance-schema=OFF",
    "--skip-name-resolve",
)
FORGETFUL = ("--innodb-flush-log-at-trx-commit=0", "--skip-innodb-doublewrite", "--innodb-fast-shutdown=2")
"""Durability is off: the data is removed after the tests anyway."""


def is_installed() -> bool:
    """Return whether MariaDB is installed on this machine."""
    return _mariadbd() is not None and shutil.which("mariadb-install-db") is not None


def _mariadbd() -> str | None:
    return shutil.which("mariadbd") or shutil.which("/usr/sbin/mariadbd")


def folder_in_memory() -> str | None:
    """Where temporary folders are made that are written to often; None: at the usual place."""
    return str(MEMORY) if os.access(MEMORY, os.W_OK) else None


class PrivateMariaDB:
    """A MariaDB in a folder of its own; its user is root, without a password."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(exist_ok=True)
        install = ["mariadb-install-db", "--no-defaults", f"--datadir={folder}/data", "--skip-test-db", *SMALL]
        # As another user it does not know the account that would come in by the socket.
        install += ["--auth-root-authentication-method=normal", *self._user]
        subprocess.run(install, check=True, capture_output=True, timeout=120)  # noqa: S603 - the machine's own

    @property
    def _user(self) -> list[str]:
        return ["--user=root"] if os.getuid() == 0 else []

    def start(self) -> None:
        """Start it, and wait until it answers."""
        arguments = [
            "--no-defaults", f"--datadir={self.folder}/data", f"--port={self.port}", "--bind-address=127.0.0.1",
            f"--socket={self.folder}/s", f"--pid-file={self.folder}/pid", *self._user, *SMALL, *FORGETFUL,
        ]  # fmt: skip
        log = (self.folder / "log").open("ab")
        self.process = subprocess.Popen([str(_mariadbd()), *arguments], stdout=log, stderr=log)  # noqa: S603 - the same
        end = time.monotonic() + START_SECONDS
        while not listens("127.0.0.1", self.port):
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"MariaDB did not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop it; what is committed stays."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)


def temporary_folder() -> "tempfile.TemporaryDirectory[str]":
    """Make a folder for servers of the tests."""
    return tempfile.TemporaryDirectory(prefix="multishot-servers-", dir=folder_in_memory())
