"""What `doctor` finds in the gateway's rows, and what `--fix` makes of it."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import delete, update

from gateway import app as gateway_app
from gateway.app import Gateway
from gateway.internal_messages import WebhookDue
from gateway.models import Storyboard, Video, VideoEvent, WebhookDelivery
from shared.contracts.media import film_key
from shared.doctor.examination import examine
from shared.messaging.message_processor import Service
from shared.persistence.database import now
from shared.persistence.migration_files import folder_of
from shared_testing.servers import published

NOTHING = "gateway: nothing differs."

either = pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("mariadb", marks=pytest.mark.connected)], indirect=True
)
Doctor = Callable[..., Awaitable[str]]


@pytest.fixture
def doctor(service: Service[Any]) -> Doctor:
    async def run(*, fix: bool = False, **more: Any) -> str:
        return str(await examine(service, folder_of(gateway_app.__file__), fix=fix, **more))

    return run


async def change(gateway: Gateway, *statements: Any) -> None:
    async with gateway.database.sessions.begin() as session:
        for statement in statements:
            await session.execute(statement)


@either
async def test_nothing_differs(doctor: Doctor, api: httpx.AsyncClient, filmed: Any) -> None:
    await filmed()
    await api.post("/api/v1/videos", json={"prompt": "a fox", "sceneCount": 2})
    assert await doctor() == NOTHING


@pytest.mark.parametrize("damage", ["missing", "cut off"])
async def test_a_completed_video_without_its_film_is_reported(
    gateway: Gateway, doctor: Doctor, filmed: Any, damage: str
) -> None:
    video = await filmed()
    path = gateway.storage.path(film_key(video["videoId"]))
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"f")
    told = await doctor(fix=True)
    assert f"whose film or thumbnail is missing from the storage, or has another size: 1 ({video['videoId']})" in told
    await change(gateway, update(Video).values(status="expired"))
    assert await doctor() == NOTHING


@either
async def test_a_film_without_a_date_expires_after_as_many_days_as_others(
    gateway: Gateway, doctor: Doctor, api: httpx.AsyncClient, filmed: Any
) -> None:
    video = await filmed()
    await change(gateway, update(Video).values(expires_at=None))
    assert "completed videos that neither expire nor are kept: 1" in await doctor()
    assert "fixed 1 of 1 (let them expire 30 days from now)" in await doctor(fix=True)
    assert await doctor() == NOTHING
    assert (await api.get(video["links"]["self"])).json()["expiresAt"] >= video["expiresAt"]


@either
async def test_a_gap_at_the_end_of_the_event_log_is_reported(gateway: Gateway, doctor: Doctor, filmed: Any) -> None:
    video = await filmed()
    await change(gateway, delete(VideoEvent).where(VideoEvent.type == "video_completed"))
    assert f"does not end with their last event: 1 ({video['videoId']})" in await doctor()


@either
async def test_money_that_does_not_add_up_is_reported_and_not_touched(
    gateway: Gateway, doctor: Doctor, filmed: Any
) -> None:
    await filmed()
    await change(gateway, update(Video).values(cost_usd=1))
    for fix in (False, True, False):
        told = await doctor(fix=fix)
        assert "videos whose cost is not the sum of their charges: 1" in told
        assert "take another amount from the budgets than they cost: 1" in told


@either
async def test_a_webhook_whose_message_was_lost_is_posted_as_its_next_turn(gateway: Gateway, doctor: Doctor) -> None:
    lost = WebhookDelivery(
        delivery_id=str(uuid4()), endpoint_id=str(uuid4()), type="video.completed", body="{}", turn=3,
        next_at=now(-7200), created_at=now(-7200),
    )  # fmt: skip
    async with gateway.database.sessions.begin() as session:
        session.add(lost)
    assert "webhooks due for more than an hour that no message posts: 1" in await doctor()
    assert "fixed 1 of 1" in await doctor(fix=True)
    assert await doctor() == NOTHING
    assert await published(gateway.database) == [WebhookDue(delivery_id=lost.delivery_id, turn=4)]


@either
async def test_a_video_that_stands_still_is_reported_while_the_services_run(
    gateway: Gateway, doctor: Doctor, api: httpx.AsyncClient
) -> None:
    video = (await api.post("/api/v1/videos", json={"prompt": "a fox", "sceneCount": 2})).json()
    long_ago = now(-7 * 3600)
    await change(gateway, update(Video).values(created_at=long_ago), update(VideoEvent).values(created_at=long_ago))
    async with gateway.database.sessions.begin() as session:
        session.add(Storyboard(storyboard_id=str(uuid4()), request={}, created_at=long_ago))
    told = await doctor()
    assert f"videos without an event for 6 hours: 1 ({video['videoId']})" in told
    assert "storyboards that are not written after 6 hours: 1" in told
    assert await doctor(is_running=False) == NOTHING
