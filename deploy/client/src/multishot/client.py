"""The client itself: each call of the API as a method."""

import asyncio
import contextlib
import json
import random
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import anyio
import httpx
from httpx_sse import aconnect_sse

from multishot.errors import NotReachable, Refused, refused
from multishot.sanitized import sanitized
from multishot.settings import DEFAULT_URL
from multishot.videos import Video, VideoEvent, file_name, has_ended

CALL_SECONDS = 30.0
QUIET_SECONDS = 45.0
"""The stream of events says something every 15 s; one that says nothing for so long is dead."""
PATIENCE_SECONDS = 3.0
WATCH_PATIENCE_SECONDS = 300.0
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 10.0
LOOK_SECONDS = 10.0
"""While events come, how often to look all the same: an ETA changes without any."""
POLL_SECONDS = 1.0
LEAST_SECONDS = 0.4
"""Between two looks."""
PAGE = 100
BUSY = (429, 503)
NOBODY_BEHIND = (502, 504)
"""What a proxy says; from Multishot itself it is a no."""

Storyboard = dict[str, Any]
"""A storyboard, as JSON: `storyboard(...)` gives one, `make` and `approve` take one."""


class Multishot:
    """Multishot's API at `url`, with an API key where the gateway asks for one. Close it, or use it as a context.

    Every call that breaks off is made again for `patience` seconds: no call does anything twice.

    Raises, from each method:
        Refused: the gateway says no.
        NotReachable: it does not answer, or says that it cannot at the moment.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        key: str | None = None,
        *,
        patience: float = PATIENCE_SECONDS,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if key and not (key.isascii() and key.isprintable()):
            raise Refused(401, {"title": "Not signed in", "detail": "The key holds characters that no key has."})
        self.url = url.rstrip("/")
        self.patience = patience
        self.silent_since: float | None = None
        """Since when (`time.monotonic`) nobody has answered; None: somebody did."""
        self.http = httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=CALL_SECONDS,
            transport=transport,
            # A proxy is for other machines.
            trust_env=httpx.URL(self.url).host not in ("localhost", "127.0.0.1", "::1"),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Give the connections back."""
        await self.http.aclose()

    # --- ask for something

    async def make(
        self,
        prompt: str | None = None,
        *,
        scenes: int | None = None,
        duration: int | None = None,
        aspect: str | None = None,
        niche: str | None = None,
        review: bool = False,
        storyboard: Storyboard | None = None,
        metadata: Mapping[str, Any] | None = None,
        post_id: str | None = None,
        video_id: uuid.UUID | None = None,
    ) -> Video:
        """Ask for a video, of a prompt or of a storyboard. It is accepted, and made in the background.

        The gateway has its own values for what is not given. `video_id`: an id of your own. Asking again with the same
        one, be it after a crash, makes no second video.
        """
        own = str(video_id or uuid.uuid4())
        wish = _wish(prompt, scenes, duration, aspect, niche) | {
            "videoId": own,
            "storyboard": storyboard,
            "metadata": metadata,
            "postId": post_id,
            "review": review or None,
        }
        return await self._video("POST", "/api/v1/videos", _given(wish), key=own)

    async def estimate(
        self,
        prompt: str,
        *,
        scenes: int | None = None,
        duration: int | None = None,
        storyboard: Storyboard | None = None,
    ) -> dict[str, Any]:
        """What a video would cost: `estimateUsd`, and what is left of the budgets. Nothing is made."""
        wish = _wish(prompt, scenes, duration, None, None) | {"storyboard": storyboard}
        return _object(await self._call("POST", "/api/v1/estimates", _given(wish)))

    async def storyboard(
        self,
        prompt: str,
        *,
        scenes: int | None = None,
        duration: int | None = None,
        aspect: str | None = None,
        niche: str | None = None,
    ) -> Storyboard:
        """Have a storyboard written, and wait for it. Nothing is rendered."""
        own = str(uuid.uuid4())
        wish = _wish(prompt, scenes, duration, aspect, niche) | {"storyboardId": own}
        answer = await self._call("POST", "/api/v1/storyboards", _given(wish), key=own)
        while answer.status_code == httpx.codes.ACCEPTED:
            await asyncio.sleep(_retry_after(answer) or POLL_SECONDS)
            answer = await self._call("GET", f"/api/v1/storyboards/{own}")
        return _object(answer)

    async def storyboard_of(self, video_id: str) -> Storyboard:
        """The storyboard of a video, as it can be edited and sent back."""
        return _object(await self._call("GET", f"{_path(video_id)}/storyboard"))

    async def approve(self, video_id: str, storyboard: Storyboard | None = None) -> Video:
        """Let a video that awaits its review go on, with an edited storyboard where there is one."""
        body = {"storyboard": storyboard} if storyboard else {}
        return await self._video("POST", f"{_path(video_id)}/approve", body, key=str(uuid.uuid4()))

    async def cancel(self, video_id: str) -> Video:
        """Cancel a video. Cancelling it again changes nothing."""
        return await self._video("POST", f"{_path(video_id)}/cancel", {})

    # --- look

    async def get(self, video_id: str) -> Video:
        """Look at a video."""
        return await self._video("GET", _path(video_id))

    async def list(self, *, status: str | None = None, limit: int = 20) -> Sequence[Video]:
        """The newest videos, at most `limit`, newest first."""
        found: list[Video] = []
        after: str | None = None
        while len(found) < limit:
            asked = {"limit": min(limit - len(found), PAGE), "status": status, "after": after}
            page = _object(await self._call("GET", "/api/v1/videos", params=_given(asked)))
            found += page["videos"]
            after = page.get("nextCursor")
            if after is None:
                break
        return found

    async def watch(self, video_id: str, *, patience: float = WATCH_PATIENCE_SECONDS) -> AsyncGenerator[Video, None]:
        """A video as it is now, and again after every change, until it has ended; it pauses while a person reviews it.

        A connection that breaks is made again; `patience`: for how many seconds the gateway may not answer.
        """
        video = await self.get(video_id)
        yield video
        news = asyncio.Event()
        listening = asyncio.create_task(self._listen(video_id, video["lastSeq"], news, patience))
        try:
            while not has_ended(video):
                # Without events, we look.
                pause = POLL_SECONDS if listening.done() else LOOK_SECONDS
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await news.wait()
                news.clear()
                before, video = video, _as_video(await self._call("GET", _path(video_id), patience=patience))
                if video != before:
                    yield video
                await asyncio.sleep(LEAST_SECONDS)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self, video_id: str, last_seq: int, news: asyncio.Event, patience: float) -> None:
        """Say that there is news; return, or fail, where no more is going to come by this way."""
        try:
            async with contextlib.aclosing(self.events(video_id, last_seq, patience=patience)) as events:
                async for _ in events:
                    news.set()
        finally:
            news.set()

    async def events(
        self, video_id: str, last_seq: int | None = None, *, patience: float = WATCH_PATIENCE_SECONDS
    ) -> AsyncGenerator[VideoEvent, None]:
        """What happens to a video: what came after `last_seq`, or the latest, then each event once and in order.

        It ends with the video.
        """
        pauses = _Pauses(patience)
        while True:
            asked = {} if last_seq is None else {"Last-Event-ID": str(last_seq)}
            try:
                async with contextlib.aclosing(self._stream(video_id, asked)) as stream:
                    async for event in stream:
                        pauses.begin_anew()
                        if event.seq is not None:
                            if last_seq is not None and event.seq <= last_seq:
                                continue
                            last_seq = event.seq
                        yield event
                pauses.begin_anew()
                if has_ended(await self.get(video_id)):
                    return
            except _Interrupted as error:
                if not await pauses.one_more(error.retry_after):
                    raise error.final(self.url) from error
            else:
                await asyncio.sleep(FIRST_PAUSE)

    async def _stream(self, video_id: str, headers: dict[str, str]) -> AsyncGenerator[VideoEvent, None]:
        """One connection; `_Interrupted` where it breaks."""
        timeout = httpx.Timeout(CALL_SECONDS, read=QUIET_SECONDS)
        try:
            async with aconnect_sse(
                self.http, "GET", f"{_path(video_id)}/events", headers=headers, timeout=timeout
            ) as source:
                answer = source.response
                self.silent_since = None
                if answer.status_code == httpx.codes.NO_CONTENT:
                    return
                if answer.is_error:
                    await answer.aread()
                _raise_if_busy(answer)
                if answer.is_error:
                    raise refused(answer)
                async with contextlib.aclosing(source.aiter_sse()) as stream:
                    async for sent in stream:
                        # What keeps the connection alive has no data.
                        if not sent.data:
                            continue
                        # Not `sent.id`: it goes on counting for hints, which have none.
                        data = sanitized(json.loads(sent.data))
                        yield VideoEvent(data.get("seq"), sent.event, data)
        except httpx.TransportError as error:
            self.silent_since = self.silent_since or time.monotonic()
            raise _Interrupted(_said(error)) from error

    # --- take it home

    async def download(
        self, video: Video, folder: Path, told: Callable[[int, int | None], None] = lambda _done, _size: None
    ) -> Path:
        """Fetch the film of a video into a folder, and return its file. It has its name only once it is whole.

        `told` hears how many bytes are there, and of how many where that is known.
        """
        target = folder / file_name(video)
        part = target.with_suffix(".mp4.part")
        await anyio.Path(folder).mkdir(parents=True, exist_ok=True)
        pauses = _Pauses(self.patience)
        try:
            while True:
                try:
                    await self._fetch(f"{_path(video['videoId'])}/content", part, told)
                    break
                except _Interrupted as error:
                    if not await pauses.one_more(error.retry_after):
                        raise error.final(self.url) from error
            await anyio.Path(part).replace(target)
        finally:
            await anyio.Path(part).unlink(missing_ok=True)
        return target

    async def _fetch(self, path: str, part: Path, told: Callable[[int, int | None], None]) -> None:
        try:
            # The link leads on to wherever the film is stored; the key does not go along to another host.
            async with self.http.stream("GET", path, follow_redirects=True) as answer:
                if answer.is_error:
                    await answer.aread()
                _raise_if_busy(answer)
                if answer.is_error:
                    raise refused(answer)
                size = int(answer.headers["content-length"]) if "content-length" in answer.headers else None
                done = 0
                async with await anyio.open_file(part, "wb") as file:
                    async for chunk in answer.aiter_bytes():
                        await file.write(chunk)
                        done += len(chunk)
                        told(done, size)
        except httpx.TransportError as error:
            raise _Interrupted(_said(error)) from error

    # --- how a call is made

    async def _video(self, method: str, path: str, body: object = None, key: str | None = None) -> Video:
        return _as_video(await self._call(method, path, body, key=key))

    async def _call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        params: dict[str, Any] | None = None,
        key: str | None = None,
        patience: float | None = None,
    ) -> httpx.Response:
        """One call, made again where it broke off. The key tells the gateway that it is the same one."""
        headers = {"Idempotency-Key": f'"{key}"'} if key else {}
        pauses = _Pauses(self.patience if patience is None else patience)
        while True:
            try:
                answer = await self._once(method, path, body, params, headers)
            except _Interrupted as error:
                if not await pauses.one_more(error.retry_after):
                    raise error.final(self.url) from error
            else:
                if answer.is_error:
                    raise refused(answer)
                return answer

    async def _once(
        self, method: str, path: str, body: object, params: dict[str, Any] | None, headers: dict[str, str]
    ) -> httpx.Response:
        try:
            answer = await self.http.request(method, path, json=body, params=params, headers=headers)
        except httpx.TransportError as error:
            self.silent_since = self.silent_since or time.monotonic()
            raise _Interrupted(_said(error)) from error
        self.silent_since = None
        _raise_if_busy(answer)
        return answer


class _Interrupted(Exception):
    """A call had no answer, or one that says to come again."""

    def __init__(self, reason: str, answer: httpx.Response | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.answer = answer

    @property
    def retry_after(self) -> float | None:
        """When to come again, if it was said."""
        return None if self.answer is None else _retry_after(self.answer)

    def final(self, url: str) -> Exception:
        """What it is where nobody tries again."""
        is_no = self.answer is not None and self.answer.is_client_error
        return refused(self.answer) if is_no and self.answer else NotReachable(url, self.reason)


class _Pauses:
    """The pauses between tries: longer each time, at random, until they come to `patience` seconds."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.begin_anew()

    def begin_anew(self) -> None:
        """It has worked: the next trouble is a new one."""
        self.next = FIRST_PAUSE
        self.since: float | None = None

    async def one_more(self, at_least: float | None) -> bool:
        """Pause before one more try; False: the patience is over."""
        clock = time.monotonic()
        self.since = clock if self.since is None else self.since
        pause = max(self.next * random.uniform(0.75, 1.25), at_least or 0.0)  # noqa: S311 - so that tries spread
        if clock + pause > self.since + self.patience:
            return False
        self.next = min(2 * self.next, LONGEST_PAUSE)
        await asyncio.sleep(pause)
        return True


def _raise_if_busy(answer: httpx.Response) -> None:
    """Raise `_Interrupted` where the answer says to come again."""
    if answer.is_success:
        return
    no = refused(answer)
    nobody = answer.status_code in NOBODY_BEHIND and not no.kind
    if nobody or answer.status_code in BUSY or no.kind == "still-running":
        raise _Interrupted(f"{no.title} ({answer.status_code})", answer)


def _retry_after(answer: httpx.Response) -> float | None:
    said = answer.headers.get("retry-after", "")
    return float(said) if said.isdigit() else None


def _said(error: httpx.TransportError) -> str:
    return str(error) or type(error).__name__


def _path(video_id: str) -> str:
    return f"/api/v1/videos/{quote(video_id, safe='')}"


def _wish(
    prompt: str | None, scenes: int | None, duration: int | None, aspect: str | None, niche: str | None
) -> dict[str, Any]:
    return {"prompt": prompt, "sceneCount": scenes, "duration": duration, "aspectRatio": aspect, "niche": niche}


def _given(wish: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in wish.items() if value is not None}


def _object(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer; something else is no answer of Multishot."""
    try:
        body = sanitized(answer.json())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refused(answer.status_code, {"title": "Not Multishot", "detail": f"{answer.url} answers no JSON object."})
    return body


def _as_video(answer: httpx.Response) -> Video:
    return _object(answer)  # type: ignore[return-value]  # its form is the gateway's promise
