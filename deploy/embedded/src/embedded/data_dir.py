"""The folder a person's videos live in: databases, media, dead letters, and the lock of the process that uses them."""

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

SHORTEST_SECRET = 32


class HomeInUse(Exception):
    """Another process works in this folder. `url` is where it serves, as far as it has said so."""

    def __init__(self, folder: Path, url: str | None) -> None:
        super().__init__(f"{folder} is in use by another Multishot" + (f" at {url}" if url else ""))
        self.folder = folder
        self.url = url


@dataclass(frozen=True)
class Home:
    """The folder `.multishot/`."""

    folder: Path

    @property
    def media(self) -> Path:
        """Films, thumbnails and clips."""
        return self.folder / "media"

    @property
    def work(self) -> Path:
        """Files of steps that are being worked on; emptied at every start."""
        return self.folder / "work"

    @property
    def dead_letters(self) -> Path:
        """Messages that could not be handled, one file each, with the reason."""
        return self.folder / "dead-letters"

    @property
    def simulator(self) -> Path:
        """The clips that simulated providers have drawn."""
        return self.folder / "simulator"

    def database_url(self, service: str) -> str:
        """The SQLite database of a service."""
        return f"sqlite+aiosqlite:///{self.folder / service}.db"

    def secret(self) -> str:
        """The secret that signs links, made once. A file that is empty or cut off is replaced."""
        path = self.folder / "secret"
        if not path.exists() or len(path.read_text()) < SHORTEST_SECRET:
            new = path.with_suffix(".new")
            new.touch(mode=0o600)
            new.write_text(secrets.token_urlsafe(SHORTEST_SECRET))
            new.replace(path)
        return path.read_text()

    def lock(self) -> FileLock:
        """Hold the folder. Raises `HomeInUse` when another process does."""
        self.folder.mkdir(parents=True, exist_ok=True)
        # Prompts, films and API keys' hashes are nobody else's on this machine.
        self.folder.chmod(0o700)
        lock = FileLock(self.folder / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise HomeInUse(self.folder, self._served_at()) from None
        return lock

    def serve_at(self, url: str) -> None:
        """Note where the process that holds the folder serves."""
        (self.folder / "serving.json").write_text(json.dumps({"url": url}))

    def _served_at(self) -> str | None:
        try:
            return str(json.loads((self.folder / "serving.json").read_text())["url"])
        except (OSError, ValueError, KeyError):
            return None
