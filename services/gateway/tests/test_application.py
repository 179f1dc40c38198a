"""The existing application, which reads our table, shows what it is told, and has rows of its own."""

import json
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from gateway.app import Gateway
from gateway.models import Video
from gateway.videos.mapping import film_name
from shared.persistence.unit_of_work import transaction

SCENE = {
    "sceneNumber": 1, "description": "d", "cameraAngle": "wide", "duration": 30, "action": "a", "transition": "cut",
}  # fmt: skip


async def call(api: httpx.AsyncClient, name: str, value: Any = None) -> Any:
    given = "" if value is None else f"?input={quote(json.dumps(value))}"
    answer = await api.get(f"/api/trpc/{name}{given}")
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]["data"]


# --- links


async def test_links_are_made_with_the_public_url_of_today(
    api: httpx.AsyncClient, gateway: Gateway, filmed: Any
) -> None:
    video = await filmed()
    gateway.event_log.public_url = "https://new.example"
    events = await gateway.event_log.events_after(video["videoId"], 0)
    own = f"https://new.example/api/v1/videos/{video['videoId']}"
    assert events[-1].data["videoUrl"] == f"{own}/content"
    assert events[-1].data["thumbnailUrl"] == f"{own}/thumbnail"
    clips = [event.data["sceneVideoUrl"] for event in events if event.type == "video_scene_completed"]
    assert clips == [f"{own}/scenes/{n}/content" for n in (1, 2)]


class TestAfterAMove:
    """The film was completed under another `PUBLIC_URL`."""

    @pytest.fixture
    def more_settings(self) -> dict[str, Any]:
        return {"public_url": "http://old.example"}

    async def test_every_link_of_a_video_has_the_new_address(self, gateway: Gateway, filmed: Any) -> None:
        video = await filmed()
        assert video["thumbnailUrl"].startswith("http://old.example/")
        settings = gateway.settings.model_copy(update={"public_url": "https://new.example"})
        moved = Gateway(settings)
        transport = httpx.ASGITransport(app=moved.app(moved.storage, routes=[]))
        async with httpx.AsyncClient(transport=transport, base_url="https://new.example") as client:
            row = await call(client, "video.get", {"videoId": video["videoId"]})
            status = await call(client, "video.status", {"videoId": video["videoId"]})
            shown = (await client.get(f"/api/v1/videos/{video['videoId']}")).json()
        await moved.database.close()
        for told in (row, status, shown):
            assert {told["videoUrl"].partition("/api/")[0], told["thumbnailUrl"].partition("/api/")[0]} == {
                "https://new.example"
            }


# --- downloads


async def test_a_download_is_named_after_its_film(api: httpx.AsyncClient, filmed: Any) -> None:
    video = await filmed()
    row = await call(api, "video.get", {"videoId": video["videoId"]})
    for link in (f"{video['videoUrl']}?download=1", row["videoUrl"]):
        for method in ("GET", "HEAD"):
            answer = await api.request(method, link, follow_redirects=True)
            assert answer.status_code == 200
            assert answer.headers["content-disposition"] == f'attachment; filename="t-{video["videoId"]}.mp4"'
            assert answer.headers["content-type"] == "video/mp4"
    part = await api.get(row["videoUrl"], headers={"range": "bytes=0-9"}, follow_redirects=True)
    assert (part.status_code, len(part.content)) == (206, 10)


async def test_without_download_a_film_is_shown_inline(api: httpx.AsyncClient, filmed: Any) -> None:
    video = await filmed()
    for link in (video["videoUrl"], f"{video['videoUrl']}?download=0"):
        answer = await api.get(link, follow_redirects=True)
        assert answer.headers["content-disposition"] == "inline"


async def test_a_changed_download_name_is_forbidden(api: httpx.AsyncClient, filmed: Any) -> None:
    video = await filmed()
    link = (await api.get(f"{video['videoUrl']}?download=1")).headers["location"]
    for forged in (link.replace("filename=t-", "filename=virus-"), f"{link}&filename=virus.exe"):
        assert (await api.get(forged)).status_code == 403


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("Kopi pagi", "Kopi pagi-{}.mp4"),
        ("Über Öl", "Über Öl-{}.mp4"),
        ("夜の灯台", "夜の灯台-{}.mp4"),
        ("می‌خواهم", "می‌خواهم-{}.mp4"),
        ('a/b\\c:d*e?f"g<h>i|j%k', "a b c d e f g h i j k-{}.mp4"),
        ("../../etc/passwd", "etc passwd-{}.mp4"),
        ("line\r\nset-cookie: x", "line set-cookie x-{}.mp4"),
        ("gpj.\u202eexe", "gpj. exe-{}.mp4"),
        (" . ", "{}.mp4"),
        (None, "{}.mp4"),
        ("夜" * 200, "夜" * 50 + "-{}.mp4"),
    ],
)
def test_the_name_of_a_download_suits_every_file_system(title: str | None, name: str) -> None:
    video_id = str(uuid4())
    assert film_name(Video(video_id=video_id, title=title)) == name.format(video_id)
    assert len(film_name(Video(video_id=video_id, title=title)).encode()) < 255


# --- the table


async def test_the_column_of_scenes_holds_the_clips_that_are_there(
    api: httpx.AsyncClient, gateway: Gateway, happen: Any, film_of: Any
) -> None:
    video = (await api.post("/api/v1/videos", json={"prompt": "a fox", "sceneCount": 2})).json()
    board, first, *_ = await film_of(video["videoId"])
    seen = []
    for event in (board, first):
        await happen(event)
        async with gateway.database.reading() as session:
            column = await session.scalar(text("SELECT scenes FROM videos"))
        seen.append([scene.get("videoUrl") for scene in json.loads(column)])
    assert seen == [[None, None], [f"/api/v1/videos/{video['videoId']}/scenes/1/content", None]]


# Which columns an INSERT names besides those that have no default, and what is shown then.
FILM = "https://a.example/f.mp4"
ROWS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"status": "pending", "currentStep": "storyboard", "progress": 0, "postId": None}),
    ({"postId": "p1", "status": "processing", "metadata": None, "duration": 30}, {"postId": "p1", "duration": 30}),
    (
        {"status": "completed", "videoUrl": FILM, "thumbnailUrl": "t.jpg", "completedAt": "2026-11-27 10:00:00"},
        {"status": "completed", "currentStep": "completed", "progress": 100, "videoUrl": FILM, "thumbnailUrl": "t.jpg"},
    ),
    ({"status": "failed"}, {"status": "failed", "currentStep": "failed"}),
    ({"status": "rendering"}, {"status": "pending"}),
]


async def insert(gateway: Gateway, video_id: str, scenes: str, **more: Any) -> None:
    columns = {"videoId": video_id, "niche": "food", "prompt": "a fox", "storyScript": "", "scenes": scenes, **more}
    names = ", ".join(f":{name}" for name in columns)
    async with transaction(gateway.database) as work:
        await work.session.execute(text(f"INSERT INTO videos ({', '.join(columns)}) VALUES ({names})"), columns)


@pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("mariadb", marks=pytest.mark.connected)], indirect=True
)
async def test_rows_that_the_application_inserts_are_shown(api: httpx.AsyncClient, gateway: Gateway) -> None:
    own = str(uuid4())
    column = json.dumps([SCENE])
    ids = [own, "video_1732700000_a1b2", "v-3", "v-4", "v-5"]
    for video_id, (columns, _) in zip(ids, ROWS, strict=True):
        await insert(gateway, video_id, column, **columns)
    for video_id, odd in (("odd-1", "[]"), ("odd-2", '{"a": 1}'), ("odd-3", '[1, {"sceneNumber": 9}]')):
        await insert(gateway, video_id, odd)
    shown = await call(api, "video.list")
    assert [row["videoId"] for row in shown["videos"]] == ["odd-3", "odd-2", "odd-1", *ids[::-1]]
    for video_id, (_, expected) in zip(ids, ROWS, strict=True):
        row = await call(api, "video.get", {"videoId": video_id})
        status = await call(api, "video.status", {"videoId": video_id})
        assert (row["niche"], row["prompt"], row["metadata"]) == ("food", "a fox", {})
        assert [scene["cameraAngle"] for scene in row["scenes"]] == ["wide"]
        assert (status["currentScene"], status["totalScenes"]) == (1, 1)
        assert (row | status).items() >= expected.items()
    assert (await api.get("/api/v1/videos")).json()["total"] == 8
    assert (await api.get(f"/api/v1/videos/{own}")).json()["owner"] == "anonymous"
    assert (await api.get("/api/v1/statistics")).status_code == 200
    refused = await api.post("/api/trpc/video.cancel", json={"videoId": "v-3"})
    assert refused.status_code == 404
