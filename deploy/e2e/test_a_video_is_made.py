"""A prompt becomes a playable film with live progress: by REST, and by another service on the broker."""

import asyncio
import contextlib
import io
import itertools
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urljoin
from urllib.request import Request, urlopen
from uuid import uuid4

import aio_pika
import av
import pytest

from shared_testing.servers import eventually, fetch_json

pytestmark = pytest.mark.connected

STORY = [
    "video_generation_started",
    "video_storyboard_created",
    "video_scene_processing",
    "video_scene_completed",
    "video_combining_scenes",
    "video_completed",
]


@contextlib.asynccontextmanager
async def listening(stack, *keys: str) -> AsyncIterator[Callable[[int], Awaitable[list[dict[str, Any]]]]]:
    """The next so many events on the broker with these keys, as another service of the factory gets them."""
    async with await aio_pika.connect(stack.broker.url_of("listener")) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(f"listener.{uuid4()}", exclusive=True)
        for key in keys:
            await queue.bind("video", key)
        said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

        async def note(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            await said.put(json.loads(message.body))

        await queue.consume(note, no_ack=True)

        async def heard(count: int) -> list[dict[str, Any]]:
            async with asyncio.timeout(30):
                return [await said.get() for _ in range(count)]

        yield heard


async def publish(stack, body: bytes, key: str = "video.requested") -> None:
    connection = await aio_pika.connect(stack.broker.url_of("producer"))
    async with connection:
        channel = await connection.channel(on_return_raises=True)
        exchange = await channel.get_exchange("video")
        message = aio_pika.Message(
            body,
            message_id=str(uuid4()),
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        )
        await exchange.publish(message, routing_key=key, mandatory=True)


def played(url: str, target: Path) -> tuple[int, int, int, float]:
    """Download a film as a player would, and decode every frame of it."""
    with urlopen(url) as answer:
        target.write_bytes(answer.read())
    with av.open(str(target)) as container:
        pictures = sum(1 for _ in container.decode(video=0))
        width, height = container.streams.video[0].width, container.streams.video[0].height
    with av.open(str(target)) as container:
        sound = sum(frame.samples for frame in container.decode(audio=0)) / 48_000
    return pictures, width, height, sound


def story_of(watcher, video_id: str) -> list[str]:
    """Check the order guarantees of a video's events; return their names without repetitions."""
    heard = watcher.of(video_id)
    progress = [data["progress"] for _, data in heard]
    assert progress == sorted(progress), "progress went backwards"
    seqs = [data["seq"] for _, data in heard if data["seq"] is not None]
    assert seqs == list(range(1, len(seqs) + 1)), "events are missing, doubled or out of order"
    # A piece of the stream may be there before or after the film.
    return list(dict.fromkeys(name for name, _ in heard if name != "video_stream_extended"))


async def streamed(url: str) -> int:
    """Fetch a stream once it has ended, as a player would, and decode every frame of it. Returns their number."""

    def ended() -> str | None:
        with contextlib.suppress(HTTPError), urlopen(url) as answer:
            playlist = str(answer.read().decode())
            return playlist if "#EXT-X-ENDLIST" in playlist else None
        return None

    playlist = await eventually(ended, 30, what="the stream ends")
    frames = 0
    for piece in playlist.split("#EXT-X-MAP:")[1:]:
        content = b""
        for link in re.findall(r'URI="([^"]+)"|^([^#\s]\S+)$', piece, re.MULTILINE):
            with urlopen(urljoin(url, "".join(link))) as answer:
                content += answer.read()
        with av.open(io.BytesIO(content)) as container:
            frames += sum(1 for _ in container.decode(video=0))
    return frames


async def test_a_video_requested_by_rest_and_one_on_the_broker(stack, watch, tmp_path: Path) -> None:
    async with watch(stack.of("gateway").url) as watcher:
        first = stack.ask(prompt="A fox crosses the night market and finds a lantern", sceneCount=3, duration=20)[
            "videoId"
        ]
        second = str(uuid4())
        wish = {
            "videoId": second,
            "prompt": "Kopi pagi di warung",
            "sceneCount": 2,
            "duration": 15,
            "aspectRatio": "9:16",
        }
        await publish(stack, json.dumps(wish | {"niche": "kuliner", "postId": "p-7", "owner": "publisher"}).encode())

        videos = [await stack.ended(video_id) for video_id in (first, second)]
        await eventually(lambda: len([n for n, _ in watcher.heard if n == "video_completed"]) == 2)

    for video, frames, size in zip(videos, (480, 360), ((1280, 720), (720, 1280)), strict=True):
        assert video["status"] == "completed", video["errorMessage"]
        assert video["progress"] == 100
        assert story_of(watcher, video["videoId"]) == STORY
        base = stack.of("gateway").url
        pictures, width, height, sound = played(base + video["videoUrl"], tmp_path / "film.mp4")
        assert (pictures, (width, height)) == (frames, size)
        assert abs(sound - frames / 24) < 0.05
        assert await streamed(f"{base}/api/v1/videos/{video['videoId']}/stream.m3u8") == frames
        with urlopen(Request(base + video["videoUrl"], headers={"Range": "bytes=0-99"})) as answer:
            assert (answer.status, len(answer.read())) == (206, 100)
        assert all(scene["state"] == "rendered" for scene in video["scenes"])
        with urlopen(base + video["thumbnailUrl"]) as answer:
            assert answer.read(3) == b"\xff\xd8\xff"
        stack.paid_once(video["videoId"])
        keys = {item["Key"] for item in stack.s3.client().list_objects_v2(Bucket=stack.bucket)["Contents"]}
        assert {f"videos/{video['videoId']}/{name}" for name in ("film.mp4", "thumbnail.jpg")} <= keys

    events = 8 + sum(name == "video_stream_extended" for name, _ in watcher.of(second))
    row = stack.rows(
        "gateway",
        "SELECT videoId, postId, niche, prompt, status, duration, owner, completedAt IS NOT NULL, lastSeq, "
        f"storyScript <> '' FROM videos WHERE videoId = '{second}'",
    )
    assert row == [(second, "p-7", "kuliner", "Kopi pagi di warung", "completed", 15, "publisher", 1, events, 1)]
    assert stack.rows("gateway", f"SELECT COUNT(*) FROM video_events WHERE videoId = '{second}'") == [(events,)]
    await stack.is_quiet()
    assert not any(count for name, count in stack.queues().items() if name.endswith(".dead"))


async def test_bad_requests_make_no_video(stack, watch) -> None:
    """Refused at once by REST with the field named; dead-lettered with the reason on the broker."""
    good = {"prompt": "a fox", "sceneCount": 2, "duration": 15}
    before, boards = stack.queues(), stack.rows("storyboard", "SELECT video_id FROM storyboards")
    known = str(uuid4())
    belonging = {"owner": "publisher", "postId": "p-9"}
    async with watch(stack.of("gateway").url) as watcher, listening(stack, "video.failed") as heard:
        await publish(stack, json.dumps({"videoId": known, **good, **belonging, "duration": 61}).encode())
        await publish(stack, json.dumps({"videoId": "nonsense", **good}).encode())
        await publish(stack, b"{not json")
        await eventually(lambda: stack.queues()["storyboard.dead"] == before["storyboard.dead"] + 3)
        await eventually(lambda: [n for n, _ in watcher.of(known)] == ["video_failed"])
        told = await heard(3)
    assert {event["stage"] for event in told} == {"request"}
    [of_known] = [event for event in told if event["videoId"] == known]
    assert of_known.items() >= belonging.items()
    video = stack.look(known)
    assert video["status"] == "failed"
    assert "duration" in video["errorMessage"]
    assert stack.rows("storyboard", "SELECT video_id FROM storyboards") == boards
    assert stack.rows(
        "gateway", f"SELECT owner, postId FROM videos WHERE errorStage = 'request' AND videoId = '{known}'"
    ) == [("publisher", "p-9")]


async def test_the_same_request_twice_makes_one_video_and_another_one_of_that_id_is_refused(stack) -> None:
    video_id = str(uuid4())
    before = stack.queues()
    wish = {"videoId": video_id, "prompt": "a fox", "sceneCount": 2, "duration": 15}
    async with listening(stack, "video.failed", "video.composed") as heard:
        for (prompt, owner), _ in itertools.product((("a fox", "publisher"), ("a hen", "other")), range(2)):
            await publish(stack, json.dumps({**wish, "prompt": prompt, "owner": owner, "postId": owner}).encode())
        video = await stack.ended(video_id)
        told = await heard(3)
    assert sorted((event.get("stage"), event["owner"], event["postId"]) for event in told if "stage" in event) == [
        ("request", "other", "other"),
        ("request", "other", "other"),
    ]
    assert [(event["owner"], event["postId"]) for event in told if "film" in event] == [("publisher", "publisher")]
    assert video["status"] == "completed"
    assert video["prompt"] == "a fox"
    stack.paid_once(video_id)
    await eventually(lambda: stack.queues()["storyboard.dead"] == before["storyboard.dead"] + 2)
    assert stack.rows("gateway", f"SELECT COUNT(*) FROM videos WHERE videoId = '{video_id}'") == [(1,)]


def board_with_people() -> dict[str, Any]:
    """A storyboard of four scenes and 20 s: two characters, and one scene without anybody."""
    shown: tuple[list[str], ...] = (["Mara"], ["Mara", "Tom"], ["Tom"], [])
    scenes = [
        {
            "sceneNumber": number, "cameraAngle": ("wide", "medium", "close-up")[number % 3],
            "description": "The harbour",
            "duration": 5, "action": f"Part {number} of the story", "transition": "dissolve" if number < 4 else "cut",
            "shot": f"The harbour at dawn, part {number}", "cast": cast, "keyMoment": number == 3,
        }
        for number, cast in enumerate(shown, 1)
    ]  # fmt: skip
    looks = {"Mara": "a woman of 30 in a red coat", "Tom": "a man of 60 with a grey beard"}
    cast = [{"name": name, "kind": "character", "look": look} for name, look in looks.items()]
    story = {"title": "The harbour", "niche": "travel", "overallPrompt": "The harbour", "totalDuration": 20}
    return {**story, "scenes": scenes, "style": "Light: dawn.", "cast": cast}


async def test_each_provider_makes_a_film_with_the_same_people_and_its_ledger_is_our_book(stack) -> None:
    simulator, known = stack.simulator, {task["id"] for task in stack.simulator.tasks()}
    asked = {provider: str(uuid4()) for provider in stack.providers}
    for provider, video_id in asked.items():
        wish = {"videoId": video_id, "prompt": "a harbour", "providers": [provider], "storyboard": board_with_people()}
        await publish(stack, json.dumps(wish).encode())
    for provider, video_id in asked.items():
        video = await stack.ended(video_id, 300)
        assert video["status"] == "completed", video["errorMessage"]
        assert [scene["provider"] for scene in video["scenes"]] == [provider] * 4
        tasks = [task for task in simulator.tasks(provider) if task["id"] not in known]
        assert [sum(task["kind"] == kind for task in tasks) for kind in ("picture", "clip")] == [5, 4]
        assert Decimal(video["costUsd"]) == sum(Decimal(task["chargedUsd"]) for task in tasks) > 0
        assert float(video["heldUsd"]) == 0
        _, spend = fetch_json(stack.api.replace("/videos", f"/spend?provider={provider}"))
        charges = stack.rows("scene-render", f"SELECT SUM(booked_usd) FROM spend WHERE provider = '{provider}'")
        assert Decimal(spend["bookedUsd"]) == charges[0][0]
    assert simulator.control("requests")["sdkRetries"] == 0
