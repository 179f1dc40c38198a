"""A deleted video is gone for whoever looks; its money is not, and what is stored of it is told to go."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from gateway.app import Gateway
from shared.contracts.events import (
    SceneCharged,
    SceneProgressed,
    VideoCancelled,
    VideoDeleted,
    VideoFailed,
    VideoRequested,
    VideoResumed,
)
from shared.persistence.unit_of_work import transaction
from shared_testing.servers import published

GOOD = {"prompt": "a fox", "sceneCount": 2}
VIDEOS = "/api/v1/videos"

either = pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("mariadb", marks=pytest.mark.connected)], indirect=True
)


async def said(gateway: Gateway, kind: type[Any]) -> list[Any]:
    return [event for event in await published(gateway.database) if isinstance(event, kind)]


@either
async def test_a_deleted_video_is_hidden_and_services_are_asked_to_remove_its_files(
    api: httpx.AsyncClient, gateway: Gateway, filmed: Any
) -> None:
    video = await filmed()
    assert (await api.delete(video["links"]["self"])).status_code == 204
    for link in (
        video["links"]["self"],
        video["links"]["events"],
        video["links"]["storyboard"],
        video["videoUrl"],
        video["thumbnailUrl"],
        video["scenes"][0]["videoUrl"],
    ):
        assert (await api.get(link)).status_code == 404
    assert (await api.delete(video["links"]["self"])).status_code == 404
    listed = (await api.get(VIDEOS)).json()
    assert (listed["videos"], listed["total"]) == ([], 0)
    assert [str(event.video_id) for event in await said(gateway, VideoDeleted)] == [video["videoId"]]
    assert await gateway.event_log.events_after(UUID(video["videoId"]), 0) == []


@pytest.mark.parametrize("review", [True, False])
async def test_a_video_that_is_being_made_has_to_be_cancelled_first(api: httpx.AsyncClient, review: bool) -> None:
    video = (await api.post(VIDEOS, json={**GOOD, "review": review})).json()
    refused = await api.delete(video["links"]["self"])
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems#video-not-ended")
    await api.post(video["links"]["cancel"], json={})
    assert (await api.delete(video["links"]["self"])).status_code == 204


async def test_a_deleted_video_that_had_failed_is_never_resumed(
    api: httpx.AsyncClient, gateway: Gateway, happen: Any
) -> None:
    video = (await api.post(VIDEOS, json=GOOD)).json()
    await happen(VideoFailed(video_id=video["videoId"], stage="composer", kind="k", reason="r"))
    await api.delete(video["links"]["self"])
    # Whoever renders would pay for what nobody can see.
    assert len(await said(gateway, VideoCancelled)) == 1
    await happen(VideoCancelled(video_id=video["videoId"], by="t", reason="r"))
    await happen(VideoResumed(video_id=video["videoId"]))
    assert (await api.get(video["links"]["self"])).status_code == 404
    assert (await api.get("/api/v1/statistics")).json()["failed"] == 1


@either
async def test_late_events_of_a_deleted_video_book_charges_and_remove_clips_again(
    api: httpx.AsyncClient, gateway: Gateway, happen: Any, film_of: Any
) -> None:
    video = (await api.post(VIDEOS, json=GOOD)).json()
    storyboard, first, _, composed = await film_of(video["videoId"])
    await api.post(video["links"]["cancel"], json={})
    await api.delete(video["links"]["self"])
    charge = SceneCharged(
        video_id=video["videoId"], scene_number=1, attempt_id=uuid4(), revision=1, owner="anonymous",
        provider="runway", day="2026-11-20", state="settled", held_usd="0", booked_usd="0.6",
    )  # fmt: skip
    hint = SceneProgressed(video_id=video["videoId"], scene_number=1, provider="runway", percent=40, eta_seconds=5)
    await happen(storyboard, hint, charge, first, composed)
    assert len(await said(gateway, VideoDeleted)) == 4
    spend = (await api.get("/api/v1/spend", params={"from": "2026-11-01", "to": "2026-11-30"})).json()
    assert float(spend["bookedUsd"]) == 0.6
    [kept] = (await api.get("/api/v1/charges")).json()["charges"]
    assert kept["videoId"] == video["videoId"]
    assert (await api.get(video["links"]["self"])).status_code == 404


async def test_the_id_of_a_deleted_video_makes_no_other(api: httpx.AsyncClient, gateway: Gateway) -> None:
    wish = {**GOOD, "videoId": str(uuid4())}
    video = (await api.post(VIDEOS, json=wish)).json()
    [request] = await said(gateway, VideoRequested)
    await api.post(video["links"]["cancel"], json={})
    await api.delete(video["links"]["self"])
    for again in (wish, {**wish, "prompt": "a hen"}):
        answer = await api.post(VIDEOS, json=again)
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems#id-already-used")
    async with transaction(gateway.database) as work:
        await gateway.projector.record_request(work, request)  # the broker brings it again
    assert (await api.get(VIDEOS)).json()["total"] == 0
    assert await said(gateway, VideoRequested) == []


async def test_a_deleted_animatic_is_drawn_again_on_request(api: httpx.AsyncClient, happen: Any, filmed: Any) -> None:
    link = (await filmed())["links"]["animatic"]
    first = (await api.post(link, json={})).json()
    assert (await api.post(link, json={})).json()["videoId"] == first["videoId"]
    await api.post(first["links"]["cancel"], json={})
    await api.delete(first["links"]["self"])
    second = await api.post(link, json={})
    assert (second.status_code, second.json()["status"]) == (202, "pending")
    assert second.json()["videoId"] != first["videoId"]
