"""Storyboards alone, edited storyboards, and reviews before money is spent, as a caller of the API sees them."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from gateway.app import Gateway
from gateway.handlers import router
from shared.contracts.events import (
    Event,
    SceneStarted,
    StoryboardApproved,
    StoryboardCreated,
    StoryboardDrafted,
    StoryboardFailed,
    StoryboardRequested,
    VideoRequested,
    VideoResumed,
)
from shared.contracts.story import Storyboard
from shared.messaging.event_router import Delivery, NullPublisher
from shared.messaging.message_processor import process
from shared.persistence.unit_of_work import transaction
from shared_testing.servers import eventually, published

WISH = {"prompt": "a fox", "sceneCount": 3, "duration": 30, "review": True}
ANGLES = ("wide", "medium", "close-up")


def scene(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "sceneNumber": number, "description": f"d{number}", "cameraAngle": ANGLES[number - 1], "duration": 10.0,
        "action": f"a fox does {number}", "transition": "cut", "shot": f"fox {number}", "cast": [], "keyMoment": False,
        "image": None, "clip": None, **changes,
    }  # fmt: skip


def board(**changes: Any) -> dict[str, Any]:
    """A storyboard, with these fields instead; `scene2={...}` changes the second scene."""
    scenes = [scene(n, **changes.pop(f"scene{n}", {})) for n in (1, 2, 3)]
    return {
        "title": "Fox", "niche": "nature", "overallPrompt": "a fox", "totalDuration": 30, "scenes": scenes,
        "style": "Palette: red.", **changes,
    }  # fmt: skip


def created(video_id: Any, *, review: bool = True, revision: int = 0, **changes: Any) -> StoryboardCreated:
    wire = board(**changes)
    shots = [scene["shot"] for scene in wire["scenes"]]
    more = {"videoId": video_id, "storyScript": "s", "aspectRatio": "16:9", "shots": shots}
    return StoryboardCreated.model_validate({**wire, **more, "review": review, "revision": revision})


async def hear(gateway: Gateway, *events: Event) -> None:
    for event in events:
        async with transaction(gateway.database) as work:
            await gateway.projector.record(work, event)


async def awaiting(api: httpx.AsyncClient, gateway: Gateway, **wish: Any) -> str:
    """A video whose storyboard awaits its review; returns its path."""
    video = (await api.post("/api/v1/videos", json={**WISH, **wish})).json()
    await hear(gateway, created(video["videoId"]))
    await published(gateway.database)
    return f"/api/v1/videos/{video['videoId']}"


async def emitted(gateway: Gateway, kind: type[Event]) -> list[Any]:
    return [event for event in await published(gateway.database) if isinstance(event, kind)]


# --- storyboards alone


@pytest.fixture
def impatient(gateway: Gateway) -> None:
    gateway.storyboards.wait_seconds = 0.0


async def answer(gateway: Gateway, make: Callable[[StoryboardRequested], Event]) -> None:
    """Play the storyboard service: answer the first request for a storyboard."""
    [request] = await eventually(lambda: emitted(gateway, StoryboardRequested), every=0.01)
    event = make(request)
    [subscription] = [one for one in router.subscriptions if one.event is type(event)]
    delivery = Delivery(subscription.consumer, str(uuid4()))
    await process(gateway.service(NullPublisher()), subscription, delivery, event.model_dump_json().encode())


def draft_of(request: StoryboardRequested) -> StoryboardDrafted:
    storyboard = Storyboard.model_validate({**board(), "storyboardId": request.video_id})
    return StoryboardDrafted(video_id=request.video_id, storyboard=storyboard, repairs=("r",))


async def test_a_drafted_storyboard_is_used_unchanged_for_a_video(api: httpx.AsyncClient, gateway: Gateway) -> None:
    asked, _ = await asyncio.gather(
        api.post("/api/v1/storyboards", json={"prompt": "a fox"}), answer(gateway, draft_of)
    )
    assert asked.status_code == 200, asked.text
    storyboard = asked.json()
    assert (storyboard["title"], storyboard["repairs"], float(storyboard["estimatedCostUsd"])) == ("Fox", ["r"], 0)
    assert asked.headers["location"] == f"/api/v1/storyboards/{storyboard['storyboardId']}"
    assert (await api.get(asked.headers["location"])).json() == storyboard
    assert (await api.get("/api/v1/videos")).json()["total"] == 0

    made = await api.post("/api/v1/videos", json={"storyboard": storyboard})
    assert made.status_code == 202, made.text
    assert (made.json()["prompt"], made.json()["niche"], made.json()["totalScenes"]) == ("a fox", "nature", 3)
    [request] = await emitted(gateway, VideoRequested)
    assert request.storyboard == Storyboard.model_validate({**board(), "storyboardId": storyboard["storyboardId"]})


async def test_a_storyboard_that_takes_longer_is_looked_for_later(
    api: httpx.AsyncClient, gateway: Gateway, impatient: None
) -> None:
    own = str(uuid4())
    first, again = [
        await api.post("/api/v1/storyboards", json={"prompt": "a fox", "storyboardId": own}) for _ in range(2)
    ]
    assert (first.status_code, first.json()) == (202, {"storyboardId": own, "status": "pending"})
    assert again.status_code == 202
    other = await api.post("/api/v1/storyboards", json={"prompt": "a hen", "storyboardId": own})
    assert other.status_code == 409
    assert (await api.get(first.headers["location"])).status_code == 202
    await answer(gateway, draft_of)
    assert (await api.get(first.headers["location"])).json()["title"] == "Fox"
    assert (await api.get(f"/api/v1/storyboards/{uuid4()}")).status_code == 404
    assert (await api.post("/api/v1/storyboards", json={"prompt": ""})).status_code == 422


async def test_a_repeated_idempotency_key_returns_the_same_storyboard(api: httpx.AsyncClient, impatient: None) -> None:
    async def ask(key: str, prompt: str) -> httpx.Response:
        headers = {"Idempotency-Key": key}
        return await api.post("/api/v1/storyboards", json={"prompt": prompt}, headers=headers)

    first, again, other = await ask("k-1", "a fox"), await ask("k-1", "a fox"), await ask("k-2", "a fox")
    assert first.headers["location"] == again.headers["location"] != other.headers["location"]
    assert (await ask("k-1", "a hen")).status_code == 409


@pytest.mark.parametrize(("kind", "status"), [("storyboard", 422), ("exhausted", 502)])
async def test_a_storyboard_that_cannot_be_written_says_why_until_it_can(
    api: httpx.AsyncClient, gateway: Gateway, impatient: None, kind: str, status: int
) -> None:
    where = (await api.post("/api/v1/storyboards", json={"prompt": "a fox"})).headers["location"]
    [request] = await emitted(gateway, StoryboardRequested)
    failed = StoryboardFailed(video_id=request.video_id, kind=kind, reason="It will not.")
    await hear(gateway, VideoResumed(video_id=request.video_id))
    for event, expected in ((failed, status), (draft_of(request), 200), (failed, 200), (request, 200)):
        async with transaction(gateway.database) as work:
            await gateway.storyboards.record(work, event)
        found = await api.get(where)
        assert found.status_code == expected, found.text
        if expected != 200:
            assert (found.json()["detail"], found.json()["kind"]) == ("It will not.", kind)
    assert (await api.get("/api/v1/videos")).json()["total"] == 0


# --- edited storyboards


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"scene2": {"cameraAngle": "dutch"}}, "storyboard.scenes.1.cameraAngle"),
        ({"scene2": {"invented": 1}}, "storyboard.scenes.1.invented"),
        ({"scene2": {"action": "x" * 501}}, "storyboard.scenes.1.action"),
        ({"scenes": []}, "storyboard.scenes"),
        ({"totalDuration": 12}, "storyboard.totalDuration"),
        ({"scene2": {"cameraAngle": "wide"}}, "storyboard.scenes.1.cameraAngle"),
        ({"scene2": {"duration": 9}}, "storyboard.totalDuration"),
        ({"scene1": {"duration": 19}, "scene2": {"duration": 1}}, "storyboard.scenes.1.duration"),
        ({"scene3": {"transition": "fade"}}, "storyboard.scenes.2.transition"),
        ({"scene1": {"action": "  "}}, "storyboard.scenes.0.action"),
        ({"scene1": {"action": "\u200b\n"}}, "storyboard.scenes.0.action"),
        ({"scene1": {"sceneNumber": 2}}, "storyboard.scenes"),
    ],
)
async def test_an_invalid_edited_storyboard_is_rejected_and_no_video_is_created(
    api: httpx.AsyncClient, gateway: Gateway, changes: dict[str, Any], field: str
) -> None:
    answer = await api.post("/api/v1/videos", json={"prompt": "a fox", "storyboard": board(**changes)})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert await published(gateway.database) == []

    path = await awaiting(api, gateway)
    answer = await api.post(f"{path}/approve", json={"storyboard": board(**changes)})
    assert answer.status_code == 422
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert (await api.get(path)).json()["awaitingReview"]
    assert await published(gateway.database) == []


async def test_fields_that_contradict_the_storyboard_are_rejected(api: httpx.AsyncClient) -> None:
    answer = await api.post("/api/v1/videos", json={"sceneCount": 2, "duration": 30, "storyboard": board()})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["sceneCount"]
    good = {"niche": "food", "duration": 30, "storyboard": board()}
    assert (await api.post("/api/v1/videos", json=good)).json()["niche"] == "food"


# --- reviews


async def test_a_video_stops_for_its_review_and_goes_on_when_approved(api: httpx.AsyncClient, gateway: Gateway) -> None:
    path = await awaiting(api, gateway)
    video = (await api.get(path)).json()
    assert (video["status"], video["currentStep"], video["awaitingReview"]) == ("pending", "review", True)
    assert (video["progress"], video["etaSeconds"]) == (20, None)
    assert video["links"]["approve"] == f"{path}/approve"
    approved = await api.post(f"{path}/approve", json={})
    assert approved.status_code == 202
    assert (approved.json()["status"], approved.json()["currentStep"]) == ("processing", "scenes")
    assert approved.json()["links"]["approve"] is None
    [event] = await emitted(gateway, StoryboardApproved)
    assert (f"/api/v1/videos/{event.video_id}", event.storyboard, event.by) == (path, None, "anonymous")
    await hear(gateway, event)
    assert (await api.get(path)).json() == approved.json()


async def test_a_video_is_approved_once(api: httpx.AsyncClient, gateway: Gateway) -> None:
    path = await awaiting(api, gateway)
    answers = await asyncio.gather(*(api.post(f"{path}/approve", json={}) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 9
    assert len(await emitted(gateway, StoryboardApproved)) == 1
    [refusal] = [answer.json() for answer in answers if answer.status_code == 409][:1]
    assert (refusal["title"], "processing" in refusal["detail"]) == ("Not awaiting review", True)


async def test_only_what_awaits_a_review_can_be_approved(api: httpx.AsyncClient, gateway: Gateway) -> None:
    path = await awaiting(api, gateway)
    assert (await api.post(f"{path}/cancel")).json()["status"] == "cancelled"
    other = (await api.post("/api/v1/videos", json={"prompt": "a hen"})).json()["links"]["self"]
    await published(gateway.database)
    for unfit, status in ((path, 409), (other, 409), (f"/api/v1/videos/{uuid4()}", 404)):
        assert (await api.post(f"{unfit}/approve", json={})).status_code == status
    assert (await api.post(f"{path}/approve", content="", headers={"content-type": "text/plain"})).status_code == 415
    assert await emitted(gateway, StoryboardApproved) == []
    assert (await api.get(f"{other}/storyboard")).status_code == 409
    assert (await api.post(f"{other}/animatic", json={})).status_code == 409


async def test_an_edit_is_fetched_changed_and_approved_and_shown(api: httpx.AsyncClient, gateway: Gateway) -> None:
    path = await awaiting(api, gateway)
    storyboard = (await api.get(f"{path}/storyboard")).json()
    assert {name: storyboard[name] for name in board()} == board()
    storyboard["scenes"][1]["action"] = "a fox sleeps"
    assert (await api.post(f"{path}/approve", json={"storyboard": storyboard})).status_code == 202
    [event] = await emitted(gateway, StoryboardApproved)
    assert event.storyboard.scenes[1].action == "a fox sleeps"
    edited = created(event.video_id, review=False, revision=1, scene2={"action": "a fox sleeps"})
    await hear(gateway, event, edited, created(event.video_id))
    video = (await api.get(path)).json()
    assert [scene["action"] for scene in video["scenes"]] == ["a fox does 1", "a fox sleeps", "a fox does 3"]
    assert video["currentStep"] == "scenes"


async def test_the_answer_to_an_edited_approval_shows_the_edit(api: httpx.AsyncClient, gateway: Gateway) -> None:
    path = await awaiting(api, gateway)
    edit = board(title="Fox at night", scene2={"action": "a fox sleeps", "duration": 8}, scene3={"duration": 12})
    answer = await api.post(f"{path}/approve", json={"storyboard": edit})
    for video in (answer.json(), (await api.get(path)).json()):
        assert (video["title"], video["currentStep"]) == ("Fox at night", "scenes")
        assert [scene["action"] for scene in video["scenes"]] == ["a fox does 1", "a fox sleeps", "a fox does 3"]
        assert [scene["duration"] for scene in video["scenes"]] == [10, 8, 12]
    storyboard = (await api.get(f"{path}/storyboard")).json()
    assert {name: storyboard[name] for name in edit} == edit


async def test_approving_needs_no_body_but_no_page_elsewhere_can_do_it(
    api: httpx.AsyncClient, gateway: Gateway
) -> None:
    path = await awaiting(api, gateway)
    for elsewhere in ({"origin": "https://evil.example"}, {"content-type": "text/plain"}):
        assert (await api.post(f"{path}/approve", headers=elsewhere)).status_code == 415
    assert (await api.post(f"{path}/animatic")).status_code == 202
    answer = await api.post(f"{path}/approve")
    assert (answer.status_code, answer.json()["currentStep"]) == (202, "scenes")


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"overallPrompt": 5}, ["storyboard.overallPrompt"]),
        ({"overallPrompt": "x" * 4001}, ["storyboard.overallPrompt"]),
        ({"niche": "x" * 101}, ["storyboard.niche"]),
        ({"niche": None, "title": 5}, ["storyboard.title", "storyboard.niche"]),
        ({"overallPrompt": ""}, ["prompt"]),
        (
            {"scene1": {"duration": 19}, "scene2": {"duration": 1, "transition": "fade"}},
            ["storyboard.scenes.1.duration"],
        ),
    ],
)
async def test_one_mistake_in_a_storyboard_is_one_fault(
    api: httpx.AsyncClient, changes: dict[str, Any], fields: list[str]
) -> None:
    answer = await api.post("/api/v1/videos", json={"storyboard": board(**changes)})
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == fields
    without = {name: value for name, value in board().items() if name != "overallPrompt"}
    answer = await api.post("/api/v1/videos", json={"storyboard": without})
    assert [error["field"] for error in answer.json()["errors"]] == ["storyboard.overallPrompt"]


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 0, 1), (0, 2, 1)])
async def test_an_approval_of_another_service_is_followed_in_whatever_order_it_is_heard(
    api: httpx.AsyncClient, gateway: Gateway, order: tuple[int, ...]
) -> None:
    video_id = (await api.post("/api/v1/videos", json=WISH)).json()["videoId"]
    events = [
        created(video_id),
        StoryboardApproved(video_id=video_id, by="publisher"),
        created(video_id, review=False, revision=1, scene2={"action": "a fox sleeps"}),
    ]
    await hear(gateway, *(events[n] for n in order))
    await hear(gateway, SceneStarted(video_id=video_id, scene_number=1, provider="p", eta_seconds=1))
    video = (await api.get(f"/api/v1/videos/{video_id}")).json()
    assert (video["status"], video["currentStep"]) == ("processing", "scenes")
    assert video["scenes"][1]["action"] == "a fox sleeps"


# --- the free film


async def test_the_free_film_is_another_video_of_the_same_storyboard(api: httpx.AsyncClient, gateway: Gateway) -> None:
    path = await awaiting(api, gateway, aspectRatio="9:16", postId="p1")
    first, again = [await api.post(f"{path}/animatic", json={}) for _ in range(2)]
    assert (first.status_code, again.json()) == (202, first.json())
    film = first.json()
    [request] = await emitted(gateway, VideoRequested)
    assert (str(request.video_id), request.providers, request.review) == (film["videoId"], ("animatic",), False)
    assert (request.aspect_ratio, request.post_id) == ("9:16", None)
    video = (await api.get(path)).json()
    assert request.storyboard == Storyboard.model_validate({**board(), "storyboardId": video["videoId"]})
    assert (video["animaticId"], film["animaticOf"]) == (film["videoId"], video["videoId"])
    assert film["metadata"] == {"animaticOf": video["videoId"]}
    assert video["awaitingReview"]

    edited = await api.post(f"{path}/animatic", json={"storyboard": board(scene2={"action": "a fox sleeps"})})
    assert edited.json()["videoId"] != film["videoId"]
    await api.post(film["links"]["cancel"])
    anew = (await api.post(f"{path}/animatic", json={})).json()
    assert anew["videoId"] not in (film["videoId"], edited.json()["videoId"])
    assert UUID((await api.get(path)).json()["animaticId"]) == UUID(anew["videoId"])
