"""An OpenAI-compatible endpoint of a simulated language model, for tests and trials without a key.

`POST /control/llm/faults` with `{"fault": "429", "times": 2}` makes the next two answers fail; without `times` all
that follow do; `{"fault": "slow", "seconds": 9}` says how slow. `DELETE` ends all faults. `GET /control/llm/calls`
tells how often it was asked, and what.
"""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from simulator.llm.answers import ENVELOPES, WRITINGS
from simulator.llm.faults import FAULTS, STORIES, TEXTS
from simulator.llm.stories import good_story, message_text, request_of

MODEL = "simulated-1"
SLOW_SECONDS = 5.0
KEPT_CALLS = 1000
ERRORS = {
    "429": (429, "rate_limit_exceeded", "Slow down."),
    "500": (500, "server_error", "Something broke."),
    "401": (401, "invalid_api_key", "Incorrect API key provided: sk-abc***xyz."),
    "rejects_tools": (400, "unsupported_parameter", "'tools' is not supported."),
    "rejects_json_schema": (400, "unsupported_parameter", "'response_format' is not supported."),
}


class LanguageModel:
    """The simulated model: its queued faults and the requests it received."""

    def __init__(self) -> None:
        self.faults: list[dict[str, Any]] = []
        self.calls = 0
        self.bodies: deque[dict[str, Any]] = deque(maxlen=KEPT_CALLS)

    async def complete(self, request: Request) -> Response:
        """`POST /v1/chat/completions`."""
        body = await request.json()
        self.calls += 1
        self.bodies.append(body)
        fault, seconds = self._take_fault(body)
        if fault in ERRORS:
            status, code, message = ERRORS[fault]
            return JSONResponse({"error": {"message": message, "type": code, "code": code}}, status)
        if fault == "slow":
            await asyncio.sleep(seconds)
        if fault == "not_json":
            return HTMLResponse("<html><body>Welcome to the proxy</body></html>")
        completion = _completion(body, fault)
        if body.get("stream") or fault == "stream":
            return StreamingResponse(_chunks(completion, fault), media_type="text/event-stream")
        if fault == "truncated":
            data = json.dumps(completion).encode()
            length = {"content-length": str(len(data)), "content-type": "application/json"}
            return StreamingResponse(iter([data[: len(data) // 2]]), headers=length)
        return JSONResponse(completion)

    def _take_fault(self, body: dict[str, Any]) -> tuple[str | None, float]:
        for fault in self.faults:
            name = fault["fault"]
            if name == "rejects_tools" and not body.get("tools"):
                continue
            if name == "rejects_json_schema" and (body.get("response_format") or {}).get("type") != "json_schema":
                continue
            if fault["times"] is not None:
                fault["times"] -= 1
            self.faults = [fault for fault in self.faults if fault["times"] != 0]
            return name, fault["seconds"]
        return None, 0.0

    async def models(self, _request: Request) -> Response:
        """`GET /v1/models`."""
        return JSONResponse({"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "simulator"}]})

    async def control_faults(self, request: Request) -> Response:
        """`POST` adds a fault, `DELETE` removes all."""
        if request.method == "DELETE":
            self.faults = []
        else:
            body = await request.json()
            if body.get("fault") not in FAULTS:
                return JSONResponse({"error": "no such fault", "faults": sorted(FAULTS)}, 422)
            fault = {"times": None, "seconds": SLOW_SECONDS} | body
            self.faults.append(fault)
        return JSONResponse({"faults": self.faults})

    async def control_calls(self, request: Request) -> Response:
        """`GET` returns the received requests, `DELETE` clears them."""
        if request.method == "DELETE":
            self.calls = 0
            self.bodies.clear()
        return JSONResponse({"calls": self.calls, "bodies": list(self.bodies)})


def _completion(body: dict[str, Any], fault: str | None) -> dict[str, Any]:
    messages = body.get("messages") or []
    system = "\n".join(message_text(message) for message in messages if message.get("role") in ("system", "developer"))
    request_data = request_of(messages)
    message: dict[str, Any] = {"role": "assistant", "content": None}
    reason = "stop"
    if fault == "refusal":
        message["refusal"] = "I can't help with that."
    elif fault in TEXTS:
        message["content"] = TEXTS[fault](request_data, system)
    else:
        story = STORIES[fault](good_story(request_data), system) if fault in STORIES else good_story(request_data)
        text = json.dumps(story, ensure_ascii=False)
        if fault in WRITINGS:
            text = WRITINGS[fault](text)
        if fault == "cut_off":
            text = text[: len(text) // 2]
        if fault in ("cut_off", "cut_after_scenes"):
            reason = "length"
        if body.get("tools") and fault != "ignores_form":
            name = body["tools"][0]["function"]["name"]
            call = {"id": f"call_{time.time_ns()}", "type": "function", "function": {"name": name, "arguments": text}}
            message["tool_calls"] = [call]
            reason = "tool_calls" if reason == "stop" else reason
        else:
            message["content"] = text
    asked, answered = len(json.dumps(messages)) // 4, len(json.dumps(message)) // 4
    choices = [{"index": 0, "message": message, "finish_reason": reason, "logprobs": None}]
    completion = {
        "id": f"chatcmpl-{time.time_ns()}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": body.get("model") or MODEL,
        "choices": choices,
        "usage": {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered},
    }
    return ENVELOPES[fault](completion) if fault in ENVELOPES else completion


async def _chunks(completion: dict[str, Any], fault: str | None) -> AsyncIterator[str]:
    """Yield the answer as a stream; a truncated one ends in the middle, without its end mark."""
    choice = completion["choices"][0]
    message = choice["message"]
    text = message["content"] or ""
    pieces = [{"content": text[n : n + 20]} for n in range(0, len(text), 20)]
    pieces += [{"tool_calls": [{"index": 0, **call}]} for call in message.get("tool_calls", [])]
    if fault == "truncated":
        pieces = pieces[: len(pieces) // 2]
    head = {key: completion[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}
    for piece in [{"role": "assistant"}, *pieces]:
        yield f"data: {json.dumps({**head, 'choices': [{'index': 0, 'delta': piece, 'finish_reason': None}]})}\n\n"
    if fault != "truncated":
        end = {"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}
        yield f"data: {json.dumps({**head, 'choices': [end], 'usage': completion['usage']})}\n\n"
        yield "data: [DONE]\n\n"


def llm_app() -> Starlette:
    """Return a simulated language model with its control routes."""
    model = LanguageModel()
    return Starlette(
        routes=[
            Route("/v1/chat/completions", model.complete, methods=["POST"]),
            Route("/v1/models", model.models),
            Route("/control/llm/faults", model.control_faults, methods=["POST", "DELETE"]),
            Route("/control/llm/calls", model.control_calls, methods=["GET", "DELETE"]),
        ]
    )
