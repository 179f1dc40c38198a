"""A refused request on the broker is reported to its publisher and affects no video."""

import json
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import pytest

from shared.contracts.events import SceneRequested, StoryboardCreated, VideoFailed
from shared.messaging.event_router import Delivery
from shared.messaging.message_processor import DeadLettered, Handled, process
from shared_testing.servers import published
from storyboard.app import build
from storyboard.handlers import router
from storyboard.settings import Settings

VIDEO = UUID(int=7)
GOOD = {"videoId": str(VIDEO), "prompt": "a fox", "owner": "publisher", "postId": "p-7", "sceneCount": 2}
NO_ID = uuid5(NAMESPACE_OID, "m-1")


@pytest.fixture
async def deliver(rig: Any, tmp_path: Any) -> Any:
    """Return a function that delivers a body as a request and returns the published events."""
    service = build(Settings(database_url=f"sqlite+aiosqlite:///{tmp_path}/storyboard.db"), None)

    async def delivered(body: bytes, message_id: str = "m-1", user: str | None = None) -> tuple[Any, list[Any]]:
        delivery = Delivery("storyboard.v", message_id, user=user)
        outcome = await process(service, router.subscriptions[0], delivery, body)
        return outcome, await published(rig.database)

    yield delivered
    await service.database.close()


@pytest.mark.parametrize(
    ("change", "video_id", "owner", "post_id", "reason"),
    [
        ({"duration": 61}, VIDEO, "publisher", "p-7", "duration"),
        ({"prompt": "a\x00b"}, VIDEO, "publisher", "p-7", "prompt: holds the character U+0000"),
        ({"niche": "a\x1bb"}, VIDEO, "publisher", "p-7", "niche: holds the character U+001B"),
        ({"prompt": "\u200b"}, VIDEO, "publisher", "p-7", "prompt: holds only invisible"),
        ({"owner": "a\x00"}, VIDEO, None, "p-7", "owner"),
        ({"metadata": {"\x00": 1}}, VIDEO, "publisher", "p-7", "metadata"),
        ({"prompt": None}, VIDEO, "publisher", "p-7", "prompt"),
        ({"owner": None}, VIDEO, None, "p-7", "owner"),
        ({"owner": "x" * 300}, VIDEO, None, "p-7", "owner"),
        ({"owner": {"a": 1}, "postId": 5}, VIDEO, None, None, "owner"),
        ({"postId": "p" * 300}, VIDEO, "publisher", None, "postId"),
        ({"videoId": "nonsense"}, NO_ID, "publisher", "p-7", "videoId"),
        ({"videoId": None}, NO_ID, "publisher", "p-7", "videoId"),
        ({f"{n}": 1 for n in range(5000)} | {"storyboard": {"scenes": [{}] * 500}}, VIDEO, "publisher", "p-7", ""),
    ],
)
async def test_a_refusal_is_published_with_the_readable_fields(
    deliver, change: dict[str, Any], video_id: UUID, owner: str | None, post_id: str | None, reason: str
) -> None:
    outcome, [failed] = await deliver(json.dumps(GOOD | change).encode())
    assert isinstance(outcome, DeadLettered)
    assert isinstance(failed, VideoFailed)
    assert (failed.stage, failed.kind, failed.request_message_id) == ("request", "malformed", "m-1")
    assert (failed.video_id, failed.owner, failed.post_id) == (video_id, owner, post_id)
    assert reason in failed.reason
    assert len(failed.reason) <= 1000


@pytest.mark.parametrize("body", [b"{not json", b"[]", b"null", b"", b"\xff\xfe", b'{"videoId": {}}'])
async def test_an_unreadable_request_is_refused_too(deliver, body: bytes) -> None:
    outcome, [failed] = await deliver(body)
    assert isinstance(outcome, DeadLettered)
    assert (failed.stage, failed.video_id, failed.owner, failed.post_id) == ("request", NO_ID, None, None)


async def test_a_verified_publisher_owns_its_refused_requests(deliver) -> None:
    _, [failed] = await deliver(json.dumps(GOOD | {"owner": "victim"}).encode(), user="producer")
    assert (failed.stage, failed.owner, failed.post_id) == ("request", "producer", "p-7")


async def test_a_conflicting_request_is_refused_with_its_own_owner(deliver) -> None:
    outcome, [created, *scenes] = await deliver(json.dumps(GOOD).encode(), "m-0")
    assert outcome == Handled()
    assert isinstance(created, StoryboardCreated)
    assert [type(scene) for scene in scenes] == [SceneRequested] * 2
    assert {(event.owner, event.post_id) for event in (created, *scenes)} == {("publisher", "p-7")}
    other = GOOD | {"prompt": "a hen", "owner": "somebody", "postId": "p-8"}
    outcome, [failed] = await deliver(json.dumps(other).encode())
    assert isinstance(outcome, DeadLettered)
    assert (failed.stage, failed.kind, failed.video_id) == ("request", "conflict", VIDEO)
    assert (failed.owner, failed.post_id, failed.request_message_id) == ("somebody", "p-8", "m-1")


async def test_a_failed_story_fails_its_video_and_names_the_owner(rig) -> None:
    await rig.fault("refusal")
    await rig.process(rig.request(owner="publisher", post_id="p-7"))
    [failed] = await published(rig.database)
    assert (failed.stage, failed.owner, failed.post_id) == ("storyboard", "publisher", "p-7")
