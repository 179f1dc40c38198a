"""The folder of the embedded mode: databases, media, dead letters, and the lock of the process that uses it."""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

SHORTEST_SECRET = 32


class DataDirInUse(Exception):
    """Another process uses this folder. `url` is the address it serves on, if it serves."""

    def __init__(self, folder: Path, url: str | None) -> None:
        super().__init__(f"{folder} is in use by another Multishot" + (f" at {url}" if url else ""))
        self.folder = folder
        self.url = url


@dataclass(frozen=True)
class DataDir:
    """The folder `.multishot/`."""

    folder: Path

    @property
    def media(self) -> Path:
        """Return the folder of films, thumbnails and clips."""
        return self.folder / "media"

    @property
    def work(self) -> Path:
        """Return the folder of temporary files; it is emptied at every start."""
        return self.folder / "work"

    @property
    def dead_letters(self) -> Path:
        """Return the folder of dead letters: one file each, with the reason."""
        return self.folder / "dead-letters"

    @property
    def provenance(self) -> Path:
        """Return the folder of the key that signs films."""
        return self.folder / "provenance"

    @property
    def simulator(self) -> Path:
        """Return the folder of the clips that simulated providers rendered."""
        return self.folder / "simulator"

    def database_url(self, service: str) -> str:
        """Return the URL of a service's SQLite database."""
        return f"sqlite+aiosqlite:///{self.folder / service}.db"

    def secret(self) -> str:
        """Return the secret that signs links; create it at the first call. A truncated file is replaced."""
        path = self.folder / "secret"
        if not path.exists() or len(path.read_text()) < SHORTEST_SECRET:
            new = path.with_suffix(".new")
            new.touch(mode=0o600)
            new.write_text(secrets.token_urlsafe(SHORTEST_SECRET))
            new.replace(path)
        return path.read_text()

    def lock(self) -> FileLock:
        """Lock the folder.

        Raises:
            DataDirInUse: another process has locked it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        # Other users of this machine must not read prompts, films and hashes of API keys.
        self.folder.chmod(0o700)
        lock = FileLock(self.folder / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise DataDirInUse(self.folder, self._served_at()) from None
        return lock

    def serve_at(self, url: str) -> None:
        """Save the address that the process serves on."""
        (self.folder / "serving.json").write_text(json.dumps({"url": url}))

    def _served_at(self) -> str | None:
        try:
            return str(json.loads((self.folder / "serving.json").read_text())["url"])
        except (OSError, ValueError, KeyError):
            return None
