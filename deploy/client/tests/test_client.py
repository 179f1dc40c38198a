"""The client library: no duplicate videos, no missed events, no partial files."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from multishot import Multishot, NotReachable, Refused, Video, VideoEvent, has_ended
from multishot import client as client_module
from multishot.videos import file_name

VIDEO = "11111111-1111-4111-8111-111111111111"


class Shaky(httpx.AsyncHTTPTransport):
    """A connection that loses the first answers, after the calls were made."""

    def __init__(self, losses: int) -> None:
        super().__init__()
        self.losses = losses
        self.keys: list[str | None] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        self.keys.append(request.headers.get("idempotency-key"))
        if self.losses:
            self.losses -= 1
            await answer.aclose()
            raise httpx.ReadError("the connection broke", request=request)
        return answer


async def test_a_film_is_requested_watched_and_downloaded(served: Any, tmp_path: Path) -> None:
    async with Multishot(served.url) as multishot:
        asked = await multishot.make("a fox", scenes=2, duration=30, aspect="9:16", niche="nature", post_id="p1")
        assert (asked["totalScenes"], asked["aspectRatio"], asked["niche"]) == (2, "9:16", "nature")
        assert [video["videoId"] for video in await multishot.list()] == [asked["videoId"]]
        steps: list[str] = []
        async for video in multishot.watch(asked["videoId"]):
            if not steps:
                await served.write(video["videoId"])
            elif steps[-1] != "scenes" and video["currentStep"] == "scenes":
                await served.render(video["videoId"], tmp_path)
            steps.append(video["currentStep"])
        assert (steps[0], steps[-1], has_ended(video)) == ("storyboard", "completed", True)
        progress: list[tuple[int, int | None]] = []
        file = await multishot.download(video, tmp_path / "films", lambda done, size: progress.append((done, size)))
        assert file.read_bytes() == served.film
        assert progress[-1] == (len(served.film), len(served.film))
        assert [path.name for path in (tmp_path / "films").iterdir()] == [file.name]


async def test_all_events_of_a_film_are_received(served: Any, tmp_path: Path) -> None:
    async with Multishot(served.url) as multishot:
        video_id = (await multishot.make("a fox", scenes=2, duration=30))["videoId"]
        heard: list[VideoEvent] = []
        async with asyncio.timeout(30):
            async for event in multishot.events(video_id, 0):
                if not heard:
                    await served.write(video_id)
                elif event.type == "video_storyboard_created":
                    await served.render(video_id, tmp_path)
                heard.append(event)
    kept = [one for one in heard if one.seq is not None]
    assert [one.seq for one in kept] == list(range(1, len(kept) + 1))
    assert [one.data["sceneNumber"] for one in kept if one.type == "video_scene_completed"] == [1, 2]
    assert (kept[0].type, kept[-1].type) == ("video_generation_started", "video_completed")


async def test_a_lost_response_creates_no_second_video(served: Any) -> None:
    shaky = Shaky(losses=2)
    async with Multishot(served.url, transport=shaky) as multishot:
        video = await multishot.make("a fox")
        assert [one["videoId"] for one in await multishot.list()] == [video["videoId"]]
    first, second, third, _ = shaky.keys
    assert first == second == third == f'"{video["videoId"]}"'


async def test_a_chosen_id_creates_one_video(served: Any) -> None:
    own = uuid4()
    async with Multishot(served.url) as multishot:
        for _ in range(2):
            assert (await multishot.make("a fox", video_id=own))["videoId"] == str(own)
        assert len(await multishot.list()) == 1


async def test_a_refusal_contains_its_details(served: Any) -> None:
    async with Multishot(served.url) as multishot:
        with pytest.raises(Refused) as refused:
            await multishot.make("a fox", scenes=9, duration=5)
        assert refused.value.status == 422
        assert {field.name for field in refused.value.fields} == {"sceneCount", "duration"}
        assert "sceneCount" in str(refused.value)
        with pytest.raises(Refused) as missing:
            await multishot.get(VIDEO)
        assert (missing.value.status, VIDEO in missing.value.detail) == (404, True)
        with pytest.raises(Refused):
            await anext(multishot.watch(VIDEO))


async def test_a_review_is_approved_and_a_video_cancelled(served: Any) -> None:
    async with Multishot(served.url) as multishot:
        video = await multishot.make("a fox", scenes=2, review=True)
        await served.write(video["videoId"], review=True)
        assert (await multishot.get(video["videoId"]))["awaitingReview"]
        board = await multishot.storyboard_of(video["videoId"])
        board["scenes"][0]["action"] = "A hen sleeps"
        assert not (await multishot.approve(video["videoId"], board))["awaitingReview"]
        assert (await multishot.cancel(video["videoId"]))["status"] == "cancelled"
        assert float((await multishot.estimate("a fox"))["estimateUsd"]) == 0


async def test_a_list_longer_than_a_page_is_read_page_by_page() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        after, limit = int(request.url.params.get("after", 0)), int(request.url.params["limit"])
        assert limit <= 100
        videos = [{"videoId": str(n)} for n in range(after, after + limit)]
        return httpx.Response(200, json={"videos": videos, "nextCursor": str(after + limit)})

    async with Multishot(transport=httpx.MockTransport(answer)) as multishot:
        assert [video["videoId"] for video in await multishot.list(limit=230)] == [str(n) for n in range(230)]


async def test_an_unreachable_gateway_is_reported() -> None:
    async with Multishot("http://127.0.0.1:1", patience=0.3) as multishot:
        with pytest.raises(NotReachable) as error:
            await multishot.list()
        assert "127.0.0.1:1" in str(error.value)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (503, {"title": "Unavailable"}, NotReachable),
        (504, None, NotReachable),
        (429, {"type": "/problems#too-many-calls", "title": "Too many calls"}, Refused),
        (409, {"type": "/problems#still-running", "title": "Still running"}, Refused),
    ],
)
async def test_a_busy_gateway_is_retried_after_its_retry_after(status: int, body: Any, error: type[Exception]) -> None:
    calls: list[int] = []

    def answer(_: httpx.Request) -> httpx.Response:
        calls.append(1)
        busy = httpx.Response(status, json=body) if body else httpx.Response(status, text="<html>gateway timeout")
        return busy if len(calls) < 3 else httpx.Response(200, json={"videoId": VIDEO})

    async with Multishot(transport=httpx.MockTransport(answer)) as multishot:
        assert (await multishot.get(VIDEO))["videoId"] == VIDEO
    calls.clear()
    async with Multishot(transport=httpx.MockTransport(answer), patience=0) as multishot:
        with pytest.raises(error):
            await multishot.get(VIDEO)


async def test_a_refusal_of_the_gateway_is_not_retried_at_any_status() -> None:
    calls: list[int] = []

    def answer(_: httpx.Request) -> httpx.Response:
        calls.append(1)
        return httpx.Response(502, json={"type": "/problems#storyboard-not-written", "title": "No storyboard"})

    async with Multishot(transport=httpx.MockTransport(answer)) as multishot:
        with pytest.raises(Refused) as refused:
            await multishot.storyboard("a fox")
    assert (refused.value.kind, len(calls)) == ("storyboard-not-written", 1)


async def test_a_server_that_is_not_a_gateway_is_reported() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, text="<html>hello"))
    async with Multishot(transport=transport) as multishot:
        with pytest.raises(Refused, match="Not Multishot"):
            await multishot.get(VIDEO)


# --- events, as they come and break off


class Stream:
    """Stands for the gateway's events: a log of them, and connections that break after each few."""

    def __init__(self, count: int, each: int, *, last: str = "video_completed") -> None:
        self.log = [("video_scene_processing", n) for n in range(1, count)] + [(last, count)]
        self.each = each
        self.asked: list[str | None] = []
        self.looks = 0
        self.refusals = 0
        self.ended = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/events"):
            self.looks += 1
            return httpx.Response(200, json=self.video())
        if self.refusals:
            self.refusals -= 1
            raise httpx.ConnectError("connection refused", request=request)
        asked = request.headers.get("last-event-id")
        self.asked.append(asked)
        begin = int(asked or 0)
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=self.send(begin))

    def video(self) -> dict[str, Any]:
        return {
            "videoId": VIDEO,
            "status": "processing",
            "isTerminal": self.ended,
            "lastSeq": 0,
            "currentStep": "scenes",
        }

    async def send(self, begin: int) -> AsyncIterator[bytes]:
        yield b"retry: 3000\n\n: ping\n\n"
        # Once more what is known, as may happen where a replica changes, and a hint, which is not numbered.
        for name, seq in self.log[max(begin - 1, 0) : begin + self.each]:
            yield f"id: {seq}\nevent: {name}\ndata: {json.dumps({'seq': seq})}\n\n".encode()
            yield b'event: video_scene_processing\ndata: {"seq": null, "progress": 50}\n\n: ping\n\n'
        if begin + self.each < len(self.log):
            raise httpx.ReadError("the connection broke")
        self.ended = True


@pytest.mark.parametrize("each", [1, 3, 100])
async def test_events_resume_after_a_disconnect_each_once_and_in_order(each: int) -> None:
    stream = Stream(count=8, each=each)
    stream.refusals = 1
    async with Multishot(transport=httpx.MockTransport(stream)) as multishot:
        heard = [event async for event in multishot.events(VIDEO, 0)]
    assert [one.seq for one in heard if one.seq is not None] == list(range(1, 9))
    assert [one.type for one in heard if one.seq is not None][-1] == "video_completed"
    assert any(one.seq is None for one in heard)
    assert stream.asked == [str(n) for n in range(0, 8, each)]


async def test_watching_an_ended_video_yields_no_more_events() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            return httpx.Response(204)
        return httpx.Response(200, json={"videoId": VIDEO, "status": "failed", "isTerminal": True})

    async with Multishot(transport=httpx.MockTransport(answer)) as multishot:
        assert [event async for event in multishot.events(VIDEO, 5)] == []


async def test_an_unreachable_gateway_times_out() -> None:
    stream = Stream(count=8, each=1)
    stream.refusals = 100
    async with Multishot(transport=httpx.MockTransport(stream)) as multishot:
        with pytest.raises(NotReachable):
            _ = [event async for event in multishot.events(VIDEO, 0, patience=0.5)]


async def watched(answer: Callable[[httpx.Request], httpx.Response]) -> list[Video]:
    async with Multishot(transport=httpx.MockTransport(answer)) as multishot:
        async with asyncio.timeout(20):
            return [video async for video in multishot.watch(VIDEO)]


def shown(progress: int, status: str = "processing") -> dict[str, Any]:
    terminal = status != "processing"
    return {"videoId": VIDEO, "status": status, "isTerminal": terminal, "progress": progress, "lastSeq": progress}


async def test_without_events_it_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(client_module, "SHORTEST_PAUSE_SECONDS", 0.0)
    looks = iter([shown(0), shown(0), shown(50), shown(100, "completed")])

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            return httpx.Response(404, json={"title": "Not found"})
        return httpx.Response(200, json=next(looks))

    assert [video["progress"] for video in await watched(answer)] == [0, 50, 100]


async def test_with_events_it_reads_the_video_at_each_event() -> None:
    stream = Stream(count=3, each=100)
    states = iter([shown(0)])
    stream.video = lambda: next(states, shown(100, "completed"))  # type: ignore[method-assign]
    assert [video["progress"] for video in await watched(stream)] == [0, 100]
    # Once at first, once for the events, and maybe once more when the stream ends.
    assert stream.looks in (2, 3)


# --- downloads


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("The Lighthouse, & the Storm", "the-lighthouse-the-storm-11111111.mp4"),
        ("../../etc/passwd", "etc-passwd-11111111.mp4"),
        ("狐の話", "狐の話-11111111.mp4"),
        ("", "film-11111111.mp4"),
        (None, "film-11111111.mp4"),
        ("x" * 500, f"{'x' * 60}-11111111.mp4"),
    ],
)
def test_the_file_is_named_after_the_film_and_stays_in_its_folder(title: str | None, name: str) -> None:
    assert file_name({"title": title, "videoId": VIDEO}) == name  # type: ignore[typeddict-item]


async def half_a_film() -> AsyncIterator[bytes]:
    yield b"half"
    raise httpx.ReadError("the connection broke")


async def test_an_interrupted_download_restarts_and_leaves_no_partial_file(tmp_path: Path) -> None:
    answers = [httpx.Response(200, content=half_a_film()), httpx.Response(200, content=b"whole")]
    video: Any = {"title": "A fox", "videoId": VIDEO}
    async with Multishot(transport=httpx.MockTransport(lambda _: answers.pop(0))) as multishot:
        file = await multishot.download(video, tmp_path)
    assert file.read_bytes() == b"whole"
    broken = httpx.MockTransport(lambda _: httpx.Response(200, content=half_a_film()))
    async with Multishot(transport=broken, patience=0) as multishot:
        with pytest.raises(NotReachable):
            await multishot.download(video, tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []


async def test_the_key_is_sent_to_the_gateway_and_not_to_the_storage(tmp_path: Path) -> None:
    seen: dict[str, str | None] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        seen[request.url.host] = request.headers.get("authorization")
        if request.url.host == "store.example":
            return httpx.Response(200, content=b"film")
        return httpx.Response(307, headers={"location": "https://store.example/film?signature=1"})

    async with Multishot("http://localhost:8000", "k1", transport=httpx.MockTransport(answer)) as multishot:
        await multishot.download({"title": "A fox", "videoId": VIDEO}, tmp_path)  # type: ignore[typeddict-item]
    assert seen == {"localhost": "Bearer k1", "store.example": None}
