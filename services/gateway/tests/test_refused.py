"""A refused request has a failed video of its own and changes no other."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from gateway.app import Gateway
from gateway.models import Video
from shared.contracts.events import VideoFailed, VideoRequested
from shared.persistence.unit_of_work import transaction

VIDEO = UUID(int=7)


def refusal(video_id: UUID = VIDEO, kind: str = "malformed") -> VideoFailed:
    return VideoFailed(
        video_id=video_id, stage="request", kind=kind, reason="prompt: too long", owner="publisher", post_id="p-7"
    )


async def row_of(gateway: Gateway, video_id: UUID) -> Video | None:
    page = await gateway.queries.page(10, 0, owner=None)
    return next((row for row in page.videos if row.video_id == str(video_id)), None)


async def test_the_row_keeps_the_owner_and_the_post_that_could_be_read(gateway: Gateway, happen: Any) -> None:
    await happen(refusal(), refusal())
    row = await row_of(gateway, VIDEO)
    assert row is not None
    assert (row.owner, row.post_id, row.status, row.error_stage) == ("publisher", "p-7", "failed", "request")
    assert row.error_message == "prompt: too long"
    assert row.last_seq == 1


@pytest.mark.parametrize("kind", ["malformed", "conflict"])
async def test_a_video_of_that_id_goes_on_undisturbed(
    api: httpx.AsyncClient, gateway: Gateway, happen: Any, filmed: Any, kind: str
) -> None:
    going = (await api.post("/api/v1/videos", json={"prompt": "a fox"})).json()
    done = await filmed()
    for video in (going, done):
        link = video["links"]["self"]
        before = (await api.get(link)).json(), (await row_of(gateway, UUID(video["videoId"]))).version
        await happen(refusal(UUID(video["videoId"]), kind))
        assert ((await api.get(link)).json(), (await row_of(gateway, UUID(video["videoId"]))).version) == before


async def test_a_conflict_with_a_video_that_is_not_known_yet_makes_no_row(gateway: Gateway, happen: Any) -> None:
    await happen(refusal(kind="conflict"))
    assert await row_of(gateway, VIDEO) is None


async def test_the_good_request_that_is_heard_of_later_has_the_row(gateway: Gateway, happen: Any) -> None:
    await happen(refusal())
    async with transaction(gateway.database) as work:
        await gateway.projector.record_request(work, VideoRequested(video_id=VIDEO, prompt="a fox", owner="anna"))
    row = await row_of(gateway, VIDEO)
    assert row is not None
    assert (row.owner, row.post_id, row.status, row.current_step) == ("anna", None, "pending", "storyboard")
    assert row.error_message is row.error_stage is None
