"""The REST API as a caller sees it."""

import json
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from gateway.app import Gateway
from shared.contracts.events import SceneRendered, StoryboardCreated, VideoCancelled, VideoComposed, VideoRequested
from shared.contracts.media import Clip, MediaReference, film_key
from shared.contracts.story import Scene
from shared.testing import published
from shared.unit_of_work import working

GOOD = {"prompt": "a fox"}
SCENES = tuple(
    Scene(scene_number=n, description="d", camera_angle=angle, duration=15, action="a", transition="cut")
    for n, angle in ((1, "wide"), (2, "medium"))
)


async def test_a_request_is_accepted_saved_and_told(api: httpx.AsyncClient, gateway: Gateway) -> None:
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
async def test_a_bad_field_is_named_and_nothing_is_made(
    api: httpx.AsyncClient, gateway: Gateway, field: str, value: object
) -> None:
    answer = await api.post("/api/v1/videos", json={**GOOD, field: value})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert field in answer.json()["detail"]
    assert (await api.get("/api/v1/videos")).json()["total"] == 0
    assert await published(gateway.database) == []


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("{not json", "application/json", 400),
        ("", "application/json", 422),
        ("[]", "application/json", 422),
        ('{"prompt": "a fox"}', "text/plain", 415),
        ("prompt=a+fox", "application/x-www-form-urlencoded", 415),
    ],
)
async def test_a_body_that_is_not_a_request_is_refused_as_a_problem(
    api: httpx.AsyncClient, body: str, content_type: str, status: int
) -> None:
    answer = await api.post("/api/v1/videos", content=body, headers={"content-type": content_type})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


async def test_unknown_videos_ids_and_paths_are_problems(api: httpx.AsyncClient) -> None:
    for path, status in (
        (f"/api/v1/videos/{uuid4()}", 404),
        (f"/api/v1/videos/{uuid4()}/content", 404),
        ("/api/v1/videos/not-a-uuid", 422),
        ("/api/v1/nothing", 404),
        ("/api/v1/videos?limit=0", 422),
        ("/api/v1/videos?limit=101", 422),
        ("/media/videos/1/film.mp4", 422),
        ("/media/videos/1/film.mp4?end=99999999999&signature=0", 403),
    ):
        answer = await api.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), path
    assert (await api.delete("/api/v1/videos")).status_code == 405


async def test_an_id_of_ones_own_makes_one_video_and_only_for_one_wish(api: httpx.AsyncClient) -> None:
    own = str(uuid4())
    first = await api.post("/api/v1/videos", json={**GOOD, "videoId": own})
    again = await api.post("/api/v1/videos", json={**GOOD, "videoId": own})
    other = await api.post("/api/v1/videos", json={"prompt": "a hen", "videoId": own})
    assert (first.status_code, again.status_code, other.status_code) == (202, 202, 409)
    assert first.json() == again.json()
    assert own in other.json()["detail"]
    listed = (await api.get("/api/v1/videos")).json()
    assert (listed["total"], listed["videos"][0]["prompt"]) == (1, "a fox")


async def test_the_list_is_newest_first_and_paged(api: httpx.AsyncClient) -> None:
    for n in range(5):
        await api.post("/api/v1/videos", json={"prompt": f"story {n}"})
    page = (await api.get("/api/v1/videos", params={"limit": 2, "offset": 1})).json()
    assert [video["prompt"] for video in page["videos"]] == ["story 3", "story 2"]
    assert page["total"] == 5


async def test_a_video_can_be_cancelled_once(api: httpx.AsyncClient, gateway: Gateway) -> None:
    video = (await api.post("/api/v1/videos", json=GOOD)).json()
    first, again = [await api.post(video["links"]["cancel"], json={}) for _ in range(2)]
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json()["status"] == again.json()["status"] == "cancelled"
    assert len([event for event in await published(gateway.database) if isinstance(event, VideoCancelled)]) == 1
    assert (await api.post(f"/api/v1/videos/{uuid4()}/cancel", json={})).status_code == 404


async def test_a_finished_film_plays_in_ranges_by_a_link_that_leads_on(
    api: httpx.AsyncClient, gateway: Gateway, tmp_path: Path
) -> None:
    video = (await api.post("/api/v1/videos", json={**GOOD, "sceneCount": 2})).json()
    video_id = video["videoId"]
    (tmp_path / "film").write_bytes(bytes(range(200)))
    film = await gateway.storage.put(film_key(video_id), tmp_path / "film", "video/mp4")
    picture = MediaReference(key=f"videos/{video_id}/thumbnail.jpg", content_type="image/jpeg", size=1, sha256="0" * 64)
    clip = Clip(media=film, width=1280, height=720, frames=360, has_audio=True)
    story = StoryboardCreated(
        video_id=video_id, title="t", niche="n", overall_prompt="p", total_duration=30, scenes=SCENES,
        story_script="s", aspect_ratio="16:9",
    )  # fmt: skip
    rendered = [
        SceneRendered(video_id=video_id, scene_number=n, clip=clip, duration=15, cost_usd="0.25", provider="p")
        for n in (1, 2)
    ]
    composed = VideoComposed(video_id=video_id, film=film, thumbnail=picture, duration=30, width=1280, height=720)
    async with working(gateway.database) as work:
        for event in (story, *rendered, composed):
            await gateway.videos.record(work, event)

    video = (await api.get(f"/api/v1/videos/{video_id}")).json()
    assert (video["status"], video["progress"], video["costUsd"], video["title"]) == ("completed", 100, "0.5000", "t")
    assert video["metadata"] == {"format": "mp4", "resolution": "1280x720"}
    assert [scene["state"] for scene in video["scenes"]] == ["rendered", "rendered"]
    for link in (video["videoUrl"], video["scenes"][0]["videoUrl"]):
        leads_on = await api.get(link)
        assert leads_on.status_code == 307
        whole = await api.get(leads_on.headers["location"])
        assert (whole.status_code, whole.content) == (200, bytes(range(200)))
        part = await api.get(leads_on.headers["location"], headers={"range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, bytes(range(10, 20)))
        beyond = await api.get(leads_on.headers["location"], headers={"range": "bytes=900-"})
        assert beyond.status_code == 416
    assert (await api.post(video["links"]["cancel"], json={})).status_code == 409
    assert "signature" not in json.dumps([event.data for event in await gateway.videos.events_after(video_id, 0)])


async def test_the_status_page_and_the_api_document_are_served(api: httpx.AsyncClient) -> None:
    assert "<h1>Multishot</h1>" in (await api.get("/")).text
    assert "/api/v1/videos" in (await api.get("/openapi.json")).json()["paths"]
