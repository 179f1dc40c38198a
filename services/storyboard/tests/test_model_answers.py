"""Real answers of OpenAI-compatible endpoints over HTTP: usable ones are used, paid ones are saved."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from httpx import AsyncClient

from shared.contracts.events import StoryCharged, VideoFailed
from shared.messaging.message_processor import DeadLettered, Handled, Retry
from shared.money.prices import TokenPrices
from shared_testing.servers import published
from simulator.app import Settings, serving
from simulator.llm.answers import ENVELOPES, WRITINGS
from storyboard.draft import Draft
from storyboard.drafts import read_draft
from storyboard.models import LlmAnswerRow, StoryboardRow

PRICES = (Decimal(2), Decimal(8))
ALL_FORMS = ["tool", "json_schema", "json"]
CUT = "the answer was cut off at the token limit"
FILTERED = "the endpoint's content filter stopped the answer"

USED = sorted(
    {*ENVELOPES, *WRITINGS, "stream", "fenced"}
    - {"no_choices", "null_choices", "error_401_in_200", "error_429_in_200", "error_in_choice"}
    - {"guardrail", "guardrail_odd", "only_thoughts"}
)
"""Answers with a readable story."""
NOT_USED = {
    "no_choices": "the answer was empty",
    "null_choices": "the answer was empty",
    "empty": "the answer was empty",
    "guardrail": FILTERED,
    "guardrail_odd": FILTERED,
    "guardrail_text": "instead of a storyboard: «This request was blocked by our safety guardrails.»",
    "cut_off": CUT,
    "only_thoughts": "the answer is in the reasoning field only",
    "invalid_json": "the answer is not a storyboard in JSON",
}


@pytest.fixture
async def rig(rig: Any) -> AsyncIterator[Any]:
    """The same, at an endpoint on a port of its own."""
    async with serving(Settings(port=0)) as url, AsyncClient(trust_env=False) as client:
        rig.client, rig.url, rig.prices = client, f"{url}/llm", TokenPrices(*PRICES)
        yield rig


def forms_of(bodies: list[dict[str, Any]]) -> list[str]:
    return ["tool" if "tools" in body else "json_schema" if "response_format" in body else "json" for body in bodies]


async def paid_for(rig: Any, video_id: object) -> list[LlmAnswerRow]:
    """The answers kept for a video, each with its tokens and with what they cost."""
    rows = [row for row in await rig.rows(LlmAnswerRow) if row.video_id == str(video_id)]
    for row in rows:
        assert row.input_tokens >= 0
        assert row.output_tokens > 0, row.answer
        cost = (row.input_tokens * PRICES[0] + row.output_tokens * PRICES[1]) / 1_000_000
        assert row.cost_usd == round(cost, 6) > 0
    return rows


async def test_every_usable_answer_is_used_and_saved(rig) -> None:
    good = await rig.writer().write(rig.request())
    for fault in USED:
        await rig.forget_calls()
        await rig.fault(fault, times=1)
        request = rig.request()
        written = await rig.writer(form=None).write(request)
        expected = [scene.action for scene in good.story.scenes]
        assert [" ".join(s.action.replace("\ufffd", "").split()) for s in written.story.scenes] == expected, fault
        assert written.story.style == good.story.style, fault
        assert [scene.duration for scene in written.story.scenes] == [10, 10, 10], fault
        assert len(await paid_for(rig, request.video_id)) == 1, fault
        assert forms_of(await rig.bodies()) == ["tool"], fault


@pytest.mark.parametrize("fault", NOT_USED)
async def test_an_unusable_answer_is_saved_and_the_next_format_tried(rig, fault: str) -> None:
    await rig.fault(fault)
    request, service = rig.request(), rig.service(rig.writer(form=None))
    assert isinstance(await rig.process(request, service), DeadLettered)
    *charged, failed = await published(rig.database)
    assert [type(event) for event in charged] == [StoryCharged] * 3
    assert isinstance(failed, VideoFailed)
    assert NOT_USED[fault] in failed.reason
    assert len(await paid_for(rig, request.video_id)) == 3
    assert forms_of(await rig.bodies()) == ALL_FORMS

    await rig.heal()
    await rig.forget_calls()
    await rig.fault(fault, times=1)
    assert await rig.process(rig.request(), service) == Handled()
    assert forms_of(await rig.bodies()) == ["tool", "json_schema"]


@pytest.mark.parametrize(
    ("fault", "outcome", "reason"),
    [
        ("error_401_in_200", DeadLettered, "refuses the key (HTTP 401); check LLM_API_KEY"),
        ("401", DeadLettered, "refuses the key (HTTP 401); check LLM_API_KEY"),
        ("error_429_in_200", Retry, "HTTP 429"),
        ("error_in_choice", Retry, "HTTP 502"),
        ("truncated", Retry, "RemoteProtocolError"),
        ("not_json", Retry, "its answer is not JSON"),
    ],
)
async def test_an_error_of_the_endpoint_is_not_saved_as_an_answer(rig, fault: str, outcome: type, reason: str) -> None:
    await rig.fault(fault)
    ended = await rig.process(rig.request())
    assert isinstance(ended, outcome)
    assert reason in ended.reason
    assert await rig.rows(LlmAnswerRow) == await rig.rows(StoryboardRow) == []
    assert await rig.calls() == 1


async def test_a_filtered_request_is_not_repeated_in_the_same_format(rig) -> None:
    await rig.fault("guardrail")
    ended = await rig.process(rig.request())
    assert isinstance(ended, DeadLettered)
    assert f"refused to write this story: {FILTERED}" in ended.reason
    assert await rig.calls() == 1


SCENE = '{"action": "A fox jumps."}'


@pytest.mark.parametrize(
    "answer",
    [
        f"[{SCENE}, {SCENE}]",
        f"Scenes:\n```\n[{SCENE}, {SCENE}]\n```",
        f'{{"result": {{"data": [{{"storyboard": {{"scenes": [{SCENE}, {SCENE}]}}}}]}}}}',
        f'{{"scenes": [{SCENE}]}} or better {{"scenes": [{SCENE}, {SCENE}]}}',
        f'{{"scenes": {{"2": {SCENE}, "1": {SCENE}}}}}',
        f'{{"scenes": [{SCENE!r}, {SCENE!r}]}}',
        f'{{"scenes": [{SCENE}, {{"action": "A fox says "hello" to all."}}]',
        f'{{"scenes": [{SCENE}, {SCENE}], // done\n}}',
    ],
)
def test_a_draft_is_found_in_any_wrapping(answer: str) -> None:
    draft = read_draft(answer)
    assert draft is not None
    assert len(draft.scenes) == 2


@pytest.mark.parametrize(
    "answer",
    ["", "null", "[]", "{}", '"', "{" * 100_000, "[" * 100_000, '{"a":' * 20_000, '{"scenes": []}', '{"scenes": 5}'],
)
def test_no_draft_is_invented(answer: str) -> None:
    assert read_draft(answer) is None


def test_the_last_word_of_a_truncated_answer_is_dropped() -> None:
    cut = f'{{"scenes": [{SCENE}, {{"action": "A fox ju'
    for draft in (read_draft(cut), read_draft(cut, cut=True)):
        assert draft is not None
        assert draft.scenes[-1].action in ("", "A fox jumps.")


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (7, 7), (7.5, 7.5), ("7", 7), ("10 seconds", 10), ("5s", 5), ("5 s", 5), ("7,5 s", 7.5), ("0:05", 5),
        ("00:12.5", 12.5), ("1:05", 65), ("1 min", 60), ("~8 sec.", 8), ("PT9S", 9), ("1500 ms", 1.5), ("10-12 s", 10),
        ("ten", 0), ("", 0), (None, 0), (-3, 0), ("NaN", 0), (float("nan"), 0), (True, 1), ([5], 0),
    ],
)  # fmt: skip
def test_human_readable_durations_are_parsed(said: object, seconds: float) -> None:
    draft = Draft.model_validate({"scenes": [{"action": "x", "duration": said}]})
    assert draft.scenes[0].duration == seconds
