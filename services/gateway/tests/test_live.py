"""The events that sockets of one replica get and do not get, without a broker."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
import socketio

from gateway.access.service import ANYBODY, Access, Caller, NotSignedIn
from gateway.access.tokens import Tokens
from gateway.app import Gateway
from gateway.internal_messages import LiveEvent, VideoUpdated
from gateway.live.rooms import MAX_QUEUED
from gateway.videos import event_stream
from shared.contracts.events import (
    Event,
    SceneDelayed,
    SceneFailed,
    SceneProgressed,
    SceneRendered,
    SceneStarted,
    StoryboardCreated,
    VideoCancelled,
    VideoComposed,
    VideoComposing,
    VideoFailed,
    VideoRequested,
    VideoStoring,
)
from shared.contracts.media import Clip, MediaReference
from shared.contracts.story import Scene
from shared.persistence.unit_of_work import transaction
from shared.process.supervisor import Supervisor, every
from shared_testing.servers import eventually

pytestmark = pytest.mark.slow

VIDEO = UUID(int=7)
OTHER = UUID(int=8)
OWNER = "anonymous"
MEDIA = MediaReference(key="a/b", content_type="video/mp4", size=1, sha256="0" * 64)
CLIP = Clip(media=MEDIA, width=1280, height=720, frames=240, has_audio=True)
SCENES = tuple(
    Scene(scene_number=n, description=f"scene {n}", camera_angle="wide", duration=10, action="a", transition="cut")
    for n in (1, 2)
)

OpenPage = Callable[..., Awaitable[Any]]


def board(video_id: UUID = VIDEO) -> StoryboardCreated:
    return StoryboardCreated(
        video_id=video_id, title="t", niche="n", overall_prompt="p", total_duration=20, story_script="s",
        aspect_ratio="16:9", scenes=SCENES,
    )  # fmt: skip


def started(n: int) -> SceneStarted:
    return SceneStarted(video_id=VIDEO, scene_number=n, provider="p", eta_seconds=9)


def progressed(n: int, percent: float) -> SceneProgressed:
    return SceneProgressed(video_id=VIDEO, scene_number=n, provider="p", percent=percent, eta_seconds=5)


def rendered(n: int) -> SceneRendered:
    return SceneRendered(video_id=VIDEO, scene_number=n, clip=CLIP, duration=10, cost_usd="0.5", provider="p")


COMPOSED = VideoComposed(video_id=VIDEO, film=MEDIA, thumbnail=MEDIA, duration=20, width=1280, height=720)
FAILED = VideoFailed(video_id=VIDEO, stage="composer", kind="k", reason="Because.")
WHOLE = (
    board(), started(1), progressed(1, 50), started(2), rendered(1), progressed(2, 10), rendered(2),
    VideoComposing(video_id=VIDEO), VideoStoring(video_id=VIDEO), COMPOSED,
)  # fmt: skip


class Overheard:
    """Records the messages between replicas."""

    def __init__(self) -> None:
        self.events: list[LiveEvent] = []

    async def publish(self, event: Event) -> None:
        assert isinstance(event, VideoUpdated)
        self.events.append(event.live)


async def happen(gateway: Gateway, *events: Event) -> list[LiveEvent]:
    """Apply events to a video; returns the events for its subscribers, hints included."""
    gateway.event_log.ephemeral = overheard = Overheard()
    for event in events:
        async with transaction(gateway.database) as work:
            if isinstance(event, VideoRequested):
                await gateway.projector.record_request(work, event)
            else:
                await gateway.projector.record(work, event)
    await asyncio.gather(*gateway.event_log.publishing)
    return overheard.events


async def tell(gateway: Gateway, *events: LiveEvent, video_id: UUID = VIDEO, owner: str = OWNER) -> None:
    for event in events:
        await gateway.event_stream.publish(video_id, owner, event)


def requested(video_id: UUID = VIDEO, owner: str = OWNER) -> VideoRequested:
    return VideoRequested(video_id=video_id, prompt="a fox", owner=owner, scene_count=2)


async def settled() -> None:
    """Wait long enough for everything that was sent, wanted or not, to arrive."""
    await asyncio.sleep(0.6)


# --- events


async def test_the_events_of_a_whole_video_arrive(gateway: Gateway) -> None:
    told = await happen(gateway, requested(), *WHOLE)
    assert [(event.type, event.data["currentStep"], event.data["progress"]) for event in told] == [
        ("video_generation_started", "storyboard", 0),
        ("video_storyboard_created", "scenes", 20),
        ("video_scene_processing", "scenes", 20),
        ("video_scene_processing", "scenes", 35),
        ("video_scene_processing", "scenes", 35),
        ("video_scene_completed", "scenes", 50),
        ("video_scene_processing", "scenes", 53),
        ("video_scene_completed", "scenes", 80),
        ("video_combining_scenes", "combining", 85),
        ("video_combining_scenes", "storing", 95),
        ("video_completed", "completed", 100),
    ]
    assert [event.seq for event in told] == [1, 2, 3, None, 4, 5, None, 6, 7, None, 8]
    own = f"/api/v1/videos/{VIDEO}"
    second_clip, end = told[7].data, told[-1].data
    assert (second_clip["sceneNumber"], second_clip["sceneDescription"]) == (2, "scene 2")
    assert second_clip["sceneVideoUrl"] == f"{own}/scenes/2/content"
    assert (second_clip["totalScenes"], second_clip["sceneProgress"]) == (2, 100)
    assert [event.data["currentScene"] for event in told] == [1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2]
    story = told[1].data
    assert story["storyboard"] == {"title": story["title"], "scenes": story["scenes"]}
    assert [scene["sceneNumber"] for scene in story["storyboard"]["scenes"]] == [1, 2]
    assert second_clip["etaSeconds"] is not None
    assert second_clip["etaSeconds"] >= 0
    assert (end["videoUrl"], end["thumbnailUrl"]) == (f"{own}/content", f"{own}/thumbnail")
    assert (end["etaSeconds"], end["status"]) == (None, "completed")


async def test_a_failure_event_has_its_reason(gateway: Gateway) -> None:
    failed = SceneFailed(video_id=VIDEO, scene_number=2, kind="k", reason="Too dark.", cost_usd="0.1")
    told = await happen(gateway, requested(), board(), failed, FAILED)
    assert [(event.type, event.data.get("error")) for event in told[2:]] == [
        ("video_scene_failed", "Too dark."),
        ("video_failed", "Because."),
    ]
    assert told[-1].data["sceneStates"] == [
        {"sceneNumber": 1, "state": "waiting", "progress": 0},
        {"sceneNumber": 2, "state": "failed", "progress": 0},
    ]


# --- order


async def test_reordered_events_arrive_in_order_and_once(gateway: Gateway, url: str, open_page: OpenPage) -> None:
    events = await happen(gateway, requested(), VideoComposing(video_id=VIDEO), FAILED)
    page = await open_page(url)
    await tell(gateway, *(events[n] for n in (1, 0, 2, 1, 2)))
    await settled()
    assert page.seqs(VIDEO) == [1, 2, 3]


async def test_an_outdated_hint_is_dropped(gateway: Gateway, url: str, open_page: OpenPage) -> None:
    first, second, _, hint, third = await happen(
        gateway, requested(), board(), started(1), progressed(1, 30), started(2)
    )
    page = await open_page(url)
    await tell(gateway, first, second, hint, third, hint)
    await settled()
    assert [data["seq"] for data in page.of(VIDEO)] == [1, 2, 3, 4]


async def test_progress_hints_are_rate_limited_and_the_last_one_arrives(
    gateway: Gateway, url: str, open_page: OpenPage
) -> None:
    events = await happen(
        gateway, requested(), board(), started(1), *(progressed(1, percent) for percent in range(2, 101, 2))
    )
    page = await open_page(url)
    begun = time.monotonic()
    for event in events:
        await tell(gateway, event)
        await asyncio.sleep(0.02)
    last = events[-1].data["progress"]
    await eventually(lambda: page.of(VIDEO)[-1]["progress"] == last, 5)
    ephemeral = [data for data in page.of(VIDEO) if data["seq"] is None]
    assert len(ephemeral) <= 2 + (time.monotonic() - begun) / event_stream.HINT_EVERY_SECONDS
    assert len(ephemeral) < 25


async def test_progress_never_decreases(gateway: Gateway, url: str, open_page: OpenPage) -> None:
    """Neither reordered hints nor a page that is ahead of the last stored event make it decrease."""
    *stored, early, late = await happen(gateway, requested(), board(), started(1), progressed(1, 30), progressed(1, 60))
    silent = await open_page(url)
    await tell(gateway, *stored)
    page = await open_page(url)
    assert await page.subscribe(str(VIDEO)) == {"ok": True}
    await tell(gateway, early, late, early)
    await asyncio.sleep(2.5 * event_stream.HINT_EVERY_SECONDS)
    for one in (silent, page):
        seen = [data["progress"] for data in one.of(VIDEO)]
        assert seen == sorted(seen)
        assert seen[-1] == late.data["progress"]


# --- late clients


@pytest.mark.parametrize(
    ("last_seq", "heard"), [(None, [3, 4]), (0, [1, 2, 3, 4]), (2, [3, 4]), (3, [4]), (99, [4])], ids=str
)
async def test_a_late_client_gets_what_it_missed(
    gateway: Gateway, url: str, open_page: OpenPage, last_seq: int | None, heard: list[int]
) -> None:
    events = await happen(gateway, requested(), board(), started(1))
    page = await open_page(url)
    wish = {"videoId": str(VIDEO)} | ({} if last_seq is None else {"lastSeq": last_seq})
    assert await page.subscribe(wish) == {"ok": True}
    # This replica hears all of it only now; who was told already hears nothing twice.
    await tell(gateway, *events, *await happen(gateway, started(2)))
    await settled()
    assert page.seqs(VIDEO) == heard


async def test_a_reconnecting_page_gets_every_event_once_and_in_order(
    gateway: Gateway, url: str, open_page: OpenPage
) -> None:
    def delayed(n: int) -> SceneDelayed:
        return SceneDelayed(video_id=VIDEO, scene_number=1, provider="p", kind="k", reason=f"{n}")

    events = await happen(gateway, requested(), *(delayed(n) for n in range(150)))
    pages = [await open_page(url) for _ in range(4)]

    async def tell_all() -> None:
        for event in events:
            await tell(gateway, event)
            await asyncio.sleep(0.01)

    async def lose_and_come_back(page: Any) -> None:
        while page.last_seq(VIDEO) != 151:
            await page.lose()
            await page.open(url)
            wish = {"videoId": str(VIDEO), "lastSeq": page.last_seq(VIDEO)}
            await asyncio.sleep(0.02)
            assert await page.subscribe(wish) == {"ok": True}
            await asyncio.sleep(0.1)

    silent = await open_page(url)
    await asyncio.gather(tell_all(), *(lose_and_come_back(page) for page in pages))
    pages.append(silent)
    await eventually(lambda: all(page.last_seq(VIDEO) == 151 for page in pages), 10)
    for page in pages:
        assert page.seqs(VIDEO) == list(range(1, 152))
    await eventually(lambda: not gateway.live.ahead, 5)


@contextlib.asynccontextmanager
async def repeating(work: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    supervisor = Supervisor("gateway")
    supervisor.start(every(0.1, work, "event_stream"))
    try:
        yield
    finally:
        await supervisor.stop()


async def test_events_lost_by_the_broker_are_found_in_the_log(gateway: Gateway, url: str, open_page: OpenPage) -> None:
    """A replica that has just started sends no older events, but all that happened since."""
    await happen(gateway, requested(), board())
    await asyncio.sleep(0.01)
    async with gateway.event_stream.running(), repeating(gateway.event_stream.catch_up):
        page = await open_page(url)
        await happen(gateway, started(1), started(2))
        await happen(gateway, requested(OTHER), VideoCancelled(video_id=OTHER, by="me", reason="r"))
        await eventually(lambda: page.last_seq(OTHER) == 2 and page.last_seq(VIDEO) == 4, 10)
        late, last = await happen(gateway, rendered(1), rendered(2))
        await tell(gateway, last, late)
        await settled()
    assert page.seqs(VIDEO) == [3, 4, 5, 6]
    assert page.seqs(OTHER) == [1, 2]


# --- subscriptions


async def test_a_page_about_one_video_gets_that_video_and_a_list_gets_all(
    gateway: Gateway, url: str, open_page: OpenPage
) -> None:
    silent, one, listing, gone = [await open_page(url) for _ in range(4)]
    first = await happen(gateway, requested())
    other = await happen(gateway, requested(OTHER))
    await one.subscribe({"videoId": str(VIDEO), "lastSeq": 1})
    await listing.subscribe()
    await listing.subscribe({"videoId": str(VIDEO), "lastSeq": 1})
    await gone.subscribe({"videoId": str(VIDEO), "lastSeq": 1})
    assert await gone.unsubscribe(str(VIDEO)) == {"ok": True}
    await tell(gateway, *first, *await happen(gateway, board()))
    await tell(gateway, *other, video_id=OTHER)
    await settled()
    heard = [(page.seqs(VIDEO), page.seqs(OTHER)) for page in (silent, one, listing, gone)]
    assert heard == [([1, 2], [1]), ([2], []), ([2], [1]), ([], [])]
    assert await listing.unsubscribe() == {"ok": True}
    await tell(gateway, *await happen(gateway, board(OTHER)), video_id=OTHER)
    await settled()
    assert (listing.seqs(OTHER), silent.seqs(OTHER)) == ([1], [1, 2])


async def test_sending_all_videos_can_be_turned_off(gateway: Gateway, url: str, open_page: OpenPage) -> None:
    gateway.live.sends_all = False
    silent, asking = await open_page(url), await open_page(url)
    await asking.subscribe()
    await tell(gateway, *await happen(gateway, requested()))
    await settled()
    assert (silent.heard, asking.seqs(VIDEO)) == ([], [1])


async def test_a_page_can_decline_all_videos(gateway: Gateway, url: str, open_page: OpenPage) -> None:
    page = await open_page(url, {"feed": False})
    events = await happen(gateway, requested(), board())
    await tell(gateway, *events)
    await settled()
    assert page.heard == []
    await page.subscribe({"videoId": str(VIDEO), "lastSeq": 1})
    assert page.seqs(VIDEO) == [2]


@pytest.mark.parametrize(
    "wish",
    ["nonsense", 5, [], {"videoId": 5}, {}, {"videoId": str(VIDEO), "lastSeq": "x"},
     {"videoId": str(VIDEO), "lastSeq": -1}, str(UUID(int=9))],
    ids=str,
)  # fmt: skip
async def test_an_invalid_subscription_is_answered_with_the_reason(
    gateway: Gateway, url: str, open_page: OpenPage, wish: Any
) -> None:
    await happen(gateway, requested())
    page = await open_page(url)
    answer = await page.subscribe(wish)
    assert answer["ok"] is False
    assert answer["error"]


class Keys(Access):
    """Two keys."""

    def __init__(self) -> None:
        super().__init__(None, Tokens(b"secret"), 0)

    async def identify_socket(self, _environ: dict[str, object], auth: object) -> Caller:
        token = auth.get("token") if isinstance(auth, dict) else None
        if token not in ("key of a", "key of b"):
            raise NotSignedIn("This key is not known.")
        return replace(ANYBODY, owner=str(token)[-1], sees_all=False)


@pytest.fixture
async def keys_wanted(gateway: Gateway) -> None:
    gateway.live.access = Keys()


async def test_no_client_gets_another_owners_events(
    keys_wanted: None, gateway: Gateway, url: str, open_page: OpenPage
) -> None:
    a, b = [await open_page(url, {"token": f"key of {owner}"}) for owner in "ab"]
    unknown = uuid4()
    events = await happen(gateway, requested(owner="a"), board())
    assert await a.subscribe({"videoId": str(VIDEO), "lastSeq": 0}) == {"ok": True}
    for wish in ({"videoId": str(VIDEO), "lastSeq": 0}, str(VIDEO), str(unknown)):
        answer = await b.subscribe(wish)
        assert (answer["ok"], "There is no video" in answer["error"]) == (False, True)
    await tell(gateway, *events, *await happen(gateway, started(1)), owner="a")
    await tell(gateway, *await happen(gateway, requested(unknown, owner="a")), video_id=unknown, owner="a")
    await settled()
    assert a.seqs(VIDEO) == [1, 2, 3]
    assert b.heard == []


@pytest.mark.parametrize("auth", [None, {"token": "stolen"}, {"token": 5}], ids=str)
async def test_a_socket_without_a_valid_key_is_refused(
    keys_wanted: None, gateway: Gateway, url: str, open_page: OpenPage, auth: Any
) -> None:
    refusals = []
    client = socketio.AsyncClient(reconnection=False)
    client.on("connect_error", refusals.append)
    with pytest.raises(socketio.exceptions.ConnectionError):
        await client.connect(url, auth=auth, transports=["websocket"])
    assert [refusal["message"] for refusal in refusals] == ["This key is not known."]
    await eventually(lambda: not any(gateway.live.server.manager.rooms.get("/", {}).values()), 5)


# --- slow and excessive clients


async def test_a_client_that_reads_nothing_is_dropped_and_others_get_everything(
    gateway: Gateway, url: str, open_page: OpenPage, request: pytest.FixtureRequest
) -> None:
    """20,000 events with --all, 4,000 without."""
    count = 20_000 if request.config.getoption("--all") else 4_000
    page = await open_page(url)
    paused = await _paused(url)
    sockets = gateway.live.server.eio.sockets
    await eventually(lambda: len(gateway.live.server.manager.rooms["/"].get("all", ())) == 2, 10)
    most, late = 0, []
    for seq in range(1, count + 1):
        data = {"videoId": str(VIDEO), "seq": seq, "progress": 0, "padding": "x" * 1000, "at": time.time()}
        await tell(gateway, LiveEvent(seq=seq, after=seq - 1, type="video_scene_processing", data=data))
        most = max(most, *(socket.queue.qsize() for socket in sockets.values()))
    await eventually(lambda: page.last_seq(VIDEO) == count, 60)
    assert page.seqs(VIDEO) == list(range(1, count + 1))
    assert most <= MAX_QUEUED
    await eventually(lambda: len(sockets) == 1, 5)
    # Its connection is cut, not only forgotten.
    await asyncio.wait_for(_until_cut(paused), 10)
    late = sorted(at - data["at"] for at, (_, data) in zip(page.heard_at, page.heard, strict=True))
    print(f"\nothers: median {late[count // 2] * 1000:.1f} ms, p99 {late[count * 99 // 100] * 1000:.1f} ms")  # noqa: T201 - for whoever looks


async def _paused(url: str) -> socket.socket:
    """A client that connects and then never reads."""
    loop, host, port = asyncio.get_running_loop(), *url.removeprefix("http://").split(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await loop.sock_connect(client, (host, int(port)))
    await loop.sock_sendall(
        client,
        f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode(),
    )
    heard = b""
    while b"pingInterval" not in heard:
        heard += await loop.sock_recv(client, 4096)
    # A text frame, masked with zeros: Socket.IO's CONNECT.
    await loop.sock_sendall(client, b"\x81\x82\x00\x00\x00\x0040")
    return client


async def _until_cut(client: socket.socket) -> None:
    with contextlib.suppress(ConnectionError):
        while await asyncio.get_running_loop().sock_recv(client, 65_536):
            pass
    client.close()


async def test_an_oversized_message_ends_the_connection(url: str, open_page: OpenPage) -> None:
    page = await open_page(url)
    await page.client.emit("subscribe_video_updates", {"videoId": "x" * 20_000})
    await eventually(lambda: not page.is_open, 10)


async def test_the_socket_does_not_compress(gateway: Gateway, url: str) -> None:
    """Compression would cost one process more than it saves."""
    reader, writer = await asyncio.open_connection(*url.removeprefix("http://").split(":"))
    writer.write(
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
    )
    answer = (await reader.readuntil(b"\r\n\r\n")).lower()
    writer.close()
    assert b" 101 " in answer
    assert b"permessage-deflate" not in answer
