"""The client: one method for each call of the API."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Self

import httpx

from multishot.connection import Connection, OnBytes, as_video, json_object, video_path
from multishot.retries import retry_after
from multishot.settings import DEFAULT_URL
from multishot.videos import Video, VideoEvent, file_name, has_ended

PATIENCE_SECONDS = 3.0
WATCH_PATIENCE_SECONDS = 300.0
REFRESH_SECONDS = 10.0
"""How often `watch` reads the video while events arrive: its ETA changes without events."""
POLL_SECONDS = 1.0
SHORTEST_PAUSE_SECONDS = 0.4
"""Between two reads."""
PAGE = 100

TYPES = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".mp4": "video/mp4",
}
"""The files that can be uploaded, by suffix."""

Storyboard = dict[str, Any]
"""A storyboard as JSON: `storyboard(...)` returns one, `make` and `approve` take one."""


class Multishot:
    """Multishot's API at `url`. `key` is an API key, if the gateway asks for one. Close it, or use it as a context.

    Every interrupted call is retried for `patience` seconds; no call takes effect twice.

    Raises, from each method:
        Refused: the gateway refuses the call.
        NotReachable: the gateway does not answer, or cannot at the moment.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        key: str | None = None,
        *,
        patience: float = PATIENCE_SECONDS,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.connection = Connection(url, key, transport)
        self.url = self.connection.url
        self.patience = patience

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self.connection.http.aclose()

    @property
    def silent_since(self) -> float | None:
        """When (`time.monotonic`) the gateway stopped answering; None: it answers."""
        return self.connection.silent_since

    # --- request

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
        quality: str | None = None,
        references: Mapping[str, str] | None = None,
        clip_sound: str | None = None,
    ) -> Video:
        """Request a video from a prompt or a storyboard. The call returns at once; the video is made in the background.

        The gateway has defaults for everything else. `video_id`: an id of your own; repeating the call with it,
        even after a crash, makes no second video. `quality`: `draft`, `standard` or `premium`. `references`: uploads
        (see `upload`) by the names of the people, places or things that they show. `clip_sound`: `keep`, `lower` or
        `drop`.
        """
        own_id = str(video_id or uuid.uuid4())
        body = _request(prompt, scenes, duration, aspect, niche) | {
            "videoId": own_id,
            "storyboard": storyboard,
            "metadata": metadata,
            "postId": post_id,
            "review": review or None,
            "quality": quality,
            "references": [{"name": name, "image": image} for name, image in (references or {}).items()] or None,
            "clipSound": clip_sound,
        }
        return as_video(await self._call("POST", "/api/v1/videos", _without_none(body), key=own_id))

    async def upload(self, file: Path) -> str:
        """Upload a picture (JPEG, PNG, WebP) or a clip (MP4), and return its id for `references` and storyboards.

        A picture is stored without its metadata.
        """
        content_type = TYPES.get(file.suffix.lower(), "application/octet-stream")
        answer = await self.connection.upload("/api/v1/uploads", file, content_type, patience=self.patience)
        return str(json_object(answer)["uploadId"])

    async def estimate(
        self,
        prompt: str,
        *,
        scenes: int | None = None,
        duration: int | None = None,
        storyboard: Storyboard | None = None,
        quality: str | None = None,
    ) -> dict[str, Any]:
        """Return what a video would cost (`estimateUsd`; in each tier: `tiers`), and what is left of the budgets."""
        body = _request(prompt, scenes, duration, None, None) | {"storyboard": storyboard, "quality": quality}
        return json_object(await self._call("POST", "/api/v1/estimates", _without_none(body)))

    async def storyboard(
        self,
        prompt: str,
        *,
        scenes: int | None = None,
        duration: int | None = None,
        aspect: str | None = None,
        niche: str | None = None,
    ) -> Storyboard:
        """Request a storyboard and wait for it, without rendering anything."""
        own_id = str(uuid.uuid4())
        body = _request(prompt, scenes, duration, aspect, niche) | {"storyboardId": own_id}
        answer = await self._call("POST", "/api/v1/storyboards", _without_none(body), key=own_id)
        while answer.status_code == httpx.codes.ACCEPTED:
            await asyncio.sleep(retry_after(answer) or POLL_SECONDS)
            answer = await self._call("GET", f"/api/v1/storyboards/{own_id}")
        return json_object(answer)

    async def storyboard_of(self, video_id: str) -> Storyboard:
        """Return the storyboard of a video in the form that `make` and `approve` take."""
        return json_object(await self._call("GET", f"{video_path(video_id)}/storyboard"))

    async def approve(self, video_id: str, storyboard: Storyboard | None = None) -> Video:
        """Continue a video that awaits its review, with an edited storyboard if one is given."""
        body = {"storyboard": storyboard} if storyboard else {}
        path = f"{video_path(video_id)}/approve"
        return as_video(await self._call("POST", path, body, key=str(uuid.uuid4())))

    async def approve_frames(self, video_id: str) -> Video:
        """Continue a video whose first frames await their review: its clips are ordered."""
        path = f"{video_path(video_id)}/frames/approve"
        return as_video(await self._call("POST", path, {}, key=str(uuid.uuid4())))

    async def reject_frame(
        self, video_id: str, scene_number: int, *, description: str | None = None, image: str | None = None
    ) -> Video:
        """Have the first frame of a scene made again from a description, or replaced by an upload."""
        body = _without_none({"description": description, "image": image})
        path = f"{video_path(video_id)}/scenes/{scene_number}/frame"
        return as_video(await self._call("POST", path, body, key=str(uuid.uuid4())))

    async def cancel(self, video_id: str) -> Video:
        """Cancel a video. Cancelling it again changes nothing."""
        return as_video(await self._call("POST", f"{video_path(video_id)}/cancel", {}))

    # --- read

    async def get(self, video_id: str) -> Video:
        """Return a video."""
        return as_video(await self._call("GET", video_path(video_id)))

    async def list(self, *, status: str | None = None, limit: int = 20) -> Sequence[Video]:
        """Return the newest videos, at most `limit`, newest first."""
        found: list[Video] = []
        after: str | None = None
        while len(found) < limit:
            params = {"limit": min(limit - len(found), PAGE), "status": status, "after": after}
            page = json_object(await self._call("GET", "/api/v1/videos", params=_without_none(params)))
            found += page["videos"]
            after = page.get("nextCursor")
            if after is None:
                break
        return found

    async def statistics(self, *, since: date | None = None) -> dict[str, Any]:
        """Return how well it goes since a day (default: 30 days ago): success, time, cost and rating."""
        params = _without_none({"from": since.isoformat() if since else None})
        return json_object(await self._call("GET", "/api/v1/statistics", params=params))

    async def watch(self, video_id: str, *, patience: float = WATCH_PATIENCE_SECONDS) -> AsyncGenerator[Video, None]:
        """Yield a video now, and again after every change until it ends. A video that awaits review waits too.

        Broken connections are made again. `patience`: for how many seconds the gateway may not answer.
        """
        video = await self.get(video_id)
        yield video
        changed = asyncio.Event()
        listening = asyncio.create_task(self._listen(video_id, video["lastSeq"], changed, patience))
        try:
            while not has_ended(video):
                # Without a stream of events, poll.
                pause = POLL_SECONDS if listening.done() else REFRESH_SECONDS
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await changed.wait()
                changed.clear()
                before, video = video, as_video(await self._call("GET", video_path(video_id), patience=patience))
                if video != before:
                    yield video
                await asyncio.sleep(SHORTEST_PAUSE_SECONDS)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self, video_id: str, last_seq: int, changed: asyncio.Event, patience: float) -> None:
        """Set `changed` for each event, and when no more will arrive."""
        try:
            async with contextlib.aclosing(self.events(video_id, last_seq, patience=patience)) as events:
                async for _ in events:
                    changed.set()
        finally:
            changed.set()

    async def events(
        self, video_id: str, last_seq: int | None = None, *, patience: float = WATCH_PATIENCE_SECONDS
    ) -> AsyncGenerator[VideoEvent, None]:
        """Yield the events of a video, each once and in order, until it ends.

        They start after `last_seq`; without it, with the latest. `patience`: as of `watch`.
        """

        async def ended() -> bool:
            return has_ended(await self.get(video_id))

        stream = self.connection.events(video_id, last_seq, patience=patience, has_ended=ended)
        async with contextlib.aclosing(stream) as events:
            async for event in events:
                yield event

    async def download(self, video: Video, folder: Path, on_bytes: OnBytes = lambda _done, _size: None) -> Path:
        """Download the film of a video into a folder and return its file, which appears only once it is complete.

        `on_bytes` is called with the bytes received so far and the total, if that is known.
        """
        target = folder / file_name(video)
        path = f"{video_path(video['videoId'])}/content"
        await self.connection.download(path, target, patience=self.patience, on_bytes=on_bytes)
        return target

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
        patience = self.patience if patience is None else patience
        return await self.connection.call(method, path, body, patience=patience, params=params, key=key)


def _request(
    prompt: str | None, scenes: int | None, duration: int | None, aspect: str | None, niche: str | None
) -> dict[str, Any]:
    return {"prompt": prompt, "sceneCount": scenes, "duration": duration, "aspectRatio": aspect, "niche": niche}


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
