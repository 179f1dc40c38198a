"""Idempotency keys, client-chosen ids, and calls that wait for the end."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import text

from gateway.access.service import Caller
from gateway.app import Gateway
from gateway.http.preconditions import wait_of
from gateway.retention import POLICIES
from shared.contracts.events import VideoCancelled, VideoRequested
from shared.process.retention import Retention
from shared_testing.servers import published

GOOD = {"prompt": "a fox"}
VIDEOS = "/api/v1/videos"

either = pytest.mark.parametrize(
    "database_url", ["sqlite", pytest.param("mariadb", marks=pytest.mark.connected)], indirect=True
)


async def requests(gateway: Gateway) -> list[VideoRequested]:
    return [event for event in await published(gateway.database) if isinstance(event, VideoRequested)]


@either
async def test_repeats_with_a_key_return_the_first_answer_and_create_one_video(
    api: httpx.AsyncClient, gateway: Gateway
) -> None:
    first = await api.post(VIDEOS, json=GOOD, headers={"Idempotency-Key": "k1"})
    await api.post(first.json()["links"]["cancel"], json={})
    again = await api.post(VIDEOS, json=dict(GOOD, sceneCount=3), headers={"Idempotency-Key": '"k1"'})
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    assert again.headers["location"] == first.headers["location"] == first.json()["links"]["self"]
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert len(await requests(gateway)) == 1


@either
async def test_twenty_concurrent_calls_with_one_key_create_one_video(api: httpx.AsyncClient, gateway: Gateway) -> None:
    calls = (api.post(VIDEOS, json=GOOD, headers={"Idempotency-Key": "k"}) for _ in range(20))
    answers = await asyncio.gather(*calls)
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["videoId"] for answer in answers}) == 1
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 19
    assert len(await requests(gateway)) == 1
    assert (await api.get(VIDEOS)).json()["total"] == 1


@either
async def test_twenty_concurrent_calls_with_one_id_create_one_video(api: httpx.AsyncClient, gateway: Gateway) -> None:
    wish = {**GOOD, "videoId": str(uuid4())}
    answers = await asyncio.gather(*(api.post(VIDEOS, json=wish) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {202}
    assert len(await requests(gateway)) == 1


@either
async def test_twenty_concurrent_rejected_calls_all_get_the_reason(api: httpx.AsyncClient, gateway: Gateway) -> None:
    taken = {**GOOD, "videoId": str(uuid4())}
    await api.post(VIDEOS, json=taken)
    other = {"prompt": "a hen", "videoId": taken["videoId"]}
    answers = await asyncio.gather(*(api.post(VIDEOS, json=other, headers={"Idempotency-Key": "k"}) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {409}
    assert {answer.json()["title"] for answer in answers} == {"Id already used"}


async def test_a_key_belongs_to_one_request_and_a_rejected_call_does_not_use_it(api: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": "k"}
    assert (await api.post(VIDEOS, json={"prompt": ""}, headers=key)).status_code == 422
    assert (await api.post(VIDEOS, json=GOOD, headers=key)).status_code == 202
    other = await api.post(VIDEOS, json={"prompt": "a hen"}, headers=key)
    assert (other.status_code, other.json()["type"]) == (422, "/problems#idempotency-key-reused")
    assert (await api.get(VIDEOS)).json()["total"] == 1


async def test_a_key_is_per_owner(api: httpx.AsyncClient, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    async def identify(connection: Any) -> Caller:
        return Caller(connection.headers["x-owner"], frozenset({"read", "write"}))

    monkeypatch.setattr(gateway.access, "identify", identify)
    made = [
        (await api.post(VIDEOS, json=GOOD, headers={"Idempotency-Key": "k", "x-owner": owner})).json()
        for owner in ("ann", "bob", "ann")
    ]
    assert made[0] == made[2]
    assert made[0]["videoId"] != made[1]["videoId"]
    assert (await api.get(made[1]["links"]["self"], headers={"x-owner": "ann"})).status_code == 404


@either
async def test_a_key_can_be_reused_after_a_day(api: httpx.AsyncClient, gateway: Gateway) -> None:
    key = {"Idempotency-Key": "k"}
    first = (await api.post(VIDEOS, json=GOOD, headers=key)).json()
    async with gateway.database.sessions.begin() as session:
        await session.execute(text("UPDATE idempotency_records SET createdAt = '2026-01-01 00:00:00'"))
    second = (await api.post(VIDEOS, json={"prompt": "a hen"}, headers=key)).json()
    assert second["videoId"] != first["videoId"]
    await Retention("gateway", gateway.database, POLICIES).pass_once()
    assert (await api.post(VIDEOS, json={"prompt": "a hen"}, headers=key)).json() == second


async def test_an_invalid_idempotency_key_is_rejected(api: httpx.AsyncClient) -> None:
    for key in ("", '""', "k" * 256, "kopi☕".encode(), "a\tb"):
        answer = await api.post(VIDEOS, json=GOOD, headers={b"Idempotency-Key": key})
        assert (answer.status_code, answer.json()["type"]) == (400, "/problems#idempotency-key-invalid"), key


async def test_an_approval_with_a_key_can_be_repeated(api: httpx.AsyncClient, happen: Any, film_of: Any) -> None:
    video = (await api.post(VIDEOS, json={**GOOD, "sceneCount": 2, "review": True})).json()
    [storyboard, *_] = await film_of(video["videoId"])
    await happen(storyboard.model_copy(update={"review": True}))
    own = (await api.get(video["links"]["self"])).json()
    approve = [
        await api.post(own["links"]["approve"], json={}, headers={"Idempotency-Key": key}) for key in ("a", "a", "b")
    ]
    assert [answer.status_code for answer in approve] == [202, 202, 409]
    assert approve[0].json() == approve[1].json()
    assert approve[0].json()["currentStep"] == "scenes"
    previews = [await api.post(own["links"]["animatic"], json={}, headers={"Idempotency-Key": "a"}) for _ in range(2)]
    assert [answer.headers.get("idempotent-replayed") for answer in previews] == [None, "true"]
    assert previews[0].json() == previews[1].json()


# --- waiting


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=10", 10),
        ("respond-async, wait=5", 5),
        ("wait = 7; x=1", 7),
        ("WAIT=3", 3),
        ("wait=3600", 30),
        ("wait=0", 0),
        ("wait=soon", None),
        ("wait=-1", None),
        ("await=5", None),
        ("", None),
        (None, None),
    ],
)
def test_the_prefer_header_is_parsed(prefer: str | None, seconds: int | None) -> None:
    assert wait_of(prefer) == seconds


async def test_a_waiting_call_is_answered_when_the_video_has_ended(
    api: httpx.AsyncClient, gateway: Gateway, happen: Any
) -> None:
    own = str(uuid4())
    asking = asyncio.create_task(
        api.post(VIDEOS, json={**GOOD, "videoId": own}, headers={"Prefer": "wait=30", "Idempotency-Key": "k"})
    )
    while UUID(own) not in gateway.event_stream.subscribers:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.01)
    assert not asking.done()
    await happen(VideoCancelled(video_id=own, by="t", reason="r"))
    answer = await asking
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert answer.headers["preference-applied"] == "wait=30"
    assert answer.headers["location"] == f"{VIDEOS}/{own}"
    assert not gateway.event_stream.subscribers
    again = await api.post(VIDEOS, json={**GOOD, "videoId": own}, headers={"Idempotency-Key": "k"})
    assert again.json()["status"] == "pending"  # the answer of the first time


async def test_a_waiting_call_is_answered_with_the_current_state_after_its_time(api: httpx.AsyncClient) -> None:
    answer = await api.post(VIDEOS, json=GOOD, headers={"Prefer": "wait=0"})
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    assert answer.headers["preference-applied"] == "wait=0"
    assert int(answer.headers["retry-after"]) > 0
