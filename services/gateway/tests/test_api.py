"""The REST API as a caller sees it."""

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from gateway.app import Gateway
from shared.contracts.events import VideoCancelled, VideoRequested
from shared_testing.servers import published

GOOD = {"prompt": "a fox"}


async def test_a_request_is_accepted_saved_and_published(api: httpx.AsyncClient, gateway: Gateway) -> None:
    answer = await api.post("/api/v1/videos", json={**GOOD, "sceneCount": 2, "aspectRatio": "9:16", "postId": "p1"})
    assert answer.status_code == 202
    video = answer.json()
    assert answer.headers["location"] == video["links"]["self"] == f"/api/v1/videos/{video['videoId']}"
    assert (video["status"], video["progress"], video["totalScenes"]) == ("pending", 0, 2)
    assert (video["aspectRatio"], video["duration"], video["postId"], video["niche"]) == ("9:16", 30, "p1", "general")
    events = await published(gateway.database)
    [request] = [event for event in events if isinstance(event, VideoRequested)]
    assert (str(request.video_id), request.prompt, request.scene_count) == (video["videoId"], "a fox", 2)
    assert (await api.get(video["links"]["self"])).json() == video


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", ""),
        ("prompt", "  \n "),
        ("prompt", "x" * 4001),
        ("prompt", None),
        ("prompt", 5),
        ("sceneCount", 0),
        ("sceneCount", 6),
        ("sceneCount", "many"),
        ("duration", 14),
        ("duration", 61),
        ("aspectRatio", "4:3"),
        ("videoId", "not-a-uuid"),
        ("niche", "n" * 101),
        ("metadata", {"k": "v" * 16_384}),
        ("invented", True),
    ],
)
async def test_an_invalid_field_is_named_and_nothing_is_created(
    api: httpx.AsyncClient, gateway: Gateway, field: str, value: object
) -> None:
    answer = await api.post("/api/v1/videos", json={**GOOD, field: value})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert field in answer.json()["detail"]
    assert (await api.get("/api/v1/videos")).json()["total"] == 0
    assert await published(gateway.database) == []


async def test_a_client_chosen_id_creates_one_video_and_belongs_to_one_request(api: httpx.AsyncClient) -> None:
    own = str(uuid4())
    first = await api.post("/api/v1/videos", json={**GOOD, "videoId": own})
    again = await api.post("/api/v1/videos", json={**GOOD, "videoId": own})
    other = await api.post("/api/v1/videos", json={"prompt": "a hen", "videoId": own})
    assert (first.status_code, again.status_code, other.status_code) == (202, 202, 409)
    assert first.json() == again.json()
    assert own in other.json()["detail"]
    listed = (await api.get("/api/v1/videos")).json()
    assert (listed["total"], listed["videos"][0]["prompt"]) == (1, "a fox")


async def test_a_video_can_be_cancelled_once(api: httpx.AsyncClient, gateway: Gateway) -> None:
    video = (await api.post("/api/v1/videos", json=GOOD)).json()
    first, again = [await api.post(video["links"]["cancel"], json={}) for _ in range(2)]
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["status"] == again.json()["status"] == "cancelled"
    assert len([event for event in await published(gateway.database) if isinstance(event, VideoCancelled)]) == 1
    assert (await api.post(f"/api/v1/videos/{uuid4()}/cancel", json={})).status_code == 404


async def test_a_finished_film_is_shown_with_its_clips(api: httpx.AsyncClient, gateway: Gateway, filmed: Any) -> None:
    video = await filmed()
    assert (video["status"], video["progress"], video["title"]) == ("completed", 100, "t")
    assert video["metadata"] == {"format": "mp4", "resolution": "1280x720"}
    assert [scene["state"] for scene in video["scenes"]] == ["rendered", "rendered"]
    assert (await api.post(video["links"]["cancel"], json={})).status_code == 409
    log = await gateway.event_log.events_after(video["videoId"], 0)
    assert "signature" not in json.dumps([event.data for event in log])


async def test_the_status_page_is_served(api: httpx.AsyncClient) -> None:
    assert "<h1>Multishot</h1>" in (await api.get("/")).text
