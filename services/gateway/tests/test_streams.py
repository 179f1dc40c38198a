"""The stream of a film as a player sees it: a playlist that grows scene by scene and then ends."""

import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import select, update

from gateway.app import Gateway
from gateway.models import StreamPiece, Video
from shared.contracts.events import (
    Event,
    StreamExtended,
    VideoCancelled,
    VideoDeleted,
    VideoExpired,
    VideoFailed,
)
from shared.contracts.media import StreamSegment, stream_key
from shared.persistence.unit_of_work import transaction
from shared_testing.servers import published

either = pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("mariadb", marks=pytest.mark.connected)], indirect=True
)

Piece = Callable[..., Awaitable[StreamExtended]]
VIDEOS = "/api/v1/videos"


@pytest.fixture
def piece(gateway: Gateway, tmp_path: Path) -> Piece:
    """Store a piece of a stream; returns its event. A file holds its own name."""

    async def store(video_id: str, number: int, *frames: int, count: int = 3) -> StreamExtended:
        async def put(name: str) -> Any:
            (tmp_path / "file").write_text(f"{number}-{name}")
            return await gateway.storage.put(stream_key(video_id, number, name), tmp_path / "file", "video/mp4")

        segments = [StreamSegment(media=await put(str(n)), frames=length) for n, length in enumerate(frames)]
        return StreamExtended(
            video_id=UUID(video_id), piece_number=number, piece_count=count, init=await put("init"),
            segments=tuple(segments), longest_frames=245,
        )  # fmt: skip

    return store


@pytest.fixture
def making(api: httpx.AsyncClient) -> Callable[[], Awaitable[str]]:
    """Request a video; returns its id."""

    async def make() -> str:
        return str((await api.post(VIDEOS, json={"prompt": "a fox", "sceneCount": 3})).json()["videoId"])

    return make


async def playlist(api: httpx.AsyncClient, video_id: str) -> str:
    answer = await api.get(f"{VIDEOS}/{video_id}/stream.m3u8")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert answer.headers["content-type"].startswith("application/vnd.apple.mpegurl")
    return answer.text


async def plain(api: httpx.AsyncClient, video_id: str) -> list[str]:
    """The playlist's lines, without its head and with the names of objects instead of links."""
    lines = re.sub(r"/media/videos/[^/]+/stream/([^?]+)\?[^\n\"]+", r"\1", await playlist(api, video_id)).splitlines()
    return lines[lines.index("#EXT-X-START:TIME-OFFSET=0,PRECISE=YES") + 1 :]


@either
async def test_the_playlist_grows_piece_by_piece_and_ends_with_the_last(
    api: httpx.AsyncClient, happen: Any, making: Any, piece: Piece
) -> None:
    video_id = await making()
    early = await api.get(f"{VIDEOS}/{video_id}/stream.m3u8")
    assert (early.status_code, early.json()["type"]) == (404, "/problems#stream-not-started")
    assert (await api.get(f"{VIDEOS}/{video_id}")).json()["streamUrl"] is None

    await happen(await piece(video_id, 1, 48, 49))
    first = await playlist(api, video_id)
    assert first.splitlines()[:7] == [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        "#EXT-X-TARGETDURATION:11",
        "#EXT-X-MEDIA-SEQUENCE:0",
        "#EXT-X-PLAYLIST-TYPE:EVENT",
        "#EXT-X-INDEPENDENT-SEGMENTS",
        "#EXT-X-START:TIME-OFFSET=0,PRECISE=YES",
    ]
    begun = [
        '#EXT-X-MAP:URI="1-init.mp4"', "#EXTINF:2.000000,", "1-0.mp4", "#EXTINF:2.041667,", "1-1.mp4",
    ]  # fmt: skip
    assert await plain(api, video_id) == begun
    shown = (await api.get(f"{VIDEOS}/{video_id}")).json()
    assert (shown["streamUrl"], shown["status"]) == (f"{VIDEOS}/{video_id}/stream.m3u8", "pending")

    await happen(await piece(video_id, 3, 240))
    assert await plain(api, video_id) == begun, "a piece is missing before it"
    await happen(await piece(video_id, 2, 24))
    assert await plain(api, video_id) == [
        *begun,
        "#EXT-X-DISCONTINUITY", '#EXT-X-MAP:URI="2-init.mp4"', "#EXTINF:1.000000,", "2-0.mp4",
        "#EXT-X-DISCONTINUITY", '#EXT-X-MAP:URI="3-init.mp4"', "#EXTINF:10.000000,", "3-0.mp4",
        "#EXT-X-ENDLIST",
    ]  # fmt: skip


async def test_every_link_in_the_playlist_leads_to_its_object(
    api: httpx.AsyncClient, happen: Any, making: Any, piece: Piece
) -> None:
    video_id = await making()
    await happen(await piece(video_id, 1, 48, 48, count=1))
    links = re.findall(r"/media/[^\n\"]+", await playlist(api, video_id))
    assert [(await api.get(link)).text for link in links] == ["1-init", "1-0", "1-1"]
    assert [(await api.get(link[:-1])).status_code for link in links] == [403] * 3
    assert (await api.head(f"{VIDEOS}/{video_id}/stream.m3u8")).status_code == 200


async def test_subscribers_are_told_how_much_can_be_watched(
    gateway: Gateway, happen: Any, making: Any, piece: Piece
) -> None:
    video_id = await making()
    for event in (await piece(video_id, 2, 24), await piece(video_id, 1, 48, 48), await piece(video_id, 3, 12)):
        await happen(event)
    await happen(await piece(video_id, 3, 12))
    events = [one for one in await gateway.event_log.events_after(UUID(video_id), 0) if "stream" in one.type]
    assert [(one.type, one.data["streamSeconds"]) for one in events] == [
        ("video_stream_extended", 5.0), ("video_stream_extended", 5.5),
    ]  # fmt: skip
    assert {one.data["streamUrl"] for one in events} == {f"{VIDEOS}/{video_id}/stream.m3u8"}


@pytest.mark.parametrize(
    "end",
    [
        lambda video_id: VideoFailed(video_id=video_id, stage="composer", kind="k", reason="r"),
        lambda video_id: VideoCancelled(video_id=video_id, by="me", reason="r"),
    ],
)
async def test_the_stream_of_a_video_without_a_film_ends_with_what_there_is(
    api: httpx.AsyncClient, happen: Any, making: Any, piece: Piece, end: Callable[[UUID], Event]
) -> None:
    video_id = await making()
    await happen(await piece(video_id, 1, 48), end(UUID(video_id)))
    assert await plain(api, video_id) == [
        '#EXT-X-MAP:URI="1-init.mp4"', "#EXTINF:2.000000,", "1-0.mp4", "#EXT-X-ENDLIST",
    ]  # fmt: skip


@either
async def test_a_late_piece_is_played_but_nothing_is_told_after_the_film(
    api: httpx.AsyncClient, gateway: Gateway, happen: Any, making: Any, piece: Piece, film_of: Any
) -> None:
    video_id = await making()
    await happen(await piece(video_id, 1, 48, count=2), *await film_of(video_id))
    assert (await plain(api, video_id))[-1] == "1-0.mp4"
    await happen(await piece(video_id, 2, 48, count=2))
    assert (await plain(api, video_id))[-2:] == ["2-0.mp4", "#EXT-X-ENDLIST"]
    assert (await gateway.event_log.events_after(UUID(video_id), 0))[-1].type == "video_completed"


@either
async def test_a_stream_whose_last_piece_never_comes_ends_some_time_after_the_film(
    api: httpx.AsyncClient, gateway: Gateway, happen: Any, making: Any, piece: Piece, film_of: Any
) -> None:
    video_id = await making()
    await happen(await piece(video_id, 1, 48, count=2), *await film_of(video_id))
    async with gateway.database.sessions.begin() as session:
        row = (await session.execute(select(Video).where(Video.video_id == video_id))).scalar_one()
        assert row.completed_at is not None
        earlier = row.completed_at - timedelta(minutes=16)
        await session.execute(update(Video).values(completed_at=earlier, version=row.version + 1))
    assert (await plain(api, video_id))[-2:] == ["1-0.mp4", "#EXT-X-ENDLIST"]


@either
async def test_an_expired_or_deleted_video_has_no_stream(
    api: httpx.AsyncClient, gateway: Gateway, happen: Any, making: Any, piece: Piece, film_of: Any
) -> None:
    expired, deleted = await making(), await making()
    for video_id in (expired, deleted):
        await happen(await piece(video_id, 1, 48, count=1), *await film_of(video_id))
    async with transaction(gateway.database) as work:
        await gateway.projector.record(work, VideoExpired(video_id=UUID(expired)))
    assert (await api.delete(f"{VIDEOS}/{deleted}")).status_code == 204
    gone = await api.get(f"{VIDEOS}/{expired}/stream.m3u8")
    assert (gone.status_code, gone.json()["type"]) == (410, "/problems#film-expired")
    assert (await api.get(f"{VIDEOS}/{expired}")).json()["streamUrl"] is None
    for video_id in (deleted, str(uuid4())):
        assert (await api.get(f"{VIDEOS}/{video_id}/stream.m3u8")).status_code == 404
    async with gateway.database.reading() as session:
        assert (await session.scalars(select(StreamPiece.video_id))).all() == []

    await published(gateway.database)
    await happen(await piece(deleted, 1, 48, count=1))
    assert [type(event) for event in await published(gateway.database)] == [VideoDeleted], "its files would stay"
