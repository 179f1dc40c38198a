"""Fetches a clip from outside: from the places we expect, without our key, within limits, to a file."""

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
    """The link has ended: a fresh one may work."""


@dataclass(frozen=True)
class Downloader:
    """Fetches from `hosts` over HTTPS, `*.` in front of a name standing for all below it, and from `origin`.

    `origin` is a scheme, host and port that was configured, be it of a simulator on this machine.
    """

    hosts: tuple[str, ...]
    origin: str | None = None
    largest_bytes: int = LARGEST_BYTES
    longest_seconds: float = LONGEST_SECONDS

    async def fetch(self, fresh_link: Callable[[], Awaitable[str]], target: Path) -> None:
        """Fetch what the link leads to; where it has ended, ask for a fresh one, once.

        Raises:
            ClipUnusable: too large, elsewhere, or gone for good.
            ClipOutOfReach: it lies elsewhere.
            ProviderSilent: the connection did not hold, or was too slow.
        """
        try:
            try:
                await self._fetch(await fresh_link(), target)
            except LinkExpired:
                await self._fetch(await fresh_link(), target)
        except LinkExpired as expired:
            raise ClipUnusable(f"Its link has ended, and so has a fresh one: {expired}") from expired

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
            # Its addresses may be those of our own network.
            raise ClipOutOfReach("The clip lies at an address that is not public.", str(place)) from place
        except TimeoutError as error:
            raise ProviderSilent(f"The clip did not come within {self.longest_seconds:.0f} s.") from error
        except httpx.HTTPError as error:
            raise ProviderSilent(f"The clip did not come: {type(error).__name__}.") from error

    def _check(self, url: str) -> bool:
        """Whether the link leads to the configured origin; raises where it leads to no place we expect."""
        parts = urlsplit(url)
        if self.origin is not None and f"{parts.scheme}://{parts.netloc}" == self.origin:
            return True
        host = parts.hostname or ""
        if parts.scheme != "https" or parts.username or not _matches(host, self.hosts):
            reason = (
                f"The clip lies at {parts.scheme}://{host}, which is none of the hosts that clips are fetched from."
            )
            raise ClipOutOfReach(reason)
        return False

    def _judge(self, answer: httpx.Response) -> None:
        if answer.status_code in GONE:
            raise LinkExpired(f"HTTP {answer.status_code}")
        if answer.is_redirect:
            raise ClipUnusable("Its link leads elsewhere (a redirect), which is not followed.", again=False)
        if answer.status_code != httpx.codes.OK:
            raise ProviderSilent(f"The clip did not come: HTTP {answer.status_code}.")
        # Providers send all kinds of types with their clips: what is in the file decides.
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
        return ClipUnusable(f"It is larger than {self.largest_bytes // 2**20} MiB.", again=False)


def _matches(host: str, names: Iterable[str]) -> bool:
    return any(host == name or (name.startswith("*.") and host.endswith(name[1:])) for name in names)
