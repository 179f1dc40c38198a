"""Looking again costs little: entity tags, and lists that go on where they ended."""

import asyncio
from typing import Any

import httpx
import pytest

from gateway.app import Gateway
from gateway.http.preconditions import matches
from shared.contracts.events import SceneCharged, SceneProgressed

GOOD = {"prompt": "a fox", "sceneCount": 2}
VIDEOS = "/api/v1/videos"

either = pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("mariadb", marks=pytest.mark.connected)], indirect=True
)


@either
async def test_an_unchanged_video_answers_not_modified(api: httpx.AsyncClient) -> None:
    link = (await api.post(VIDEOS, json=GOOD)).json()["links"]["self"]
    first = await api.get(link)
    assert first.headers["cache-control"] == "private, no-cache"
    again = await api.get(link, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert again.headers["retry-after"] == first.headers["retry-after"]
    await api.post(f"{link}/cancel", json={})
    other = await api.get(link, headers={"If-None-Match": first.headers["etag"]})
    assert (other.status_code, other.json()["status"]) == (200, "cancelled")
    assert "retry-after" not in other.headers


@either
async def test_every_change_of_what_is_shown_changes_the_tag(api: httpx.AsyncClient, happen: Any, film_of: Any) -> None:
    video = (await api.post(VIDEOS, json=GOOD)).json()
    story, first, second, composed = await film_of(video["videoId"])
    own = {"video_id": video["videoId"]}
    hint = SceneProgressed(**own, scene_number=1, provider="runway", percent=40, eta_seconds=5)
    charge = SceneCharged(
        **own, scene_number=1, attempt_id=video["videoId"], revision=1, owner="anonymous", provider="runway",
        day="2026-11-20", state="held", held_usd="0.6", booked_usd="0",
    )  # fmt: skip
    link = video["links"]["self"]
    tags = [(await api.get(link)).headers["etag"]]
    for change in (story, hint, charge, first, second, composed):
        await happen(change)
        tags.append((await api.get(link)).headers["etag"])
    await api.post(f"{link}/animatic", json={})
    tags.append((await api.get(link)).headers["etag"])
    await api.put(f"{link}/rating", json={"rating": 4})
    tags.append((await api.get(link)).headers["etag"])
    assert len(set(tags)) == len(tags) == 9
    await happen(first, hint)  # nothing new
    assert (await api.get(link)).headers["etag"] == tags[-1]


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ('W/"1-a"', True),
        ('"1-a"', True),
        ('"0-a", W/"1-a" ,"2-a"', True),
        ("*", True),
        ('"2-a"', False),
        ("1-a", False),
        ("", False),
        ('"', False),
        (None, False),
    ],
)
def test_tags_are_compared_weakly_and_in_lists(asked: str | None, answer: bool) -> None:
    assert matches(asked, 'W/"1-a"') is answer


async def walk(api: httpx.AsyncClient, limit: int, **query: Any) -> list[dict[str, Any]]:
    """Follow the list by its links to its end."""
    found: list[dict[str, Any]] = []
    link: str | None = str(httpx.URL(VIDEOS, params={"limit": limit, **query}))
    while link:
        answer = await api.get(link)
        page = answer.json()
        assert page["hasMore"] == ("next" in answer.links) == (page["nextCursor"] is not None)
        found += page["videos"]
        link = answer.links.get("next", {}).get("url")
    return found


@either
async def test_a_list_is_walked_newest_first_with_none_twice_and_none_lost_while_others_come(
    api: httpx.AsyncClient,
) -> None:
    before = [(await api.post(VIDEOS, json={"prompt": f"story {n}"})).json()["videoId"] for n in range(15)]

    async def keep_coming() -> None:
        while True:
            await api.post(VIDEOS, json=GOOD)

    coming = asyncio.create_task(keep_coming())
    try:
        seen = [video["videoId"] for video in await walk(api, limit=2)]
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
    assert len(set(seen)) == len(seen)
    assert [video_id for video_id in seen if video_id in before] == before[::-1]


async def test_a_list_can_be_of_one_status(api: httpx.AsyncClient) -> None:
    made = [(await api.post(VIDEOS, json=GOOD)).json() for _ in range(5)]
    for video in made[::2]:
        await api.post(video["links"]["cancel"], json={})
    cancelled = await walk(api, limit=2, status="cancelled")
    assert [video["videoId"] for video in cancelled] == [video["videoId"] for video in made[::2]][::-1]


async def test_a_forged_cursor_is_refused(api: httpx.AsyncClient) -> None:
    for after in ("nonsense", "YmVmb3JlIDA", "a" * 65, "", "b%00", "YmVmb3JlIDk" * 5):
        answer = await api.get(f"{VIDEOS}?after={after}")
        assert answer.status_code == 422, after
        assert [error["field"] for error in answer.json()["errors"]] == ["after"]


async def test_an_offset_is_refused_and_not_passed_over(api: httpx.AsyncClient) -> None:
    answer = await api.get(f"{VIDEOS}?offset=20")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "offset")


async def test_the_head_of_a_video_can_be_asked_for(api: httpx.AsyncClient, gateway: Gateway) -> None:
    link = (await api.post(VIDEOS, json=GOOD)).json()["links"]["self"]
    assert (await api.head(link)).headers["etag"] == (await api.get(link)).headers["etag"]
