"""The connection to a gateway: calls, streams of events and downloads, with retries."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import httpx
from httpx_sse import aconnect_sse

from multishot.errors import Refused, refused
from multishot.retries import FIRST_DELAY, Interrupted, Retries, raise_if_busy
from multishot.sanitized import sanitized
from multishot.videos import Video, VideoEvent

CALL_SECONDS = 30.0
SILENCE_SECONDS = 45.0
"""The event stream sends something every 15 s; after this long without data it is considered dead."""

CHUNK = 65_536

OnBytes = Callable[[int, int | None], None]
"""Called with the bytes received so far and the total, if that is known."""


class Connection:
    """An HTTP client for the gateway at `url`.

    Raises, from each method:
        Refused: the gateway refuses the call.
        NotReachable: the gateway does not answer, or cannot at the moment.
    """

    def __init__(self, url: str, key: str | None, transport: httpx.AsyncBaseTransport | None) -> None:
        if key and not (key.isascii() and key.isprintable()):
            raise Refused(401, {"title": "Not signed in", "detail": "The API key contains invalid characters."})
        self.url = url.rstrip("/")
        self.silent_since: float | None = None
        """When (`time.monotonic`) the gateway stopped answering; None: it answers."""
        self.http = httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=CALL_SECONDS,
            transport=transport,
            # Proxies are for other machines.
            trust_env=httpx.URL(self.url).host not in ("localhost", "127.0.0.1", "::1"),
        )

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        patience: float,
        params: dict[str, Any] | None = None,
        key: str | None = None,
    ) -> httpx.Response:
        """Make a call, and retry it for `patience` seconds. `key`: the idempotency key, the same for every attempt."""
        headers = {"Idempotency-Key": f'"{key}"'} if key else {}
        request = partial(self.http.build_request, method, path, json=body, params=params, headers=headers)
        return await self._answer(request, patience)

    async def upload(self, path: str, file: Path, content_type: str, *, patience: float) -> httpx.Response:
        """Send a file as the body of a POST, and retry that for `patience` seconds. Raises `OSError`."""
        headers = {"Content-Type": content_type, "Content-Length": str((await anyio.Path(file).stat()).st_size)}
        return await self._answer(
            lambda: self.http.build_request("POST", path, content=_chunks(file), headers=headers), patience
        )

    async def _answer(self, request: Callable[[], httpx.Request], patience: float) -> httpx.Response:
        retries = Retries(patience)
        while True:
            try:
                answer = await self._attempt(request())
            except Interrupted as error:
                await retries.wait(error, self.url)
            else:
                if answer.is_error:
                    raise refused(answer)
                return answer

    async def _attempt(self, request: httpx.Request) -> httpx.Response:
        try:
            answer = await self.http.send(request)
        except httpx.TransportError as error:
            self.silent_since = self.silent_since or time.monotonic()
            raise Interrupted.by(error) from error
        self.silent_since = None
        raise_if_busy(answer)
        return answer

    async def events(
        self, video_id: str, last_seq: int | None, *, patience: float, has_ended: Callable[[], Any]
    ) -> AsyncGenerator[VideoEvent, None]:
        """Yield the events of a video after `last_seq`, each once and in order, over as many streams as it takes.

        `has_ended` is awaited when a stream ends: whether no more events follow.
        """
        retries = Retries(patience)
        while True:
            headers = {} if last_seq is None else {"Last-Event-ID": str(last_seq)}
            try:
                async with contextlib.aclosing(self._stream(video_id, headers)) as stream:
                    async for event in stream:
                        retries.reset()
                        if event.seq is not None:
                            if last_seq is not None and event.seq <= last_seq:
                                continue
                            last_seq = event.seq
                        yield event
                retries.reset()
                if await has_ended():
                    return
            except Interrupted as error:
                await retries.wait(error, self.url)
            else:
                await asyncio.sleep(FIRST_DELAY)

    async def _stream(self, video_id: str, headers: dict[str, str]) -> AsyncGenerator[VideoEvent, None]:
        """Yield the events of one stream. Raises `Interrupted` when its connection breaks."""
        timeout = httpx.Timeout(CALL_SECONDS, read=SILENCE_SECONDS)
        try:
            async with aconnect_sse(
                self.http, "GET", f"{video_path(video_id)}/events", headers=headers, timeout=timeout
            ) as source:
                answer = source.response
                self.silent_since = None
                if answer.status_code == httpx.codes.NO_CONTENT:
                    return
                await _raise_for_status(answer)
                async with contextlib.aclosing(source.aiter_sse()) as stream:
                    async for message in stream:
                        # Keep-alive messages have no data.
                        if not message.data:
                            continue
                        # Not `message.id`: ephemeral events have none, and there the parser repeats the last one.
                        data = sanitized(json.loads(message.data))
                        yield VideoEvent(data.get("seq"), message.event, data)
        except httpx.TransportError as error:
            self.silent_since = self.silent_since or time.monotonic()
            raise Interrupted.by(error) from error

    async def download(self, path: str, target: Path, *, patience: float, on_bytes: OnBytes) -> None:
        """Download to `target`, which appears only once it is complete."""
        part = target.with_name(f"{target.name}.part")
        await anyio.Path(target.parent).mkdir(parents=True, exist_ok=True)
        retries = Retries(patience)
        try:
            while True:
                try:
                    await self._fetch(path, part, on_bytes)
                    break
                except Interrupted as error:
                    await retries.wait(error, self.url)
            await anyio.Path(part).replace(target)
        finally:
            await anyio.Path(part).unlink(missing_ok=True)

    async def _fetch(self, path: str, part: Path, on_bytes: OnBytes) -> None:
        try:
            # The gateway redirects to the storage; httpx does not send the key to another host.
            async with self.http.stream("GET", path, follow_redirects=True) as answer:
                await _raise_for_status(answer)
                size = int(answer.headers["content-length"]) if "content-length" in answer.headers else None
                done = 0
                async with await anyio.open_file(part, "wb") as file:
                    async for chunk in answer.aiter_bytes():
                        await file.write(chunk)
                        done += len(chunk)
                        on_bytes(done, size)
        except httpx.TransportError as error:
            raise Interrupted.by(error) from error


async def _chunks(file: Path) -> AsyncGenerator[bytes, None]:
    async with await anyio.open_file(file, "rb") as opened:
        while chunk := await opened.read(CHUNK):
            yield chunk


async def _raise_for_status(answer: httpx.Response) -> None:
    if answer.is_error:
        await answer.aread()
    raise_if_busy(answer)
    if answer.is_error:
        raise refused(answer)


def video_path(video_id: str) -> str:
    """Return the path of a video."""
    return f"/api/v1/videos/{quote(video_id, safe='')}"


def json_object(answer: httpx.Response) -> dict[str, Any]:
    """Return the JSON object of an answer.

    Raises:
        Refused: the answer is something else; it is not Multishot that answers.
    """
    try:
        body = sanitized(answer.json())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused(
            answer.status_code, {"title": "Not Multishot", "detail": f"{answer.url} does not answer with JSON."}
        )
    return body


def as_video(answer: httpx.Response) -> Video:
    """Return the video of an answer."""
    return json_object(answer)  # type: ignore[return-value]  # the gateway guarantees its fields
