"""Films expire after the retention time unless they are kept; subscribers are notified."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import insert, select, update

from gateway.app import Gateway
from gateway.models import Video, VideoEvent, WebhookDelivery
from gateway.retention import POLICIES
from gateway.videos.expiry import Expiry
from shared.contracts.events import VideoExpired
from shared.persistence.database import now
from shared.process.retention import Retention
from shared_testing.servers import published

DAY = 86_400.0

either = pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("mariadb", marks=pytest.mark.connected)], indirect=True
)


async def sweep(gateway: Gateway) -> None:
    await gateway.expiry.expire(gateway.database, 0, 100)


async def let_time_pass(gateway: Gateway, video: dict[str, Any], days: float) -> None:
    """Move the end of a film closer."""
    async with gateway.database.sessions.begin() as session:
        row = (await session.execute(select(Video).where(Video.video_id == video["videoId"]))).scalar_one()
        if row.expires_at is not None:
            earlier = row.expires_at - timedelta(days=days)
            its = Video.video_id == video["videoId"]
            await session.execute(update(Video).where(its).values(expires_at=earlier, version=row.version + 1))


async def set_keep(api: httpx.AsyncClient, video: dict[str, Any], keep: object) -> httpx.Response:
    return await api.put(f"{video['links']['self']}/retention", json={"keep": keep})


@either
async def test_a_film_is_there_for_its_days_and_then_gone_with_all_that_shows_it(
    api: httpx.AsyncClient, gateway: Gateway, filmed: Any
) -> None:
    video = await filmed()
    lasts = datetime.fromisoformat(video["expiresAt"]) - datetime.fromisoformat(video["completedAt"])
    assert timedelta(days=30) - timedelta(minutes=1) < lasts < timedelta(days=30, minutes=1)
    await published(gateway.database)
    links = [video["videoUrl"], video["thumbnailUrl"], *(scene["videoUrl"] for scene in video["scenes"])]

    await let_time_pass(gateway, video, 29.9)
    await sweep(gateway)
    assert [(await api.get(link)).status_code for link in links] == [307] * 4
    await let_time_pass(gateway, video, 0.2)
    await sweep(gateway)

    gone = (await api.get(video["links"]["self"])).json()
    assert (gone["status"], gone["progress"], gone["currentStep"]) == ("expired", 100, "completed")
    assert (gone["videoUrl"], gone["thumbnailUrl"], [s["videoUrl"] for s in gone["scenes"]]) == (None, None, [None] * 2)
    same = ("title", "prompt", "storyScript", "costUsd", "completedAt", "totalScenes", "metadata")
    assert {name: gone[name] for name in same} == {name: video[name] for name in same}
    assert datetime.fromisoformat(gone["expiresAt"]) < datetime.fromisoformat(video["expiresAt"])
    for link in links:
        answer = await api.get(link)
        assert (answer.status_code, answer.json()["type"]) == (410, "/problems#film-expired")
        assert f"expired on {gone['expiresAt'][:10]}" in answer.json()["detail"]
        assert (await api.head(link)).status_code == 410
    assert [type(event) for event in await published(gateway.database)] == [VideoExpired]


async def test_subscribers_receive_the_expiry_once(api: httpx.AsyncClient, gateway: Gateway, filmed: Any) -> None:
    hook = {"url": "https://8.8.8.8/hook", "types": ["video.expired"]}
    assert (await api.post("/api/v1/webhook-endpoints", json=hook)).status_code == 201
    video = await filmed()
    await let_time_pass(gateway, video, 31)
    for _ in range(2):
        await sweep(gateway)
    [event] = await gateway.event_log.events_after(UUID(video["videoId"]), video["lastSeq"])
    assert (event.type, event.data["status"], event.seq) == ("video_expired", "expired", video["lastSeq"] + 1)
    async with gateway.database.reading() as session:
        assert list(await session.scalars(select(WebhookDelivery.type))) == ["video.expired"]
    stream = await api.get(video["links"]["events"], headers={"Last-Event-ID": str(video["lastSeq"])})
    assert stream.text.count("event: video_expired") == 1
    called = await api.get("/api/trpc/video.status", params={"input": f'{{"json":{{"videoId":"{video["videoId"]}"}}}}'})
    told = called.json()["result"]["data"]["json"]
    assert (told["status"], "videoUrl" in told) == ("expired", False)
    assert told["expiresAt"][:10] == (await api.get(video["links"]["self"])).json()["expiresAt"][:10]


@either
async def test_a_kept_film_stays_and_expires_only_after_keep_is_removed(
    api: httpx.AsyncClient, gateway: Gateway, filmed: Any
) -> None:
    video = await filmed()
    kept = await set_keep(api, video, keep=True)
    assert (kept.status_code, kept.json()["kept"], kept.json()["expiresAt"]) == (200, True, None)
    await let_time_pass(gateway, video, 1000)
    await sweep(gateway)
    assert (await api.get(video["videoUrl"])).status_code == 307

    let_go = (await set_keep(api, video, keep=False)).json()
    assert let_go["kept"] is False
    assert let_go["expiresAt"] >= video["expiresAt"]
    again = (await set_keep(api, video, keep=False)).json()
    assert again["expiresAt"] == let_go["expiresAt"], "asking again makes it last longer"
    await let_time_pass(gateway, video, 31)
    await sweep(gateway)
    late = await set_keep(api, video, keep=True)
    assert (late.status_code, late.json()["type"]) == (410, "/problems#film-expired")


async def test_a_video_can_be_kept_before_its_film_is_made(
    api: httpx.AsyncClient, happen: Any, film_of: Any, gateway: Gateway
) -> None:
    video = (await api.post("/api/v1/videos", json={"prompt": "a fox", "sceneCount": 2})).json()
    assert (video["kept"], video["expiresAt"]) == (False, None)
    assert (await set_keep(api, video, keep=True)).json()["kept"] is True
    await happen(*await film_of(video["videoId"]))
    shown = (await api.get(video["links"]["self"])).json()
    assert (shown["status"], shown["kept"], shown["expiresAt"]) == ("completed", True, None)


@pytest.mark.parametrize("keep", ["yes", 1, None])
async def test_only_yes_or_no_is_an_answer(api: httpx.AsyncClient, filmed: Any, keep: object) -> None:
    assert (await set_keep(api, await filmed(), keep)).status_code == 422


@either
async def test_rows_of_the_application_and_deleted_films_do_not_expire(
    api: httpx.AsyncClient, gateway: Gateway, filmed: Any
) -> None:
    own = {"video_id": "theirs", "niche": "n", "prompt": "p", "story_script": "", "scenes": [], "status": "completed"}
    async with gateway.database.sessions.begin() as session:
        await session.execute(insert(Video).values(**own, video_url="https://app.example/1.mp4"))
    video = await filmed()
    await let_time_pass(gateway, video, 31)
    assert (await api.delete(video["links"]["self"])).status_code == 204
    await published(gateway.database)
    await sweep(gateway)
    assert await published(gateway.database) == []
    [theirs] = (await api.get("/api/v1/videos")).json()["videos"]
    assert (theirs["status"], theirs["videoUrl"]) == ("completed", "https://app.example/1.mp4")
    assert (theirs["kept"], theirs["expiresAt"]) == (False, None)


async def test_a_published_expiry_date_survives_a_changed_setting(
    api: httpx.AsyncClient, gateway: Gateway, filmed: Any
) -> None:
    video = await filmed()
    shorter = Expiry(gateway.queries, gateway.projector, 1)
    await let_time_pass(gateway, video, 2)
    await shorter.expire(gateway.database, 0, 100)
    assert (await api.get(video["links"]["self"])).json()["status"] == "completed"
    assert shorter.policy.days == 0


async def test_of_an_old_video_that_has_ended_the_last_event_is_kept_and_of_one_that_goes_on_all_are(
    api: httpx.AsyncClient, gateway: Gateway, filmed: Any, happen: Any, film_of: Any
) -> None:
    ended = await filmed()
    going = (await api.post("/api/v1/videos", json={"prompt": "a fox", "sceneCount": 2})).json()
    await happen(*(await film_of(going["videoId"]))[:2])
    before = await gateway.event_log.events_after(UUID(going["videoId"]), 0)
    async with gateway.database.sessions.begin() as session:
        await session.execute(update(VideoEvent).values(created_at=now(-31 * DAY)))
    await Retention("gateway", gateway.database, POLICIES).pass_once()
    [last] = await gateway.event_log.events_after(UUID(ended["videoId"]), 0)
    assert (last.type, last.seq) == ("video_completed", ended["lastSeq"])
    assert await gateway.event_log.events_after(UUID(going["videoId"]), 0) == before != []
