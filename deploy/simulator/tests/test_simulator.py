"""The simulator behaves like the providers on the wire: their own SDKs, in strict mode, find no difference."""

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import av
import fal_client
import httpx
import lumaai
import pytest
import runwayml

from shared_testing.servers import eventually
from simulator.app import KEYS, Settings, api_urls, serving

FAST = Settings(port=0, speed=200, captions=False)
PIXEL = "data:image/jpeg;base64," + base64.b64encode(b"\xff\xd8\xff\xe0 a picture").decode()


@pytest.fixture
async def simulator() -> AsyncIterator[str]:
    async with serving(FAST) as url:
        yield url


@pytest.fixture
async def control(simulator: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"{simulator}/control", trust_env=False) as client:
        yield client


@pytest.fixture
async def runway(simulator: str) -> AsyncIterator[runwayml.AsyncRunwayML]:
    async with runwayml.AsyncRunwayML(
        api_key=KEYS["runway"], base_url=simulator, max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


@pytest.fixture
async def luma(simulator: str) -> AsyncIterator[lumaai.AsyncLumaAI]:
    async with lumaai.AsyncLumaAI(
        auth_token=KEYS["luma"], base_url=api_urls(simulator)["luma"], max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


@pytest.fixture
async def fal(simulator: str) -> AsyncIterator[fal_client.AsyncClient]:
    class Client(fal_client.AsyncClient):
        @property
        async def _client(self) -> httpx.AsyncClient:
            return http

    async def here(request: httpx.Request) -> None:
        request.url = request.url.copy_with(scheme="http", host="127.0.0.1", port=httpx.URL(simulator).port)

    async with httpx.AsyncClient(
        headers={"Authorization": f"Key {KEYS['pika']}"}, event_hooks={"request": [here]}, trust_env=False
    ) as http:
        yield Client(key=KEYS["pika"])


async def until(look: Any, states: set[str]) -> tuple[Any, list[str]]:
    seen: list[str] = []
    for _ in range(400):
        task = await look()
        state = getattr(task, "status", None) or getattr(task, "state", None) or type(task).__name__
        if state not in seen:
            seen.append(state)
        if state in states:
            return task, seen
        await asyncio.sleep(0.02)
    raise AssertionError(seen)


async def pictures_of(url: str, size: tuple[int, int]) -> int:
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(url)
    assert answer.status_code == 200
    with av.open(__import__("io").BytesIO(answer.content), format="mp4") as clip:
        assert (clip.streams.video[0].width, clip.streams.video[0].height) == size
        return sum(1 for _ in clip.decode(video=0))


async def test_runway_from_order_to_clip(runway: Any, control: Any) -> None:
    order = {"model": "gen4.5", "prompt_text": "a fox", "ratio": "720:1280", "duration": 2}
    created = await runway.text_to_video.create(**order)
    assert created.estimated_cost.credits == 24
    task, seen = await until(lambda: runway.tasks.retrieve(created.id), {"SUCCEEDED"})
    assert "RUNNING" in seen
    assert task.cost.credits == 24
    assert await pictures_of(task.output[0], (720, 1280)) == 48
    from_image = await runway.image_to_video.create(**order, prompt_image=PIXEL)
    assert from_image.id != created.id
    ledger = (await control.get("ledger")).json()
    assert [t["firstFrame"] for t in ledger["tasks"]] == [False, True]


async def test_runway_throttles_fails_and_cancels(runway: Any, control: Any) -> None:
    await control.post("settings", json={"concurrency": 1, "speed": 1})
    order = {"model": "gen4.5", "prompt_text": "a fox", "ratio": "1280:720", "duration": 5}
    first, second = [await runway.text_to_video.create(**order) for _ in range(2)]
    assert (await runway.tasks.retrieve(first.id)).status == "RUNNING"
    assert (await runway.tasks.retrieve(second.id)).status == "THROTTLED"
    await runway.tasks.delete(second.id)
    with pytest.raises(runwayml.NotFoundError):
        await runway.tasks.retrieve(second.id)
    await runway.tasks.delete(first.id)
    ledger = (await control.get("ledger")).json()
    assert [t["chargedUsd"] for t in ledger["tasks"]] == ["0.6", "0"]
    await control.post("settings", json={"speed": 1000})
    await control.post("faults", json={"operation": "create", "outcome": "failed", "code": "SAFETY.INPUT.TEXT"})
    refused = await runway.text_to_video.create(**order)
    task, _ = await until(lambda: runway.tasks.retrieve(refused.id), {"FAILED"})
    assert (task.failure_code, task.cost.credits) == ("SAFETY.INPUT.TEXT", 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "gen3a_turbo"}, {"duration": 11}, {"duration": "5"}, {"ratio": "960:960"}, {"prompt_text": ""},
        {"prompt_text": "x" * 1001}, {"extra_body": {"camera": "pan"}}, {"extra_headers": {"X-Runway-Version": "1"}},
    ],
)  # fmt: skip
async def test_runway_refuses_what_the_real_one_refuses(runway: Any, control: Any, wrong: dict[str, Any]) -> None:
    order = {"model": "gen4.5", "prompt_text": "a fox", "ratio": "1280:720", "duration": 5}
    with pytest.raises(runwayml.BadRequestError):
        await runway.text_to_video.create(**{**order, **wrong})
    assert (await control.get("ledger")).json()["tasks"] == []


async def test_luma_from_order_to_clip(luma: Any) -> None:
    marker = "https://example.invalid/attempts/1"
    order = {"model": "ray-2", "prompt": "a fox", "duration": "5s", "resolution": "540p", "aspect_ratio": "1:1"}
    created = await luma.generations.create(**order, callback_url=marker, concepts=[{"key": "pov"}])
    assert created.state in ("queued", "dreaming")
    done, _ = await until(lambda: luma.generations.get(id=created.id), {"completed"})
    assert await pictures_of(done.assets.video, (540, 540)) == 120
    listed = await luma.generations.list(limit=10, offset=0)
    assert [one.request.callback_url for one in listed.generations] == [marker]
    extended = await luma.generations.create(**order, keyframes={"frame0": {"type": "generation", "id": created.id}})
    assert extended.id != created.id
    await luma.generations.delete(created.id)
    with pytest.raises(lumaai.NotFoundError):
        await luma.generations.get(id=created.id)


@pytest.mark.parametrize(
    "wrong",
    [
        {"duration": "7s"}, {"model": "ray-1"}, {"aspect_ratio": "2:1"}, {"prompt": "ab"}, {"concepts": [{"key": "?"}]},
        {"keyframes": {"frame0": {"type": "image", "url": "http://a.b/c.jpg"}}}, {"extra_body": {"seed": 1}},
    ],
)  # fmt: skip
async def test_luma_refuses_what_the_real_one_refuses(luma: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(lumaai.BadRequestError):
        await luma.generations.create(**{"model": "ray-2", "prompt": "a fox", **wrong})


async def test_pika_from_order_to_clip(fal: Any) -> None:
    app = "fal-ai/pika/v2.2/text-to-video"
    order = {"prompt": "a fox", "aspect_ratio": "9:16", "duration": 5, "resolution": "720p"}
    handle = await fal.submit(app, order)
    assert handle.status_url.endswith(f"/fal-ai/pika/requests/{handle.request_id}/status")
    _, seen = await until(handle.status, {"Completed"})
    assert "InProgress" in seen
    assert await pictures_of((await handle.get())["video"]["url"], (720, 1280)) == 120


async def test_pika_fails_and_cancels(fal: Any, control: Any) -> None:
    app = "fal-ai/pika/v2.2/text-to-video"
    moderated = {"operation": "create", "outcome": "failed", "code": "content_policy_violation", "reason": "Not here."}
    await control.post("faults", json=moderated)
    handle = await fal.submit(app, {"prompt": "a fox"})
    status, _ = await until(handle.status, {"Completed"})
    assert status.error_type == "content_policy_violation"
    with pytest.raises(fal_client.FalClientHTTPError) as failure:
        await handle.get()
    assert (failure.value.status_code, failure.value.message[0]["type"]) == (422, "content_policy_violation")
    await control.post("settings", json={"speed": 1})
    running = await fal.submit(app, {"prompt": "a fox"})
    await running.cancel()
    assert (await running.status()).error_type == "client_cancelled"


async def test_an_answer_lost_after_creating_leaves_a_task_in_the_ledger(runway: Any, control: Any) -> None:
    await control.post("faults", json={"operation": "create", "done": True, "drop": True})
    with pytest.raises(runwayml.APIConnectionError):
        await runway.text_to_video.create(model="gen4.5", prompt_text="a fox", ratio="1280:720", duration=2)
    assert len((await control.get("ledger")).json()["tasks"]) == 1


async def test_it_calls_back_when_a_state_changes(luma: Any) -> None:
    heard: list[bytes] = []

    async def collect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(4000))
        writer.write(b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(collect, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await luma.generations.create(model="ray-2", prompt="a fox", callback_url=f"http://127.0.0.1:{port}/here")
        await eventually(lambda: any(b'"completed"' in one for one in heard))
    assert heard[0].startswith(b"POST /here")
