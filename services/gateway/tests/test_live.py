"""What watchers hear when events come out of order or a client comes late."""

from typing import Any
from uuid import UUID

import pytest

from gateway.app import Gateway
from gateway.live import Live
from gateway.steps import LiveEvent
from shared.contracts.events import VideoComposing, VideoFailed, VideoRequested
from shared.unit_of_work import working

VIDEO = UUID(int=7)


class Ears:
    """Stands for the sockets: what was sent to whom."""

    def __init__(self, live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
        self.heard: list[tuple[object, int | None]] = []

        async def emit(_name: str, data: dict[str, Any], *, to: str | None = None, room: object = None) -> None:
            self.heard.append((to or "room", data["seq"]))

        async def enter(_sid: str, _room: str) -> None:
            """Rooms are not needed here."""

        monkeypatch.setattr(live.server, "emit", emit)
        monkeypatch.setattr(live.server, "enter_room", enter)
        monkeypatch.setattr(live.server, "leave_room", enter)


@pytest.fixture
async def events(gateway: Gateway) -> list[LiveEvent]:
    """Three stored events of one video."""
    async with working(gateway.database) as work:
        await gateway.videos.record_request(work, VideoRequested(video_id=VIDEO, prompt="a fox"))
        await gateway.videos.record(work, VideoComposing(video_id=VIDEO))
        await gateway.videos.record(work, VideoFailed(video_id=VIDEO, stage="composer", kind="k", reason="r"))
    return await gateway.videos.events_after(VIDEO, 0)


async def test_events_that_overtake_each_other_are_told_in_order_and_once(
    gateway: Gateway, events: list[LiveEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    ears = Ears(gateway.live, monkeypatch)
    for n in (1, 0, 2, 1, 2):
        await gateway.live.tell(VIDEO, events[n])
    assert ears.heard == [("room", 1), ("room", 2), ("room", 3)]


async def test_a_hint_that_was_overtaken_is_dropped(
    gateway: Gateway, events: list[LiveEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    ears = Ears(gateway.live, monkeypatch)
    hint = LiveEvent(seq=None, after=1, type="t", data={"seq": None})
    for event in (events[0], hint, events[1], hint):
        await gateway.live.tell(VIDEO, event)
    assert ears.heard == [("room", 1), ("room", None), ("room", 2)]


@pytest.mark.parametrize(("last_seq", "replayed"), [(None, [3]), (0, [1, 2, 3]), (2, [3]), (3, [])])
async def test_a_client_that_comes_late_gets_what_it_missed(
    gateway: Gateway,
    events: list[LiveEvent],
    monkeypatch: pytest.MonkeyPatch,
    last_seq: int | None,
    replayed: list[int],
) -> None:
    ears = Ears(gateway.live, monkeypatch)
    wish = {"videoId": str(VIDEO)} | ({} if last_seq is None else {"lastSeq": last_seq})
    assert await gateway.live._subscribe("sid", wish) == {"ok": True}
    assert ears.heard == [("sid", seq) for seq in replayed]


@pytest.mark.parametrize(
    "wish", ["nonsense", {"videoId": 5}, {}, {"videoId": str(VIDEO), "lastSeq": "x"}, str(UUID(int=9))]
)
async def test_a_subscription_to_nothing_is_answered_with_why(
    gateway: Gateway, events: list[LiveEvent], wish: Any
) -> None:
    answer = await gateway.live._subscribe("sid", wish)
    assert answer["ok"] is False
    assert answer["error"]
