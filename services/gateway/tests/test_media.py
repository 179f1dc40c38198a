"""Films, thumbnails and clips, as a player fetches them."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

FILM = bytes(range(200))


@pytest.fixture
async def film(api: httpx.AsyncClient, filmed: Any) -> str:
    """The temporary link to a film of 200 bytes."""
    redirect = await api.get((await filmed())["videoUrl"])
    return str(redirect.headers["location"])


async def test_the_permanent_link_redirects_to_a_temporary_one(api: httpx.AsyncClient, filmed: Any) -> None:
    video = await filmed()
    for link in (video["videoUrl"], video["thumbnailUrl"], video["scenes"][1]["videoUrl"]):
        for method in ("GET", "HEAD"):
            answer = await api.request(method, link)
            assert (answer.status_code, answer.headers["cache-control"]) == (307, "no-store")
        whole = await api.get(answer.headers["location"])
        assert (whole.status_code, whole.content) == (200, FILM)


async def test_a_range_of_a_film_can_be_fetched(api: httpx.AsyncClient, film: str) -> None:
    for requested, returned, content in (
        ("bytes=0-9", "bytes 0-9/200", FILM[:10]),
        ("bytes=190-", "bytes 190-199/200", FILM[190:]),
        ("bytes=-5", "bytes 195-199/200", FILM[195:]),
        ("bytes=0-0", "bytes 0-0/200", FILM[:1]),
    ):
        answer = await api.get(film, headers={"range": requested})
        assert (answer.status_code, answer.headers["content-range"], answer.content) == (206, returned, content)


async def test_an_unsatisfiable_or_invalid_range_is_a_problem(api: httpx.AsyncClient, film: str) -> None:
    for requested, status in (("bytes=200-", 416), ("bytes=9-2", 400), ("pages=1-2", 400)):
        answer = await api.get(film, headers={"range": requested})
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert answer.json()["status"] == status
        if status == 416:
            assert answer.headers["content-range"] == "bytes */200"


async def test_head_returns_the_length_of_a_film_and_accepts_ranges(api: httpx.AsyncClient, film: str) -> None:
    answer = await api.head(film)
    assert (answer.status_code, answer.content) == (200, b"")
    assert (answer.headers["content-length"], answer.headers["accept-ranges"]) == ("200", "bytes")
    assert answer.headers["content-type"] == "video/mp4"


async def test_missing_or_unsigned_media_is_a_problem(api: httpx.AsyncClient, film: str) -> None:
    for path, status in (
        (f"/api/v1/videos/{uuid4()}/content", 404),
        (f"/api/v1/videos/{uuid4()}/scenes/{'9' * 4000}/content", 404),
        ("/media/videos/1/film.mp4", 422),
        ("/media/videos/1/film.mp4?end=99999999999&signature=0", 403),
        ("/media/..%2f..%2fetc%2fpasswd?end=99999999999&signature=0", 403),
        (film + "0", 403),
        (film + "%C3%A9", 403),
    ):
        answer = await api.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), path
