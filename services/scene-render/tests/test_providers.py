"""The meaning of each provider answer: the attempt's state, retries, and the published reason.

All of it at the simulator, through the providers' own SDKs.
"""

import asyncio
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from scene_render.clips import content_checks
from scene_render.clips.download import Downloader
from scene_render.providers.base import Ended, ProviderSilent, Running, Shot, Succeeded
from shared.catalogue.models import Model, ProviderModels
from shared.contracts.events import SceneDelayed, SceneFailed, SceneRendered, SceneRequested
from shared.contracts.story import Scene as StoryScene
from shared.media.ffmpeg import FfmpegFailed
from shared.messaging.errors import StepFailed

pytestmark = pytest.mark.slow

Scene = Callable[..., SceneRequested]
PAID = ["runway", "luma", "pika"]
ALL = [*PAID, "luma-agents", "fal"]
POLICY = {"detail": [{"loc": ["body", "prompt"], "msg": "No.", "type": "content_policy_violation"}]}
LITERAL = {"detail": [{"loc": ["body", "duration"], "msg": "Input should be 5", "type": "literal_error"}]}
VALIDATION = {"error": "Validation of body failed", "issues": [{"path": ["ratio"], "message": "Invalid"}]}
LOCKED = {"detail": "User is locked. Reason: Exhausted balance. Top up your balance."}
NO_CREDITS = {"error": "You do not have enough credits to run this task."}
DAILY = {"error": "Your daily task limit has been reached."}


def ended(emitted: list[Any]) -> bool:
    return any(isinstance(event, SceneRendered | SceneFailed) for event in emitted)


async def play(rig: Any, provider: Any, scene: SceneRequested, until: Any = ended, **more: Any) -> list[Any]:
    await rig.use(provider, **more)
    await rig.deliver(scene)
    async with provider:
        return await rig.play(until)


async def play_without_answer(rig: Any, provider: Any, scene: SceneRequested) -> list[Any]:
    """Play to the end, with a clock that runs ahead while an answer is awaited."""
    await rig.use(provider)
    await rig.deliver(scene)
    async with provider:
        emitted = await rig.play(lambda emitted: any(one.kind == "unconfirmed" for one in of(SceneDelayed, emitted)))
        await rig.pass_time(provider.submit_seconds + 1)
        return emitted + await rig.play(ended)


def patience(fault: dict[str, Any]) -> float:
    """How long to wait for an answer: for one that is to be missed, as short as a busy machine may be late."""
    return 3.0 if "hang" in fault else 20.0


def text_model(provider: Any) -> Model:
    """The model that renders scenes without people, which need no first frame."""
    models: ProviderModels = provider.models
    return models.text or models.standard


def shot_of(provider: Any, request: SceneRequested) -> Shot:
    model = text_model(provider)
    return Shot(request, min(model.tariff.usd), model=model)


def of(kind: type, emitted: list[Any]) -> list[Any]:
    return [event for event in emitted if isinstance(event, kind)]


@pytest.fixture
def short(scene: Scene) -> SceneRequested:
    """A scene of three seconds: the shortest clip will do."""
    return scene(clip_frames=72, shot_prompt="A fox crosses the night market.")


@pytest.mark.parametrize("name", ALL)
async def test_a_scene_is_ordered_rendered_collected_and_booked_to_the_cent(
    sqlite_rig: Any, simulated: Any, short: SceneRequested, name: str
) -> None:
    emitted = await play(sqlite_rig, simulated.provider(name), short)
    [rendered] = of(SceneRendered, emitted)
    [task] = await simulated.tasks()
    model = text_model(simulated.provider(name))
    assert (rendered.provider, rendered.model) == (name, model.id)
    assert (rendered.clip.width, rendered.clip.height) == (1280, 720)
    assert f"{rendered.cost_usd:.2f}" == f"{float(task['chargedUsd']):.2f}"
    assert task["prompt"].startswith(
        "Wide establishing shot, full environment visible. A fox crosses the night market."
    )
    requests = (await simulated.control.get("/requests")).json()
    assert requests["sdkRetries"] == 0
    assert (await sqlite_rig.rows("SELECT reserved_usd, state FROM spend")) == [(0, "settled")]


LOST = [
    pytest.param({"drop": True, "done": True}, id="connection dropped"),
    pytest.param({"hang": 8.0, "drop": True, "done": True}, id="no answer in time"),
    pytest.param({"status": 500, "body": {"error": "Oops"}, "done": True}, id="500"),
    pytest.param({"status": 504, "body": {"error": "Oops"}, "done": True}, id="504"),
    pytest.param({"status": 200, "text": "<h1>nginx</h1>", "done": True}, id="a page instead of a task"),
    pytest.param({"status": 200, "body": {"hello": "you"}, "done": True}, id="an answer without an id"),
    pytest.param({"status": 409, "body": {"error": "Conflict"}, "done": True}, id="409"),
]
LOST_AT_OTHERS = pytest.param({"status": 503, "text": "<h1>503 nginx</h1>", "done": True}, id="503 page of nginx")


@pytest.mark.parametrize("name", ["runway", "luma-agents"])
@pytest.mark.parametrize("fault", LOST)
async def test_a_lost_answer_of_runway_or_luma_agents_is_one_post_and_becomes_unknown(
    sqlite_rig: Any, simulated: Any, short: SceneRequested, fault: dict[str, Any], name: str
) -> None:
    await simulated.wrong("create", **fault)
    [failed] = of(
        SceneFailed,
        await play_without_answer(sqlite_rig, simulated.provider(name, submit_seconds=patience(fault)), short),
    )
    assert (failed.kind, await simulated.posts()) == ("submission_unknown", 1)
    assert "may have been paid" in failed.reason
    assert await sqlite_rig.rows("SELECT state FROM attempts") == [("UNKNOWN",)]
    assert await sqlite_rig.rows("SELECT reserved_usd > 0, booked_usd, state FROM spend") == [(1, 0, "unknown")]


@pytest.mark.parametrize("fault", [*LOST, LOST_AT_OTHERS])
async def test_a_lost_answer_of_pika_is_one_post_and_becomes_unknown(
    sqlite_rig: Any, simulated: Any, short: SceneRequested, fault: dict[str, Any]
) -> None:
    await simulated.wrong("create", **fault)
    [failed] = of(
        SceneFailed,
        await play_without_answer(sqlite_rig, simulated.provider("pika", submit_seconds=patience(fault)), short),
    )
    assert (failed.kind, await simulated.posts()) == ("submission_unknown", 1)


@pytest.mark.parametrize("fault", [*LOST, LOST_AT_OTHERS])
async def test_a_lost_answer_of_luma_is_one_post_and_its_task_is_found_in_the_list(
    sqlite_rig: Any, simulated: Any, short: SceneRequested, fault: dict[str, Any]
) -> None:
    await simulated.wrong("create", **fault)
    [rendered] = of(
        SceneRendered,
        await play_without_answer(sqlite_rig, simulated.provider("luma", submit_seconds=patience(fault)), short),
    )
    assert rendered.provider == "luma"
    assert (await simulated.posts(), len(await simulated.tasks())) == (1, 1)


async def test_luma_gets_an_order_again_only_if_its_list_proves_that_it_never_arrived(
    sqlite_rig: Any, simulated: Any, scene: Scene
) -> None:
    """A list that shows no marker at all proves nothing; one that shows those of other tasks does."""
    await simulated.wrong("create", status=500, body={"detail": "Oops"}, times=1)
    [failed] = of(SceneFailed, await play_without_answer(sqlite_rig, simulated.provider("luma"), scene(1)))
    assert failed.kind == "submission_unknown"

    await play(sqlite_rig, simulated.provider("luma"), scene(2, video=2))
    await simulated.wrong("create", status=500, body={"detail": "Oops"}, times=1)
    emitted = await play_without_answer(sqlite_rig, simulated.provider("luma"), scene(3, video=3))
    [rendered] = of(SceneRendered, emitted)
    assert rendered.scene_number == 3
    assert len(await simulated.tasks()) == 2
    assert await sqlite_rig.rows("SELECT posts FROM attempts WHERE scene_number = 3") == [(2,)]


@pytest.mark.parametrize("name", PAID)
async def test_an_unreachable_provider_has_accepted_nothing(
    sqlite_rig: Any, simulated: Any, short: SceneRequested, name: str
) -> None:
    provider = simulated.provider(name, video_api_url="http://127.0.0.1:1/x")
    [delayed] = of(
        SceneDelayed,
        await play(sqlite_rig, provider, short, lambda emitted: bool(of(SceneDelayed, emitted)), scale=0.1),
    )
    assert (delayed.kind, delayed.reason) == ("outage", f"{name} cannot be reached.")
    assert {state for (state,) in await sqlite_rig.rows("SELECT state FROM attempts")} == {"FAILED"}
    assert await sqlite_rig.rows("SELECT SUM(reserved_usd), SUM(booked_usd) FROM spend") == [(0, 0)]


REFUSED = [
    ("runway", {"status": 400, "body": VALIDATION}, "invalid_request", "ratio: Invalid"),
    ("runway", {"status": 400, "body": {"error": "Only HTTPS URLs are allowed."}}, "invalid_request", "Only HTTPS"),
    ("runway", {"status": 404, "body": {"error": "Not found"}}, "invalid_request", "HTTP 404"),
    ("luma", {"status": 400, "body": {"detail": "No end credits roll in prompts"}}, "invalid_request", "end credits"),
    ("runway", {"status": 405, "body": {"error": "Not allowed here"}}, "moderation", "Not allowed"),
    ("luma", {"status": 400, "body": {"detail": "Prompt is too short"}}, "invalid_request", "too short"),
    ("luma", {"status": 422, "body": {"detail": "No keyframes provided"}}, "invalid_request", "keyframes"),
    ("luma", {"status": 400, "body": {"detail": "prompt not allowed"}}, "moderation", "refused the prompt"),
    ("pika", {"status": 422, "body": POLICY}, "moderation", "content_policy_violation"),
    ("pika", {"status": 422, "body": LITERAL}, "invalid_request", "body.duration: literal_error Input should be 5"),
    ("pika", {"status": 400, "body": {"detail": "bad", "error_type": "bad_request"}}, "invalid_request", "bad"),
]


@pytest.mark.parametrize(("name", "fault", "kind", "says"), REFUSED)
async def test_a_refused_order_fails_the_scene_at_once_and_costs_nothing(
    sqlite_rig: Any, simulated: Any, short: SceneRequested, name: str, fault: dict[str, Any], kind: str, says: str
) -> None:
    await simulated.wrong("create", times=None, **fault)
    [failed] = of(SceneFailed, await play(sqlite_rig, simulated.provider(name), short))
    assert (failed.kind, await simulated.posts()) == (kind, 1)
    assert says in failed.reason
    assert await sqlite_rig.rows("SELECT reserved_usd, booked_usd FROM spend") == [(0, 0)]


PUT_OFF = [
    ("runway", {"status": 400, "body": NO_CREDITS}, "credits", "no credit left"),
    ("runway", {"status": 401, "body": {"error": "No key"}}, "auth", "rejected the API key"),
    ("runway", {"status": 429, "body": DAILY, "headers": {"Retry-After": "30"}}, "rate_limit", "limits the rate"),
    ("runway", {"status": 429, "body": {"error": "Slow down"}}, "rate_limit", "limits the rate"),
    ("luma", {"status": 401, "body": {"detail": "Invalid API key"}}, "auth", "rejected the API key"),
    ("luma", {"status": 403, "body": {"detail": "Forbidden"}}, "auth", "rejected the API key"),
    ("luma", {"status": 402, "body": {"detail": "Pay"}}, "credits", "no credit left"),
    ("luma", {"status": 400, "body": {"detail": "Insufficient credits"}}, "credits", "no credit left"),
    ("luma", {"status": 429, "body": {"detail": "Slow down"}}, "rate_limit", "limits the rate"),
    ("pika", {"status": 401, "body": {"detail": "Who?"}}, "auth", "rejected the API key"),
    ("pika", {"status": 403, "body": LOCKED}, "credits", "no credit left"),
    ("pika", {"status": 429, "body": {"detail": "Slow down"}}, "rate_limit", "limits the rate"),
]


@pytest.mark.parametrize(("name", "fault", "kind", "says"), PUT_OFF)
async def test_a_rejecting_provider_opens_its_circuit_and_the_scene_waits_with_the_reason(
    sqlite_rig: Any, simulated: Any, short: SceneRequested, name: str, fault: dict[str, Any], kind: str, says: str
) -> None:
    await simulated.wrong("create", times=2, **fault)
    emitted = await play(sqlite_rig, simulated.provider(name), short)
    delayed = of(SceneDelayed, emitted)
    assert (len(delayed), delayed[0].kind) == (1, kind)
    assert says in delayed[0].reason
    assert len(of(SceneRendered, emitted)) == len(await simulated.tasks()) == 1
    assert await sqlite_rig.rows("SELECT state FROM attempts ORDER BY number") == [
        ("FAILED",), ("FAILED",), ("SUCCEEDED",)
    ]  # fmt: skip


@pytest.mark.parametrize("name", PAID)
@pytest.mark.parametrize("status", [401, 402, 403, 429])
async def test_messages_about_the_account_are_only_logged(
    sqlite_rig: Any, simulated: Any, short: SceneRequested, name: str, status: int
) -> None:
    said = {"detail": "The key luma-abc…xyz of account 4711 is not allowed."}
    await simulated.wrong("create", times=None, status=status, body=said)
    with capture_logs() as lines:
        emitted = await play(
            sqlite_rig, simulated.provider(name), short, lambda emitted: bool(of(SceneDelayed, emitted)), scale=0.01
        )
    assert not [event for event in emitted if "4711" in event.model_dump_json()]
    assert [line for line in lines if "4711" in str(line.get("detail"))]


async def test_a_failed_download_does_not_publish_messages_about_the_account(simulated: Any, tmp_path: Path) -> None:
    for name in PAID:
        await simulated.wrong("get", status=401, body={"detail": "The key of account 4711"})
        async with simulated.provider(name) as provider:
            with pytest.raises(ProviderSilent, match="401") as silence:
                await provider.fetch(str(UUID(int=1)), tmp_path / "clip.mp4")
        assert "4711" not in str(silence.value)


@pytest.mark.parametrize("status", [502, 503])
async def test_runway_is_retried_after_shedding_load(
    sqlite_rig: Any, simulated: Any, short: SceneRequested, status: int
) -> None:
    await simulated.wrong("create", times=2, status=status, body={"error": "Busy"})
    emitted = await play(sqlite_rig, simulated.provider("runway"), short)
    assert len(of(SceneRendered, emitted)) == len(await simulated.tasks()) == 1


FAILURES = [
    ("runway", "SAFETY.INPUT.TEXT", "", "moderation", 1, "moderation rejected the prompt"),
    ("runway", "SAFETY.OUTPUT.VIDEO", "", "moderation", 1, "moderation rejected the result"),
    ("runway", "INPUT_PREPROCESSING.SAFETY.TEXT", "", "moderation", 1, "moderation"),
    ("runway", "INPUT_PREPROCESSING.INTERNAL", "", "transient", 3, "Runway failed"),
    ("runway", "INTERNAL.BAD_OUTPUT.01", "", "bad_output", 2, "rejected its own"),
    ("runway", "INTERNAL.BAD_OUTPUT.CODE01", "", "bad_output", 2, "rejected its own"),
    ("runway", "ASSET.INVALID", "", "invalid_request", 1, "first frame"),
    ("runway", "THIRD_PARTY.UNAVAILABLE", "", "transient", 3, "partner"),
    ("runway", "INTERNAL", "It broke.", "transient", 3, "It broke."),
    ("runway", "", "It broke.", "transient", 3, "It broke."),
    ("luma", "", "Contains blacklisted words", "moderation", 1, "blacklisted"),
    ("luma", "", "Frame moderation failed", "moderation", 1, "moderation"),
    ("luma", "", "Advanced prompt moderation failed", "moderation", 1, "moderation"),
    ("luma", "", "Prompt contains IP", "moderation", 1, "moderation"),
    ("luma", "", "Failed to read user input frames", "invalid_request", 1, "first frame"),
    ("luma", "", "Prompt processing failed", "job_failed", 2, "Prompt processing failed"),
    ("luma", "", "Job failed", "job_failed", 2, "Job failed"),
    ("pika", "content_policy_violation", "No.", "moderation", 1, "moderation"),
    ("pika", "no_media_generated", "Nothing.", "job_failed", 2, "Nothing."),
    ("pika", "image_too_large", "Too large.", "invalid_request", 1, "Too large."),
    ("pika", "bad_request", "Bad.", "invalid_request", 1, "Bad."),
    *(
        ("pika", kind, "It broke.", "transient", 3, "It broke.")
        for kind in (
            "request_timeout", "startup_timeout", "runner_scheduling_failure", "runner_connection_timeout",
            "runner_connection_refused", "runner_connection_error", "runner_disconnected",
            "runner_incomplete_response", "runner_server_error", "internal_error", "client_disconnected",
        )
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "code", "reason", "kind", "tasks", "says"), FAILURES)
async def test_a_failed_task_is_retried_only_if_that_may_help(
    sqlite_rig: Any, simulated: Any, short: SceneRequested,
    name: str, code: str, reason: str, kind: str, tasks: int, says: str,
) -> None:  # fmt: skip
    await simulated.wrong("create", times=None, outcome="failed", code=code, reason=reason)
    [failed] = of(SceneFailed, await play(sqlite_rig, simulated.provider(name), short))
    assert (failed.kind, len(await simulated.tasks())) == (kind, tasks)
    assert says in failed.reason
    assert failed.cost_usd == 0


@pytest.mark.parametrize(("name", "code"), [("runway", "SAFETY.INPUT.TEXT"), ("pika", "content_policy_violation")])
async def test_what_a_failed_task_cost_is_booked(
    sqlite_rig: Any, simulated: Any, short: SceneRequested, name: str, code: str
) -> None:
    await simulated.wrong("create", outcome="failed", code=code, charged=True)
    [failed] = of(SceneFailed, await play(sqlite_rig, simulated.provider(name), short))
    [task] = await simulated.tasks()
    assert f"{failed.cost_usd:.2f}" == f"{float(task['chargedUsd']):.2f}" != "0.00"


@pytest.mark.parametrize("name", PAID)
async def test_a_throttled_task_is_waited_for_and_not_ordered_again(
    sqlite_rig: Any, simulated: Any, short: SceneRequested, name: str
) -> None:
    await simulated.wrong("create", outcome="throttled", seconds=1.6)  # longer than a task may be worked on
    provider = simulated.provider(name)
    provider.attempt_seconds = 1.0
    emitted = await play(sqlite_rig, provider, short)
    assert len(of(SceneRendered, emitted)) == len(await simulated.tasks()) == 1


@pytest.mark.parametrize("name", PAID)
async def test_an_overdue_task_is_cancelled_booked_and_retried(
    sqlite_rig: Any, simulated: Any, short: SceneRequested, name: str
) -> None:
    await simulated.wrong("create", outcome="never")
    provider = simulated.provider(name)
    provider.attempt_seconds = 0.4
    [rendered] = of(SceneRendered, await play(sqlite_rig, provider, short))
    first, second = await simulated.tasks()
    assert (first["state"], second["state"]) == ("cancelled", "succeeded")
    assert float(rendered.cost_usd) == pytest.approx(float(first["chargedUsd"]) + float(second["chargedUsd"]))


@pytest.mark.parametrize("name", PAID)
async def test_a_task_that_has_ended_is_not_cancelled_and_keeps_its_clip(
    simulated: Any, short: SceneRequested, name: str, tmp_path: Path
) -> None:
    async with simulated.provider(name) as provider:
        task_id = await provider.submit(str(UUID(int=1)), shot_of(provider, short))
        await asyncio.sleep(0.3)
        assert isinstance(await provider.check(task_id), Succeeded)
        assert await provider.cancel(task_id) is None
        await provider.fetch(task_id, tmp_path / "clip.mp4")
    assert (tmp_path / "clip.mp4").stat().st_size > 0


@pytest.mark.parametrize("name", PAID)
@pytest.mark.parametrize("status", [401, 429, 503])
async def test_a_cancellation_without_an_answer_proves_nothing(
    simulated: Any, short: SceneRequested, name: str, status: int
) -> None:
    await simulated.wrong("create", outcome="never")
    await simulated.wrong("cancel", status=status, body={"detail": "Busy"})
    async with simulated.provider(name) as provider:
        task_id = await provider.submit(str(UUID(int=1)), shot_of(provider, short))
        with pytest.raises(ProviderSilent):
            await provider.cancel(task_id)
        assert isinstance(await provider.cancel(task_id), Ended)


@pytest.mark.parametrize("name", PAID)
@pytest.mark.parametrize(
    "fault",
    [{"status": 500, "body": {}}, {"status": 503, "text": "nginx"}, {"drop": True}, {"status": 200, "text": "<p>"},
     {"status": 429, "body": {}, "headers": {"Retry-After": "1"}}],
)  # fmt: skip
async def test_failed_polls_cost_nothing(
    sqlite_rig: Any, simulated: Any, short: SceneRequested, name: str, fault: dict[str, Any]
) -> None:
    await simulated.wrong("get", times=3, **fault)
    emitted = await play(sqlite_rig, simulated.provider(name), short)
    assert len(of(SceneRendered, emitted)) == len(await simulated.tasks()) == 1


@pytest.mark.parametrize("name", PAID)
@pytest.mark.parametrize("status", [401, 403, 418])
async def test_an_answer_that_is_not_about_the_task_is_ignored(
    simulated: Any, short: SceneRequested, name: str, status: int, tmp_path: Path
) -> None:
    async with simulated.provider(name) as provider:
        task_id = await provider.submit(str(UUID(int=1)), shot_of(provider, short))
        await simulated.wrong("get", times=2, status=status, body={"detail": "No."})
        with pytest.raises(ProviderSilent):
            await provider.check(task_id)
        with pytest.raises(ProviderSilent):
            await provider.fetch(task_id, tmp_path / "clip.mp4")
        assert isinstance(await provider.check(task_id), Running | Succeeded)


REPEATS, MAY_GO_BETTER = 1, 2
"""How often a clip is ordered. A clip that would be the same again is not paid for again."""
DAMAGED = [
    ("html", "is a web page", REPEATS),
    ("garbage", "is of an unknown kind", REPEATS),
    ("playlist", "is of an unknown kind", REPEATS),
    ("redirect", "not followed", REPEATS),
    ("huge", "larger than", REPEATS),
    ("truncated", "incomplete or damaged", MAY_GO_BETTER),
    ("black", "is black", MAY_GO_BETTER),
    ("frozen", "stands still", MAY_GO_BETTER),
    ("short", "frames", MAY_GO_BETTER),
]


@pytest.mark.parametrize(("clip", "says", "orders"), DAMAGED)
async def test_an_unusable_clip_is_ordered_again_only_if_that_may_help(
    sqlite_rig: Any, simulated: Any, short: SceneRequested, clip: str, says: str, orders: int
) -> None:
    await simulated.wrong("create", times=None, clip=clip)
    [failed] = of(SceneFailed, await play(sqlite_rig, simulated.provider("luma"), short))
    assert (failed.kind, len(await simulated.tasks())) == ("clip_unusable", orders)
    assert says in failed.reason
    assert not re.search(r"/|fetched|conformed|Errno|127\.0\.0\.1", failed.reason), failed.reason
    price = text_model(simulated.provider("luma")).tariff.price(5)
    assert float(failed.cost_usd) == pytest.approx(orders * float(price))


@pytest.mark.parametrize("page", ["<h1>502 Bad gateway</h1>", "", "{}"])
async def test_a_failed_download_is_repeated_and_not_paid_again(
    sqlite_rig: Any, simulated: Any, short: SceneRequested, page: str
) -> None:
    await simulated.wrong("clip", status=200, text=page)
    emitted = await play(sqlite_rig, simulated.provider("luma"), short)
    assert len(of(SceneRendered, emitted)) == len(await simulated.tasks()) == 1


async def test_a_lack_of_memory_or_disk_does_not_order_a_clip_again(
    sqlite_rig: Any, simulated: Any, short: SceneRequested, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handler fails, and its message comes back: fetching is free."""
    monkeypatch.setattr(
        content_checks, "check_content", AsyncMock(side_effect=FfmpegFailed(228, "No space left on device"))
    )
    with pytest.raises(FfmpegFailed):
        await play(sqlite_rig, simulated.provider("luma"), short)
    assert len(await simulated.tasks()) == 1


@pytest.mark.parametrize("name", ["runway", "luma"])
async def test_an_expired_link_is_requested_again_once(
    sqlite_rig: Any, simulated: Any, short: SceneRequested, name: str
) -> None:
    await simulated.wrong("clip", status=403, text="<Error/>")
    emitted = await play(sqlite_rig, simulated.provider(name), short)
    assert len(of(SceneRendered, emitted)) == len(await simulated.tasks()) == 1


async def test_a_permanently_expired_link_makes_the_clip_unusable(
    sqlite_rig: Any, simulated: Any, short: SceneRequested
) -> None:
    await simulated.wrong("create", clip="gone")
    emitted = await play(sqlite_rig, simulated.provider("pika"), short)
    assert (len(of(SceneRendered, emitted)), len(await simulated.tasks())) == (1, 2)


@pytest.mark.parametrize("link", ["https://localhost/clip.mp4", "https://elsewhere.example/clip.mp4"])
async def test_an_unreachable_clip_is_not_paid_again_and_no_internal_address_is_published(
    sqlite_rig: Any, simulated: Any, short: SceneRequested, link: str
) -> None:
    """An operator can allow the place, and then the clip is used: its message is kept with the dead letters."""
    provider = simulated.provider("luma")
    provider.downloader = Downloader(("localhost",))
    provider._task = AsyncMock(return_value={"state": "completed", "assets": {"video": link}})
    with pytest.raises(StepFailed) as failed:
        await play(sqlite_rig, provider, short)
    assert failed.value.kind == "clip_out_of_reach"
    assert not re.search(r"127\.0\.0\.1|::1|localhost", failed.value.reason)
    assert len(await simulated.tasks()) == 1


async def test_runway_is_polled_every_five_seconds_at_most(simulated: Any) -> None:
    assert simulated.provider("runway", simulator_speed=1.0).check_seconds >= 5.0


@pytest.mark.parametrize("name", ALL)
async def test_the_provider_accepts_every_angle_and_aspect_ratio(simulated: Any, scene: Scene, name: str) -> None:
    angles = ["wide", "medium", "close-up", "overhead", "pov"]
    async with simulated.provider(name) as provider:
        for angle, aspect in itertools.product(angles, ["16:9", "9:16", "1:1"]):
            emitted = StoryScene(
                scene_number=1, description="d", camera_angle=angle, duration=5, action="a", transition="cut"
            )
            request = scene(scene=emitted, aspect_ratio=aspect, shot_prompt="🦊 rubah " * 300)
            await provider.submit("an-attempt", shot_of(provider, request))
    assert len(await simulated.tasks()) == 15
