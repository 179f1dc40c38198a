"""The simulator behaves like the providers on the wire: their own SDKs, in strict mode, find no difference."""

import asyncio
import base64
import hashlib
import io
from collections.abc import AsyncIterator
from typing import Any

import av
import fal_client
import httpx
import luma_agents
import lumaai
import pytest
import runwayml
from PIL import Image

from shared_testing.servers import eventually
from simulator.app import KEYS, Settings, api_urls, serving

FAST = Settings(port=0, speed=200, captions=False)
CONTENT = b"\xff\xd8\xff\xe0 a picture"
PIXEL = "data:image/jpeg;base64," + base64.b64encode(CONTENT).decode()
DIGEST = hashlib.sha256(CONTENT).hexdigest()


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
async def agents(simulator: str) -> AsyncIterator[luma_agents.AsyncLuma]:
    async with luma_agents.AsyncLuma(
        auth_token=KEYS["luma-agents"],
        base_url=api_urls(simulator)["luma-agents"],
        max_retries=0,
        _strict_response_validation=True,
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
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
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


async def picture_of(url: str) -> tuple[int, int]:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        answer = await client.get(url)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert picture.format == "JPEG"
        return picture.size


async def test_runway_makes_pictures_of_tagged_references(runway: Any, control: Any) -> None:
    order = {"model": "gen4_image_turbo", "prompt_text": "@Mara at sea", "ratio": "1280:720"}
    created = await runway.text_to_image.create(**order, reference_images=[{"uri": PIXEL, "tag": "Mara"}], seed=3)
    assert created.estimated_cost.credits == 2
    task, _ = await until(lambda: runway.tasks.retrieve(created.id), {"SUCCEEDED"})
    assert task.cost.credits == 2
    assert await picture_of(task.output[0]) == (1280, 720)
    await runway.text_to_image.create(model="gen4_image", prompt_text="Mara", ratio="720:720")
    first, second = (await control.get("ledger")).json()["tasks"]
    assert first["pictures"] == [{"role": "reference", "sha256": DIGEST, "link": None, "tag": "Mara"}]
    assert (first["kind"], second["priceUsd"], second["pictures"]) == ("picture", "0.05", [])


@pytest.mark.parametrize(
    "wrong",
    [
        {"reference_images": []}, {"ratio": "960:960"}, {"model": "gen4_picture"}, {"prompt_text": "x" * 1001},
        {"reference_images": [{"uri": PIXEL}] * 4}, {"reference_images": [{"uri": PIXEL, "tag": "ab"}]},
        {"reference_images": [{"uri": PIXEL, "tag": "1st_person"}]}, {"extra_body": {"negativePrompt": "text"}},
        {"reference_images": [{"uri": PIXEL, "tag": "the-captain"}]}, {"reference_images": [{"uri": "http://a.b/c.jpg"}]},
        {"reference_images": [{"uri": PIXEL, "tag": "Mara"}, {"uri": PIXEL, "tag": "Mara"}]},
    ],
)  # fmt: skip
async def test_runway_refuses_pictures_that_the_real_one_refuses(runway: Any, control: Any, wrong: Any) -> None:
    order = {"model": "gen4_image_turbo", "prompt_text": "Mara", "ratio": "1280:720"}
    with pytest.raises(runwayml.BadRequestError):
        await runway.text_to_image.create(**{**order, "reference_images": [{"uri": PIXEL, "tag": "Mara"}], **wrong})
    assert (await control.get("ledger")).json()["tasks"] == []


async def test_gen4_image_turbo_needs_references_and_gen4_turbo_a_first_frame(runway: Any) -> None:
    with pytest.raises(runwayml.BadRequestError, match="referenceImages"):
        await runway.post(
            "/v1/text_to_image",
            body={"model": "gen4_image_turbo", "promptText": "Mara", "ratio": "1280:720"},
            cast_to=object,
        )
    with pytest.raises(runwayml.BadRequestError):
        await runway.text_to_video.create(model="gen4_turbo", prompt_text="a fox", ratio="1280:720", duration=5)


async def test_runway_takes_a_first_frame_for_a_credit_and_refunds_what_was_billed_first(
    runway: Any, control: Any
) -> None:
    grok = {"model": "grok_imagine_1_5_lite", "prompt_text": "a fox", "duration": 5}
    assert (await runway.text_to_video.create(**grok, ratio="1280:720")).estimated_cost.credits == 15
    created = await runway.image_to_video.create(**grok, prompt_image=PIXEL, ratio="auto_720p")
    assert created.estimated_cost.credits == 16
    seedance = {"model": "seedance2_mini", "prompt_text": "a fox", "ratio": "1280:720", "audio": False}
    created = await runway.text_to_video.create(**seedance, duration="auto")
    assert created.estimated_cost.credits == 192
    task, _ = await until(lambda: runway.tasks.retrieve(created.id), {"SUCCEEDED"})
    assert task.cost.credits < 192
    assert await pictures_of(task.output[0], (1280, 720)) == 8 * 24


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


async def test_luma_makes_pictures_and_reads_its_own(luma: Any, control: Any) -> None:
    marker = "https://example.invalid/attempts/1"
    order = {"model": "photon-1", "prompt": "a captain", "aspect_ratio": "16:9", "format": "jpg"}
    created = await luma.generations.image.create(**order, callback_url=marker)
    done, _ = await until(lambda: luma.generations.get(id=created.id), {"completed"})
    assert (done.generation_type, done.assets.video) == ("image", None)
    assert await picture_of(done.assets.image) == (1920, 1080)
    own = done.assets.image
    await luma.generations.image.create(**order, character_ref={"identity0": {"images": [own]}})
    await luma.generations.image.create(**order, image_ref=[{"url": own, "weight": 0.8}, {"url": "https://a.b/c.jpg"}])
    listed = await luma.generations.list(limit=10, offset=0)
    assert [one.request.generation_type for one in listed.generations] == ["image"] * 3
    _, one, two = (await control.get("ledger")).json()["tasks"]
    assert one["pictures"][0]["sha256"] is not None
    assert [picture["sha256"] is None for picture in two["pictures"]] == [False, True]
    with pytest.raises(lumaai.BadRequestError, match="not a completed video"):
        await luma.generations.create(
            model="ray-2", prompt="a fox", keyframes={"frame0": {"type": "generation", "id": created.id}}
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "photon-2"}, {"aspect_ratio": "2:1"}, {"prompt": "ab"}, {"extra_body": {"seed": 1}}, {"prompt": ""},
        {"character_ref": {"identity0": {"images": ["http://a.b/c.jpg"]}}}, {"image_ref": [{"url": PIXEL}]},
        {"image_ref": [{"url": "https://a.b/c.jpg"}] * 5},
    ],
)  # fmt: skip
async def test_luma_refuses_pictures_that_the_real_one_refuses(luma: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(lumaai.BadRequestError):
        await luma.generations.image.create(**{"model": "photon-1", "prompt": "a captain", **wrong})


async def test_luma_agents_from_order_to_clip_and_picture(agents: Any, control: Any) -> None:
    source = {"data": base64.b64encode(CONTENT).decode(), "media_type": "image/jpeg"}
    video = {"resolution": "540p", "duration": "5s", "start_frame": source}
    clip = await agents.generations.create(
        model="ray-3.2", type="video", prompt="a fox", aspect_ratio="1:1", video=video
    )
    assert (clip.state, clip.output) in [("queued", []), ("processing", [])]
    done, _ = await until(lambda: agents.generations.get(clip.id), {"completed"})
    assert done.output[0].type == "video"
    assert await pictures_of(done.output[0].url, (540, 540)) == 120
    picture = await agents.generations.create(
        model="uni-1", type="image", prompt="a captain", aspect_ratio="16:9", image_ref=[source, source]
    )
    done, _ = await until(lambda: agents.generations.get(picture.id), {"completed"})
    assert await picture_of(done.output[0].url) == (1920, 1080)
    first, second = (await control.get("ledger")).json()["tasks"]
    assert (first["priceUsd"], first["pictures"][0]["sha256"]) == ("0.15", DIGEST)
    assert (second["priceUsd"], len(second["pictures"])) == ("0.0464", 2)
    await control.post("faults", json={"operation": "create", "outcome": "failed", "code": "content_moderated"})
    failing = await agents.generations.create(model="uni-1", type="image", prompt="a captain")
    failed, _ = await until(lambda: agents.generations.get(failing.id), {"failed"})
    assert failed.failure_code == "content_moderated"


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt": ""}, {"prompt": "x" * 6001}, {"model": "ray-2"}, {"type": "image"}, {"aspect_ratio": "2:1"},
        {"video": {"duration": "9s"}}, {"video": {"resolution": "4k"}}, {"extra_body": {"seed": 1}},
        {"video": {"duration": "10s", "start_frame": {"url": "https://a.b/c.jpg"}}},
        {"video": {"start_frame": {"url": "http://a.b/c.jpg"}}}, {"video": {"start_frame": {"data": "AAAA"}}},
        {"image_ref": [{"url": "https://a.b/c.jpg"}]},
        {"model": "uni-1", "type": "image", "image_ref": [{"url": "https://a.b/c.jpg"}] * 10},
        {"model": "uni-1", "type": "image", "image_ref": [{"url": "https://a.b/c.jpg", "generation_id": "1"}]},
    ],
)  # fmt: skip
async def test_luma_agents_refuses_what_the_real_one_refuses(agents: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(luma_agents.UnprocessableEntityError):
        await agents.generations.create(**{"model": "ray-3.2", "type": "video", "prompt": "a fox", **wrong})


async def test_pika_from_order_to_clip(fal: Any) -> None:
    app = "fal-ai/pika/v2.2/text-to-video"
    order = {"prompt": "a fox", "aspect_ratio": "9:16", "duration": 5, "resolution": "720p"}
    handle = await fal.submit(app, order)
    assert handle.status_url.endswith(f"/fal-ai/pika/requests/{handle.request_id}/status")
    _, seen = await until(handle.status, {"Completed"})
    assert "InProgress" in seen
    assert await pictures_of((await handle.get())["video"]["url"], (720, 1280)) == 120


@pytest.mark.parametrize(
    ("app", "order", "size", "seconds", "usd"),
    [
        ("fal-ai/ltx-2.3/text-to-video/fast", {"duration": 6}, (1920, 1080), 6, "0.24"),
        (
            "fal-ai/kling-video/v3/pro/image-to-video",
            {"duration": "3", "start_image_url": PIXEL, "generate_audio": False},
            (1920, 1080),
            3,
            "0.336",
        ),
        ("bytedance/seedance-2.0/mini/text-to-video", {"duration": "4", "aspect_ratio": "1:1"}, (720, 720), 4, "0.620"),
        ("minimax/h3/image-to-video", {"duration": 5, "image_url": PIXEL}, (1364, 768), 5, "0.30"),
    ],
)
async def test_fal_serves_any_owner_and_application(
    fal: Any, control: Any, app: str, order: dict[str, Any], size: tuple[int, int], seconds: int, usd: str
) -> None:
    handle = await fal.submit(app, {"prompt": "a fox", **order})
    owner, alias, *_ = app.split("/")
    assert handle.status_url.endswith(f"/{owner}/{alias}/requests/{handle.request_id}/status")
    await until(handle.status, {"Completed"})
    assert await pictures_of((await handle.get())["video"]["url"], size) == seconds * 24
    [task] = (await control.get("ledger")).json()["tasks"]
    assert (task["chargedUsd"], task["firstFrame"]) == (usd, "image" in app)


async def test_fal_makes_pictures_of_references(fal: Any, control: Any) -> None:
    order = {"prompt": "the character in image 1", "image_size": "portrait_16_9", "image_urls": [PIXEL], "seed": 4}
    handle = await fal.submit("fal-ai/bytedance/seedream/v4/edit", order)
    await until(handle.status, {"Completed"})
    assert await picture_of((await handle.get())["images"][0]["url"]) == (720, 1280)
    [task] = (await control.get("ledger")).json()["tasks"]
    assert [picture["sha256"] for picture in task["pictures"]] == [DIGEST]
    assert task["request"]["image_urls"] == [f"sha256:{DIGEST}"]


@pytest.mark.parametrize(
    ("app", "wrong"),
    [
        ("fal-ai/ltx-2.3/text-to-video/fast", {"duration": 5}),
        ("fal-ai/ltx-2.3/text-to-video/fast", {"aspect_ratio": "1:1"}),
        ("fal-ai/ltx-2.3/image-to-video/fast", {}),
        ("fal-ai/kling-video/v3/pro/text-to-video", {"duration": 5}),
        ("fal-ai/kling-video/v3/pro/image-to-video", {"image_url": PIXEL}),
        ("fal-ai/kling-video/v3/pro/text-to-video", {"prompt": "x" * 2501}),
        ("bytedance/seedance-2.0/mini/text-to-video", {"resolution": "1080p"}),
        ("minimax/h3/text-to-video", {"duration": 4}),
        ("minimax/h3/image-to-video", {"image_url": PIXEL, "aspect_ratio": "16:9"}),
        ("minimax/h3/image-to-video", {"image_url": "http://a.b/c.jpg"}),
        ("fal-ai/bytedance/seedream/v4/edit", {}),
        ("fal-ai/bytedance/seedream/v4/edit", {"image_urls": [PIXEL] * 11}),
        ("fal-ai/bytedance/seedream/v4/text-to-image", {"image_size": "16:9"}),
    ],
)
async def test_fal_refuses_what_the_real_one_refuses(fal: Any, control: Any, app: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(fal_client.FalClientHTTPError) as refusal:
        await fal.submit(app, {"prompt": "a fox", **wrong})
    assert refusal.value.status_code == 422
    assert (await control.get("ledger")).json()["tasks"] == []


async def test_a_fault_can_concern_pictures_only(luma: Any, control: Any) -> None:
    await control.post("faults", json={"operation": "create", "kind": "picture", "status": 503, "body": {}})
    await luma.generations.create(model="ray-2", prompt="a fox")
    with pytest.raises(lumaai.InternalServerError):
        await luma.generations.image.create(model="photon-1", prompt="a captain")


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
