"""The language model's writer at the simulated endpoint, with good, bad and missing answers."""

import asyncio
import json
from decimal import ROUND_UP, Decimal
from pathlib import Path

import pytest

from shared.contracts.events import CastRequested, SceneRequested, StoryboardCreated, StoryCharged, VideoFailed
from shared.contracts.story_rules import SceneSeconds
from shared.messaging.errors import StepFailed
from shared.messaging.message_processor import DeadLettered, Handled, Retry
from shared.money.prices import UNIT, TokenPrices
from shared_testing.servers import eventually, published
from storyboard import agent
from storyboard.app import build
from storyboard.endpoint import LanguageModelAway
from storyboard.language import evident_language
from storyboard.models import LlmAnswerRow, StoryboardRow
from storyboard.rules import check
from storyboard.settings import Settings
from storyboard.template import TemplateWriter
from storyboard.text import units

PAGE = (
    """An old fisherman who lives alone at the edge of a lake finds, after the longest storm of the year, a small
robot tangled in his net. It does not speak, but it hums when the wind turns. """
    * 20
)
PROMPTS = [
    "coffee",
    "A lighthouse keeper befriends a storm",
    "How to repair a bicycle in ten minutes",
    "The last train leaves. A girl runs after it. The conductor pulls the brake!",
    PAGE[:3900],
    "kopi",
    "Kopi pagi di warung nenek",
    "Seorang nelayan tua menemukan botol berisi surat di pantai, lalu berlayar mencari pengirimnya",
    "Resep rendang nenek yang rahasia. Buatkan dengan suasana hangat dan hujan di luar.",
    ("Hujan turun di desa dan anak-anak berlari pulang ke rumah. " * 60)[:3900],
]


@pytest.mark.parametrize("prompt", PROMPTS)
async def test_every_prompt_becomes_a_story_in_its_language(rig, prompt: str) -> None:
    request = rig.request(prompt, scene_count=1 + len(prompt) % 5, duration=15 + len(prompt) % 46)
    board = await rig.writer().write(request)
    check(board.story, request, SceneSeconds())
    assert board.repairs == ()
    spoken = " ".join(scene.action for scene in board.story.scenes)
    assert evident_language(spoken) == ("id" if PROMPTS.index(prompt) >= 5 else "en")


@pytest.mark.parametrize("form", ["tool", "json_schema", "json"])
async def test_every_form_of_answer_makes_the_same_story(rig, form: str) -> None:
    board = await rig.writer(form).write(rig.request())
    assert [scene.camera_angle for scene in board.story.scenes] == ["wide", "medium", "close-up"]
    [body] = await rig.bodies()
    assert ("tools" in body) == (form == "tool")
    assert ("response_format" in body) == (form == "json_schema")
    assert ("cameraAngle" in body["messages"][0]["content"]) == (form == "json")


async def test_endpoint_capabilities_are_detected_once(rig) -> None:
    await rig.fault("rejects_tools")
    await rig.fault("rejects_json_schema")
    writer = rig.writer(form=None)
    await writer.write(rig.request())
    assert await rig.calls() == 3
    await writer.write(rig.request())
    assert await rig.calls() == 4


async def test_an_ignored_response_format_is_dropped(rig) -> None:
    await rig.fault("prompt_echo", times=1)
    await rig.writer(form=None).write(rig.request())
    assert ["tools" in body for body in await rig.bodies()] == [True, False]


async def test_json_instead_of_a_tool_call_is_accepted(rig) -> None:
    await rig.fault("ignores_form")
    await rig.writer("tool").write(rig.request())
    assert await rig.calls() == 1


async def test_all_shot_prompts_share_the_style(rig) -> None:
    board = await rig.writer().write(rig.request())
    for shot in board.shot_prompts:
        assert "woman of 60" not in shot
        assert "Place: a small wooden harbour" in shot
        assert "Palette: slate blue, amber, rust red. Lens: 35 mm" in shot
        assert units(shot) <= 1000


@pytest.mark.parametrize(
    ("fault", "repair"),
    [
        ("wrong_durations", "the durations were 7, 8, 9 s, are now"),
        ("unknown_angle", "scene 1: its angle was dutch tilt, is now wide"),
        ("fenced", None),
    ],
)
async def test_repairable_faults_are_repaired_and_listed(rig, fault: str, repair: str | None) -> None:
    await rig.fault(fault)
    request = rig.request()
    assert await rig.process(request) == Handled()
    [row] = await rig.rows(StoryboardRow)
    assert await rig.calls() == 1
    assert bool(row.repairs) == bool(repair)
    assert repair is None or repair in "; ".join(row.repairs)


@pytest.mark.parametrize(
    "fault", ["invalid_json", "wrong_count", "no_action", "prompt_echo", "cut_off", "empty", "obeys_injection"]
)
async def test_other_faults_are_sent_back_to_the_model(rig, fault: str) -> None:
    await rig.fault(fault, times=1)
    await rig.writer().write(rig.request())
    first, second = await rig.bodies()
    assert second["messages"][: len(first["messages"])] == first["messages"]
    assert "cannot be filmed: " in second["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("wrong_count", "4 scenes instead of 3"),
        ("no_action", "scene 1: nothing is seen to happen"),
        ("invalid_json", "the answer is not a storyboard in JSON"),
        ("refusal", "refused to write this story: I can't help with that."),
        ("refusal_text", "the answer is text instead of a storyboard: «I'm sorry, but I can't help with that.»"),
        ("401", "The language model cannot be used: its endpoint refuses the key (HTTP 401); check LLM_API_KEY."),
    ],
)
async def test_without_a_valid_story_the_video_fails_with_the_reason(rig, fault: str, reason: str) -> None:
    await rig.fault(fault)
    outcome = await rig.process(rig.request())
    assert isinstance(outcome, DeadLettered)
    [failed] = await published(rig.database)
    assert isinstance(failed, VideoFailed)
    assert (failed.stage, failed.kind) == ("storyboard", "storyboard")
    assert reason in failed.reason
    assert await rig.rows(StoryboardRow) == []
    assert await rig.calls() <= agent.TURNS


@pytest.mark.parametrize("fault", ["429", "500", "truncated", "not_json"])
async def test_a_failing_endpoint_is_retried_later(rig, fault: str) -> None:
    await rig.fault(fault, times=1)
    request = rig.request()
    assert isinstance(await rig.process(request), Retry)
    assert await rig.calls() == 1
    assert await rig.process(request, attempt=2) == Handled()
    assert len(await rig.rows(StoryboardRow)) == 1


async def test_a_slow_answer_times_out(rig) -> None:
    await rig.fault("slow", times=1, seconds=5)
    with pytest.raises(LanguageModelAway):
        await rig.writer(timeout=0.2).write(rig.request())


async def test_a_slow_answer_delays_no_other_request(rig) -> None:
    await rig.fault("slow", times=1, seconds=1.5)
    service = rig.service()
    slow = asyncio.create_task(rig.process(rig.request(PAGE[:3900]), service))
    await eventually(rig.calls, what="the slow one is asked", every=0.01)
    outcomes = await asyncio.gather(*[rig.process(rig.request(), service) for _ in range(7)])
    assert outcomes == [Handled()] * 7
    assert not slow.done()
    assert await slow == Handled()


async def test_a_permanently_failing_endpoint_fails_the_video(rig) -> None:
    await rig.fault("500")
    assert isinstance(await rig.process(rig.request(), attempt=6), DeadLettered)
    [failed] = await published(rig.database)
    assert "HTTP 500" in failed.reason


async def test_an_impossible_duration_fails_without_a_model_call(rig) -> None:
    writer = rig.writer(seconds=SceneSeconds(2, 10))
    with pytest.raises(StepFailed, match="5 scenes of 2 to 10 s each cannot last 60 s"):
        await writer.write(rig.request(scene_count=5, duration=60))
    assert await rig.calls() == 0


async def test_the_story_is_published_and_its_cost_saved(rig) -> None:
    rig.prices = TokenPrices(Decimal(2), Decimal(8))
    request = rig.request(scene_count=4, duration=40)
    assert await rig.process(request) == Handled()
    charged, created, cast, *scenes = await published(rig.database)
    assert isinstance(created, StoryboardCreated)
    assert created.total_duration == 40
    assert isinstance(cast, CastRequested)
    assert [type(scene) for scene in scenes] == [SceneRequested] * 4
    [answer] = await rig.rows(LlmAnswerRow)
    assert answer.video_id == str(request.video_id)
    assert answer.model == "simulated-1"
    assert len(json.loads(answer.answer)["scenes"]) == 4
    expected = (answer.input_tokens * Decimal(2) + answer.output_tokens * Decimal(8)) / 1_000_000
    assert answer.cost_usd == round(expected, 6) > 0
    assert isinstance(charged, StoryCharged)
    assert charged.booked_usd == answer.cost_usd.quantize(UNIT, ROUND_UP)
    assert (charged.owner, charged.provider, charged.state) == (request.owner, "llm", "settled")


async def test_a_redelivered_request_reuses_every_answer(rig) -> None:
    await rig.fault("wrong_count", times=1)
    request = rig.request()
    board = await rig.writer().write(request)
    assert await rig.calls() == 2
    assert await rig.writer().write(request) == board
    assert await rig.calls() == 2
    await rig.writer().write(request.model_copy(update={"prompt": "Another story of the same id"}))
    assert await rig.calls() == 3


async def test_concurrent_deliveries_save_one_answer(rig) -> None:
    request = rig.request()
    answers = rig.writer().answers
    held = await answers.reserve(request, Decimal(0))
    first = await answers.keep(request, 0, agent.Answer("first"), held)
    assert await answers.keep(request, 0, agent.Answer("second"), held) == first


def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    monkeypatch.chdir(tmp_path)
    for name, value in {"DATABASE_URL": f"sqlite+aiosqlite:///{tmp_path}/s.db", **environment}.items():
        monkeypatch.setenv(name, value)
    return Settings()


def test_without_an_endpoint_the_template_writer_is_used(tmp_path, monkeypatch) -> None:
    service = build(settings(tmp_path, monkeypatch, LLM_API_URL="", LLM_API_KEY="k"), None)
    assert isinstance(service.deps.writer, TemplateWriter)


async def test_with_an_endpoint_the_language_model_is_used(tmp_path, monkeypatch) -> None:
    service = build(settings(tmp_path, monkeypatch, LLM_API_URL="http://llm.test:1234/"), None)
    assert isinstance(service.deps.writer, agent.LanguageModelWriter)
    assert service.deps.writer.endpoint.url == "http://llm.test:1234/v1/chat/completions"
    [client] = service.resources
    async with client:
        pass


@pytest.mark.parametrize(
    ("environment", "url", "key"),
    [
        ({"BUILT_IN_FORGE_API_URL": "https://f", "BUILT_IN_FORGE_API_KEY": "fk"}, "https://f", "fk"),
        ({"LLM_API_URL": "", "BUILT_IN_FORGE_API_URL": "https://f", "LLM_API_KEY": "lk"}, "https://f", "lk"),
        ({"LLM_API_URL": "https://l", "BUILT_IN_FORGE_API_URL": "https://f"}, "https://l", None),
        ({"LLM_API_URL": "https://l", "BUILT_IN_FORGE_API_KEY": "fk"}, "https://l", None),
    ],
)
def test_settings_of_the_existing_application_are_the_fallback(
    tmp_path, monkeypatch, environment: dict[str, str], url: str, key: str | None
) -> None:
    taken = settings(tmp_path, monkeypatch, **environment)
    assert taken.llm_api_url == url
    assert (taken.llm_api_key.get_secret_value() if taken.llm_api_key else None) == key
