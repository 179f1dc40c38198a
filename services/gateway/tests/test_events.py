"""Server-sent events: all of them, once, in order, resumable, until the end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import pytest

from gateway.app import Gateway
from gateway.internal_messages import LiveEvent
from gateway.live import sse_routes as sse
from shared.contracts.events import SceneFailed, VideoCancelled, VideoComposing, VideoFailed, VideoResumed

VIDEOS = "/api/v1/videos"


@dataclass(frozen=True)
class Heard:
    id: int | None
    event: str
    data: str


async def frames(answer: httpx.Response) -> AsyncIterator[Heard | str]:
    """Yield the events of a stream, and its comments as text."""
    lines: list[str] = []
    async for line in answer.aiter_lines():
        if line:
            lines.append(line)
            continue
        said = dict(one.split(": ", 1) for one in lines if not one.startswith(":"))
        if "event" in said:
            yield Heard(int(said["id"]) if "id" in said else None, said["event"], said["data"])
        elif lines[0].startswith(":"):
            yield lines[0]
        lines = []


async def hear(api: httpx.AsyncClient, link: str, **options: Any) -> list[tuple[int | None, str]]:
    """Follow a video to the end of the stream."""
    async with api.stream("GET", link, **options) as answer:
        assert answer.status_code == 200
        return [(one.id, one.event) async for one in frames(answer) if isinstance(one, Heard)]


@pytest.fixture
async def video(served: httpx.AsyncClient) -> dict[str, Any]:
    made: dict[str, Any] = (await served.post(VIDEOS, json={"prompt": "a fox", "sceneCount": 2})).json()
    return made


ALL = [
    (1, "video_generation_started"),
    (2, "video_storyboard_created"),
    (3, "video_scene_completed"),
    (4, "video_scene_completed"),
    (5, "video_completed"),
]


async def test_a_stream_has_every_event_and_ends_with_the_film(
    served: httpx.AsyncClient, gateway: Gateway, video: Any, happen: Any, film_of: Any
) -> None:
    events = await film_of(video["videoId"])
    async with served.stream("GET", video["links"]["events"]) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        assert answer.headers["cache-control"] == "no-store"
        heard = frames(answer)
        first = await anext(heard)
        assert isinstance(first, Heard)
        for event in events:
            await happen(event)
        rest = [one async for one in heard]
    assert [(one.id, one.event) for one in (first, *rest) if isinstance(one, Heard)] == ALL
    assert f'"videoId": "{video["videoId"]}"' in first.data


async def test_a_reconnecting_client_gets_exactly_what_is_missing(
    served: httpx.AsyncClient, video: Any, happen: Any, film_of: Any
) -> None:
    await happen(*await film_of(video["videoId"]))
    link = video["links"]["events"]
    for last in range(6):
        for options in ({"headers": {"Last-Event-ID": str(last)}}, {"params": {"lastEventId": last}}):
            if last == 5:
                # What a browser needs to be told, or it comes again for ever.
                assert (await served.get(link, **options)).status_code == 204
            else:
                assert await hear(served, link, **options) == ALL[last:]
    # A browser that comes back has the address it began with, and a header that is newer.
    both = {"params": {"lastEventId": 0}, "headers": {"Last-Event-ID": "4"}}
    assert await hear(served, link, **both) == ALL[4:]
    assert await hear(served, link) == ALL[4:]


async def test_a_hundred_disconnects_lose_and_repeat_nothing(
    served: httpx.AsyncClient, video: Any, happen: Any
) -> None:
    async def go_on() -> None:
        for n in range(50):
            await happen(VideoFailed(video_id=video["videoId"], stage="composer", kind="k", reason="r", epoch=n))
            await happen(VideoResumed(video_id=video["videoId"], epoch=n + 1))
        await happen(VideoCancelled(video_id=video["videoId"], by="t", reason="r"))

    seen: list[int] = []
    going_on = asyncio.create_task(go_on())
    while not seen or seen[-1] < 102:
        headers = {"Last-Event-ID": str(seen[-1] if seen else 0)}
        async with served.stream("GET", video["links"]["events"], headers=headers) as answer:
            if answer.status_code == 204:
                await asyncio.sleep(0.01)
                continue
            async with contextlib.aclosing(frames(answer)) as heard:
                async for one in heard:
                    assert isinstance(one, Heard)
                    seen.append(one.id or 0)
                    if len(seen) % 3 == 0:
                        break
    await going_on
    assert seen == list(range(1, 103))


async def test_a_failure_ends_the_stream_and_a_resumed_video_can_be_followed(
    served: httpx.AsyncClient, video: Any, happen: Any
) -> None:
    link, own = video["links"]["events"], {"video_id": video["videoId"]}
    await happen(VideoFailed(**own, stage="composer", kind="k", reason="r"))
    assert await hear(served, link) == [(2, "video_failed")]
    assert (await served.get(link, headers={"Last-Event-ID": "2"})).status_code == 204
    await happen(VideoResumed(**own))
    async with served.stream("GET", link, headers={"Last-Event-ID": "1"}) as answer:
        heard = frames(answer)
        early = [await anext(heard), await anext(heard)]
        await happen(VideoCancelled(**own, by="t", reason="r"))
        rest = [one async for one in heard]
    assert [one.event for one in (*early, *rest) if isinstance(one, Heard)] == [
        "video_failed",
        "video_generation_started",
        "video_cancelled",
    ]


async def test_the_stream_includes_events_after_the_failure(served: httpx.AsyncClient, video: Any, happen: Any) -> None:
    link, own = video["links"]["events"], {"video_id": video["videoId"]}
    await happen(
        VideoFailed(**own, stage="scene-render", kind="k", reason="scene 1 failed"),
        SceneFailed(**own, scene_number=2, kind="k", reason="so did this one", cost_usd="0"),
    )
    assert await hear(served, link, params={"lastEventId": 0}) == [
        *ALL[:1],
        (2, "video_failed"),
        (3, "video_scene_failed"),
    ]


async def test_a_progress_hint_has_no_id(served: httpx.AsyncClient, gateway: Gateway, video: Any, happen: Any) -> None:
    video_id = UUID(video["videoId"])
    [started] = await gateway.event_log.events_after(video_id, 0)
    await gateway.event_stream.publish(video_id, "anonymous", started)
    async with served.stream("GET", video["links"]["events"]) as answer:
        heard = frames(answer)
        await anext(heard)
        hint = LiveEvent(seq=None, after=1, type="video_scene_processing", data={"progress": 30.5})
        await gateway.event_stream.publish(video_id, "anonymous", hint)
        assert await anext(heard) == Heard(None, "video_scene_processing", '{"progress": 30.5}')


async def test_an_idle_stream_is_kept_alive(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, served_soon: Callable[[], Any]
) -> None:
    assert sse.KEEP_ALIVE_SECONDS == 15
    monkeypatch.setattr(sse, "KEEP_ALIVE_SECONDS", 0.05)
    async with served_soon() as api:
        video = (await api.post(VIDEOS, json={"prompt": "a fox"})).json()
        async with api.stream("GET", video["links"]["events"]) as answer:
            heard = frames(answer)
            while await anext(heard) == ": ping":
                pass  # such a short pace may also be over before what has happened is read
            assert [await anext(heard), await anext(heard)] == [": ping", ": ping"]


@pytest.mark.long
async def test_a_stream_is_kept_alive_at_its_real_pace(served: httpx.AsyncClient, video: Any) -> None:
    async with asyncio.timeout(20), served.stream("GET", video["links"]["events"]) as answer:
        heard = frames(answer)
        await anext(heard)
        assert await anext(heard) == ": ping"


async def test_disconnected_clients_leave_nothing_behind(
    served: httpx.AsyncClient, gateway: Gateway, video: Any, happen: Any
) -> None:
    await served.get("/")
    before = asyncio.all_tasks()
    async with contextlib.AsyncExitStack() as watchers:
        streams = []
        for _ in range(20):
            answer = await watchers.enter_async_context(served.stream("GET", video["links"]["events"]))
            streams.append(frames(answer))
            await anext(streams[-1])
        assert len(gateway.event_stream.subscribers[UUID(video["videoId"])]) == 20
        assert len(asyncio.all_tasks()) > len(before)
    async with asyncio.timeout(5):
        while gateway.event_stream.subscribers or len(asyncio.all_tasks()) > len(before):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
    await happen(VideoComposing(video_id=video["videoId"]))  # and nobody is in the way


async def test_an_invalid_last_event_id_is_rejected(served: httpx.AsyncClient, video: Any) -> None:
    for last in ("x", "-1", "1.5", "99999999999", "1" * 5000):
        answer = await served.get(video["links"]["events"], headers={"Last-Event-ID": last})
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json"), last


async def test_a_last_event_id_from_the_future_counts_as_the_latest(
    served: httpx.AsyncClient, video: Any, happen: Any
) -> None:
    await happen(VideoCancelled(video_id=video["videoId"], by="t", reason="r"))
    assert (await served.get(video["links"]["events"], headers={"Last-Event-ID": "700"})).status_code == 204


async def test_a_missing_video_cannot_be_followed(served: httpx.AsyncClient) -> None:
    answer = await served.get(f"{VIDEOS}/{UUID(int=9)}/events")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
