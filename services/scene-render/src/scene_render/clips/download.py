"""Downloads clips to files: only from expected hosts, without our API key, within limits."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import httpx

from scene_render.providers.base import ClipOutOfReach, ClipUnusable, ProviderSilent
from shared.http.public_address import GuardedNetwork, NotPublic, guarded_transport

LARGEST_BYTES = 512 * 2**20
LONGEST_SECONDS = 180.0
SILENCE_SECONDS = 20.0
GONE = (401, 403, 404, 410)


class LinkExpired(Exception):
    """The link has expired; a new one may work."""


@dataclass(frozen=True)
class Downloader:
    """Downloads over HTTPS from `hosts` (`*.` matches all subdomains), and from `origin`.

    `origin`: the configured scheme, host and port of a provider, which may be a simulator on this machine.
    """

    hosts: tuple[str, ...]
    origin: str | None = None
    largest_bytes: int = LARGEST_BYTES
    longest_seconds: float = LONGEST_SECONDS

    async def fetch(self, fresh_link: Callable[[], Awaitable[str]], target: Path) -> None:
        """Download a clip to `target`, with a second link if the first one has expired.

        Raises:
            ClipUnusable: the clip is too large, redirected or gone.
            ClipOutOfReach: its host is not allowed.
            ProviderSilent: the connection broke or was too slow.
        """
        try:
            try:
                await self._fetch(await fresh_link(), target)
            except LinkExpired:
                await self._fetch(await fresh_link(), target)
        except LinkExpired as expired:
            raise ClipUnusable(f"The clip's link has expired, and so has a new one: {expired}") from expired

    async def _fetch(self, url: str, target: Path) -> None:
        trusted = self._check(url)
        transport = httpx.AsyncHTTPTransport(trust_env=False) if trusted else guarded_transport(GuardedNetwork())
        timeout = httpx.Timeout(SILENCE_SECONDS, connect=10.0)
        try:
            async with (
                asyncio.timeout(self.longest_seconds),
                httpx.AsyncClient(transport=transport, timeout=timeout) as client,
                client.stream("GET", url) as answer,
            ):
                self._judge(answer)
                await self._write(answer, target)
        except NotPublic as place:
            # The address may be one of our own network: for the log only.
            raise ClipOutOfReach("The clip is at an address that is not public.", str(place)) from place
        except TimeoutError as error:
            raise ProviderSilent(f"The download took longer than {self.longest_seconds:.0f} s.") from error
        except httpx.HTTPError as error:
            raise ProviderSilent(f"The download failed: {type(error).__name__}.") from error

    def _check(self, url: str) -> bool:
        """Return whether the link is on the configured origin. Raises `ClipOutOfReach` if its host is not allowed."""
        parts = urlsplit(url)
        if self.origin is not None and f"{parts.scheme}://{parts.netloc}" == self.origin:
            return True
        host = parts.hostname or ""
        if parts.scheme != "https" or parts.username or not _matches(host, self.hosts):
            reason = f"The clip is at {parts.scheme}://{host}, which is not an allowed host."
            raise ClipOutOfReach(reason)
        return False

    def _judge(self, answer: httpx.Response) -> None:
        if answer.status_code in GONE:
            raise LinkExpired(f"HTTP {answer.status_code}")
        if answer.is_redirect:
            raise ClipUnusable("The clip's link redirects, which is not followed.", again=False)
        if answer.status_code != httpx.codes.OK:
            raise ProviderSilent(f"The download failed: HTTP {answer.status_code}.")
        # Content types of providers are unreliable: only the file's content counts.
        if int(answer.headers.get("content-length", 0)) > self.largest_bytes:
            raise self._too_large()

    async def _write(self, answer: httpx.Response, target: Path) -> None:
        size = 0
        async with await anyio.open_file(target, "wb") as file:
            async for block in answer.aiter_bytes(2**16):
                size += len(block)
                if size > self.largest_bytes:
                    raise self._too_large()
                await file.write(block)

    def _too_large(self) -> ClipUnusable:
        return ClipUnusable(f"The clip is larger than {self.largest_bytes // 2**20} MiB.", again=False)


def _matches(host: str, names: Iterable[str]) -> bool:
    return any(host == name or (name.startswith("*.") and host.endswith(name[1:])) for name in names)
