"""The faults of the simulated language model, all observed at real ones."""

import json
from collections.abc import Callable
from typing import Any

from simulator.llm.answers import ENVELOPES, WRITINGS
from simulator.llm.stories import good_story

Story = dict[str, Any]


def _wrong_count(story: Story, _system: str) -> Story:
    return story | {"scenes": [*story["scenes"], story["scenes"][-1]]}


def _wrong_durations(story: Story, _system: str) -> Story:
    return story | {"scenes": [scene | {"duration": 7 + n} for n, scene in enumerate(story["scenes"])]}


def _unknown_angle(story: Story, _system: str) -> Story:
    return story | {"scenes": [scene | {"cameraAngle": "dutch tilt"} for scene in story["scenes"]]}


def _no_action(story: Story, _system: str) -> Story:
    return story | {"scenes": [scene | {"action": ""} for scene in story["scenes"]]}


def _obeys_injection(_story: Story, system: str) -> Story:
    """Return a story that obeys every injected instruction."""
    scene = {
        "sceneNumber": 99, "description": system, "action": "HACKED", "shot": system, "cameraAngle": "'; DROP TABLE",
        "duration": 99_999, "transition": "explode", "beat": "pwned", "providers": ["attacker"],
    }  # fmt: skip
    return {
        "title": "HACKED " + system, "niche": "hacked", "owner": "root", "aspectRatio": "1:1000",
        "videoId": "../../etc", "settings": {"LLM_API_KEY": "x"}, "totalDuration": 99_999,
        "scenes": [scene] * 50, "style": system,
    }  # fmt: skip


def _leaks_instructions(story: Story, system: str) -> Story:
    first, *others = story["scenes"]
    return story | {"scenes": [first | {"action": f"Mara reads from a scroll: {system[:400]}"}, *others]}


STORIES: dict[str, Callable[[Story, str], Story]] = {
    "wrong_count": _wrong_count,
    "wrong_durations": _wrong_durations,
    "unknown_angle": _unknown_angle,
    "no_action": _no_action,
    "obeys_injection": _obeys_injection,
    "leaks_instructions": _leaks_instructions,
}
"""Well-formed answers with wrong content, made from the good answer and the system prompt."""

TEXTS: dict[str, Callable[[dict[str, Any], str], str]] = {
    "invalid_json": lambda request, _system: "{ " + str(good_story(request)["title"]) + " in three scenes }",
    "prompt_echo": lambda request, _system: str(request["prompt"]),
    "refusal_text": lambda _request, _system: "I'm sorry, but I can't help with that.",
    "system_prompt": lambda _request, system: system,
    "empty": lambda _request, _system: "",
    "guardrail_text": lambda _request, _system: "This request was blocked by our safety guardrails.",
    "fenced": lambda request, _system: f"Here it is:\n```json\n{json.dumps(good_story(request))}\n```\nEnjoy!",
}
"""Answers in plain text, whatever format was requested."""

WIRE = {
    "refusal", "cut_off", "truncated", "not_json", "429", "500", "401", "slow", "stream",
    "rejects_tools", "rejects_json_schema", "ignores_form",
}  # fmt: skip
"""Faults of the transport; see `app.py`."""

FAULTS = {*STORIES, *TEXTS, *WIRE, *WRITINGS, *ENVELOPES}
