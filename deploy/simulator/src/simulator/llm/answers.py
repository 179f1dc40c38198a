"""Variants of a good answer as real endpoints wrap, escape and break it, each as a change of OpenAI's format."""

import json
from collections.abc import Callable
from typing import Any

Json = dict[str, Any]


def _with_message(change: Callable[[Json], Json]) -> Callable[[Json], Json]:
    def changed(completion: Json) -> Json:
        choice = completion["choices"][0]
        return completion | {"choices": [choice | {"message": change(choice["message"])}]}

    return changed


def _with_arguments(change: Callable[[Any], Any]) -> Callable[[Json], Json]:
    def changed(message: Json) -> Json:
        if not message.get("tool_calls"):
            return message
        calls = [
            call | {"function": call["function"] | {"arguments": change(call["function"]["arguments"])}}
            for call in message["tool_calls"]
        ]
        return message | {"tool_calls": calls}

    return _with_message(changed)


def _said(message: Json) -> str:
    calls = message.get("tool_calls")
    return str(calls[0]["function"]["arguments"] if calls else message["content"])


def _ended(reason: str) -> Callable[[Json], Json]:
    return lambda completion: completion | {"choices": [completion["choices"][0] | {"finish_reason": reason}]}


def _bare(completion: Json) -> Json:
    choice = completion["choices"][0]
    return {"choices": [{"message": choice["message"]}], "usage": completion["usage"]}


def _error(code: object, message: str) -> Callable[[Json], Json]:
    return lambda _completion: {"error": {"message": message, "code": code}}


def _usage(**usage: object) -> Callable[[Json], Json]:
    return lambda completion: completion | {"usage": usage or None}


ENVELOPES: dict[str, Callable[[Json], Json]] = {
    "arguments_object": _with_arguments(json.loads),
    "arguments_null": _with_message(
        lambda m: (
            (_with_arguments(lambda _: None)({"choices": [{"message": m}]})["choices"][0]["message"])
            | {"content": _said(m)}
        )
    ),
    "arguments_twice": _with_arguments(json.dumps),
    "legacy_function_call": _with_message(
        lambda m: {"role": "assistant", "content": None, "function_call": {"name": "x", "arguments": _said(m)}}
    ),
    "content_parts": _with_message(lambda m: {"content": [{"type": "text", "text": _said(m)}]}),
    "usage_nulls": _usage(prompt_tokens=None, completion_tokens=None, total_tokens=900),
    "usage_missing": _usage(),
    "usage_renamed": _usage(input_tokens=500, output_tokens=400.0),
    "bare_envelope": _bare,
    "odd_envelope": lambda completion: completion | {"created": 1.5, "object": None, "id": 7, "model": None},
    "no_choices": lambda completion: completion | {"choices": []},
    "null_choices": lambda completion: completion | {"choices": None},
    "error_401_in_200": _error(401, "invalid key sk-abc***xyz"),
    "error_429_in_200": _error("rate_limit_exceeded", "Slow down."),
    "error_in_choice": lambda completion: (
        completion | {"choices": [{"error": {"code": 502, "message": "upstream"}, "finish_reason": "error"}]}
    ),
    "guardrail": lambda completion: _ended("content_filter")(_with_message(lambda _: {"content": None})(completion)),
    "guardrail_odd": lambda completion: _ended("guardrail_intervened")(_with_message(lambda _: {})(completion)),
    "only_reasoning": _with_message(lambda m: {"content": "", "reasoning_content": _said(m)}),
    "only_thoughts": _with_message(lambda _: {"content": "", "reasoning": "The user wants a film. Let me think."}),
}
"""Changes of the whole completion."""


def _fenced_in_thoughts(text: str) -> str:
    return f'I use {{braces}} and a "quote here.\n```json\n{text}\n```\nDoes {{this}} help?'


def _reshaped(change: Callable[[Json], object]) -> Callable[[str], str]:
    return lambda text: json.dumps(change(json.loads(text)))


def _scenes(change: Callable[[list[Json]], object]) -> Callable[[str], str]:
    return _reshaped(lambda story: story | {"scenes": change(story["scenes"])})


WRITINGS: dict[str, Callable[[str], str]] = {
    "trailing_commas": lambda text: text.replace("}]", "},],")[:-1].rstrip(",") + ",}",
    "raw_newlines": lambda text: text.replace(" the ", " the\n").replace(" di ", " di\n"),
    "single_quotes": lambda text: repr(json.loads(text)),
    "thoughts_and_fence": _fenced_in_thoughts,
    "think_tag": lambda text: f'<think>Use {{x}} and "y".</think>{text}',
    "half_surrogate": lambda text: text.replace(" the ", ' \\ud83d the ').replace(" di ", " \\ud83d di "),
    "nan": lambda text: text.replace('"duration": ', '"duration": NaN, "was": '),
    "wrapped": _reshaped(lambda story: {"storyboard": story}),
    "wrapped_in_items": lambda text: text.replace('"scenes": ', '"items": '),
    "wrapped_in_list": _reshaped(lambda story: [story]),
    "scenes_as_text": _scenes(json.dumps),
    "scenes_as_object": _scenes(lambda scenes: {f"scene_{n}": s for n, s in reversed(list(enumerate(scenes, 1)))}),
    "duration_words": _scenes(lambda scenes: [s | {"duration": f"{s['duration']:g} seconds"} for s in scenes]),
    "duration_clock": _scenes(lambda scenes: [s | {"duration": f"0:{s['duration']:02.0f}"} for s in scenes]),
    "duration_unit": _scenes(lambda scenes: [s | {"duration": f"{s['duration']:g}s"} for s in scenes]),
    "word_null": _scenes(lambda scenes: [s | {"description": "null"} for s in scenes]),
    "out_of_order": _scenes(lambda scenes: [s | {"sceneNumber": n} for n, s in enumerate(scenes, 1)][-1:]
                            + [s | {"sceneNumber": n} for n, s in enumerate(scenes, 1)][:-1]),
    "cut_after_scenes": lambda text: text[: text.rindex('"cut"') + 2],
}  # fmt: skip
"""Changes of the text of a good story."""
