"""Reads chat completions of OpenAI-compatible endpoints leniently. No I/O."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WrapValidator
from pydantic_core import from_json

Ending = Literal["stop", "length", "content_filter", "reasoning", "empty"]
"""How an answer ended: normally, cut at the token limit, stopped by a filter, with text only in the reasoning field,
or empty."""

MOST_TOKENS = 10_000_000
"""Larger counts are clamped to this."""
BYTES_A_TOKEN = 4
"""An estimate for endpoints that do not report usage."""

CUT = {"length", "max_tokens", "max_output_tokens", "model_length"}
FILTERS = ("filter", "guardrail", "safety", "moderation", "policy", "prohibited", "blocklist")

STATUS_OF = {
    "invalid_api_key": 401, "authentication_error": 401, "permission_error": 403, "permission_denied": 403,
    "insufficient_quota": 402, "billing_error": 402, "billing_hard_limit_reached": 402,
    "invalid_request_error": 400, "unsupported_parameter": 400, "not_found_error": 404, "model_not_found": 404,
    "rate_limit_exceeded": 429, "rate_limit_error": 429,
}  # fmt: skip
"""The HTTP statuses of errors in a body without a status."""


class NoCompletion(Exception):
    """The body is neither a completion nor an error in JSON."""


class ErrorAnswered(Exception):
    """The body is an error, whatever its status. Its message is dropped: it may contain a part of our key."""

    def __init__(self, status: int, *, filtered: bool = False) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status
        self.filtered = filtered


@dataclass(frozen=True)
class Completion:
    """A completion. `texts`: the possible answers, the likeliest first."""

    texts: tuple[str, ...]
    ending: Ending
    refusal: str
    input_tokens: int | None
    output_tokens: int | None
    """None: not reported."""


def _lenient(default: object) -> WrapValidator:
    """Use the default if a value is invalid."""

    def validate(value: object, handler: Any) -> object:  # noqa: ANN401 - pydantic's own
        try:
            return handler(value)
        except ValidationError:
            return default

    return WrapValidator(validate)


def _text(value: object) -> str:
    """Return any value as text: join parts, encode objects as JSON, drop unpaired surrogates."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list) and all(
        isinstance(part, str) or (isinstance(part, dict) and "text" in part) for part in value
    ):
        return "".join(_text(part if isinstance(part, str) else part["text"]) for part in value)
    return json.dumps(value) if isinstance(value, dict | list) and value else ""


def _objects(value: object) -> object:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


Text = Annotated[str, BeforeValidator(_text)]
Tokens = Annotated[int | None, _lenient(None)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class _Usage(_Part):
    input_tokens: Tokens = Field(None, validation_alias=AliasChoices("prompt_tokens", "input_tokens"))
    output_tokens: Tokens = Field(None, validation_alias=AliasChoices("completion_tokens", "output_tokens"))
    total_tokens: Tokens = None


class _Function(_Part):
    arguments: Text = ""


class _ToolCall(_Part):
    function: Annotated[_Function, _lenient(_Function())] = _Function()


class _Message(_Part):
    content: Text = ""
    refusal: Text = ""
    reasoning: Text = Field("", validation_alias=AliasChoices("reasoning_content", "reasoning", "thinking"))
    tool_calls: Annotated[tuple[_ToolCall, ...], BeforeValidator(_objects)] = ()
    function_call: Annotated[_Function, _lenient(_Function())] = _Function()

    @property
    def arguments(self) -> tuple[str, ...]:
        calls = [call.function.arguments for call in self.tool_calls]
        return tuple(text for text in (*calls, self.function_call.arguments) if text)


class _Choice(_Part):
    message: Annotated[_Message, _lenient(_Message())] = _Message()
    delta: Annotated[_Message, _lenient(_Message())] = _Message()
    text: Text = ""
    finish_reason: Text = ""
    error: Any = None


class _Body(_Part):
    choices: Annotated[tuple[_Choice, ...], BeforeValidator(_objects)] = ()
    usage: Annotated[_Usage, _lenient(_Usage())] = _Usage()
    error: Any = None
    object: Any = None
    code: Any = None
    type: Any = None

    @property
    def failure(self) -> dict[str, Any]:
        """The error in any of the known fields; empty if there is none."""
        found = self.error or next((choice.error for choice in self.choices if choice.error), None)
        if isinstance(found, dict):
            return found
        return {"code": self.code, "type": self.type or "unknown"} if found or self.object == "error" else {}


def read_completion(status: int, data: bytes) -> Completion:
    """Return the answer in the body of a response, even if it is a stream that was not requested.

    Raises:
        ErrorAnswered: it is an error; also one with a status of success.
        NoCompletion: it is neither.
    """
    bodies = _bodies(data)
    error = next((error for body in bodies if (error := body.failure)), None)
    message, reason = _message(bodies)
    texts = (*message.arguments, message.content)
    if status >= 300 or (error and not any(texts)):
        error = error or {}
        raise ErrorAnswered(status if status >= 300 else _status(error), filtered=_is_filter(error))
    if not bodies:
        raise NoCompletion
    asked, answered = _tokens([body.usage for body in bodies])
    return Completion(
        texts=tuple(text for text in (*texts, message.reasoning) if text.strip()),
        ending=_ending(reason, has_text=any(text.strip() for text in texts), reasoning=message.reasoning),
        refusal=message.refusal,
        input_tokens=asked,
        output_tokens=answered,
    )


def estimated_tokens(text: str) -> int:
    """Return the estimated number of tokens of a text."""
    return len(text.encode("utf-8", "replace")) // BYTES_A_TOKEN + 1


def _bodies(data: bytes) -> list[_Body]:
    """Yield the JSON objects of a body: one, or one for each event of a stream."""
    text = data.decode("utf-8", "replace").strip()
    lines = [line for line in text.splitlines() if line.startswith("data:")]
    values = [_json(line.removeprefix("data:")) for line in lines] if lines and text[:1] != "{" else [_json(text)]
    return [_Body.model_validate(value) for value in values if isinstance(value, dict)]


def _json(text: str) -> object:
    try:
        return from_json(text)
    except ValueError:
        pass
    try:
        return json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None


def _message(bodies: Iterable[_Body]) -> tuple[_Message, str]:
    """Return the message of the first choice and its finish reason, joined if they are streamed."""
    choices = [body.choices[0] for body in bodies if body.choices]
    parts = [part for choice in choices for part in (choice.message, choice.delta)]
    whole = next((choice.message.tool_calls for choice in choices if choice.message.tool_calls), ())
    streamed = "".join(call.function.arguments for choice in choices for call in choice.delta.tool_calls)
    joined = _Message(
        content="".join([*(part.content for part in parts), *(choice.text for choice in choices)]),
        refusal="".join(part.refusal for part in parts),
        reasoning_content="".join(part.reasoning for part in parts),
        tool_calls=[call.model_dump() for call in whole or (_ToolCall(function=_Function(arguments=streamed)),)],
        function_call=_Function(arguments="".join(part.function_call.arguments for part in parts)),
    )
    return joined, next((choice.finish_reason for choice in reversed(choices) if choice.finish_reason), "")


def _ending(reason: str, *, has_text: bool, reasoning: str) -> Ending:
    if reason.lower() in CUT:
        return "length"
    if any(word in reason.lower() for word in FILTERS):
        return "content_filter"
    if has_text:
        return "stop"
    return "reasoning" if reasoning.strip() else "empty"


def _tokens(usages: Iterable[_Usage]) -> tuple[int | None, int | None]:
    """Return the last reported token counts. An unattributed part of the sum counts as output, the dearer kind."""
    asked = answered = total = None
    for usage in usages:
        asked = usage.input_tokens if usage.input_tokens is not None else asked
        answered = usage.output_tokens if usage.output_tokens is not None else answered
        total = usage.total_tokens if usage.total_tokens is not None else total
    if total is not None and answered is None:
        answered = total - (asked or 0)
        asked = asked or 0
    elif total is not None and asked is None and answered is not None:
        asked = total - answered
    return _believable(asked), _believable(answered)


def _believable(tokens: int | None) -> int | None:
    return None if tokens is None else min(max(tokens, 0), MOST_TOKENS)


def _status(error: dict[str, Any]) -> int:
    """Return the HTTP status of an error in a body; 500 if it has none."""
    codes = [error.get(key) for key in ("code", "status", "status_code", "type")]
    for value in codes:
        if str(value).isdecimal() and 400 <= int(str(value)) < 600:
            return int(str(value))
    return next((STATUS_OF[str(value)] for value in codes if str(value) in STATUS_OF), 500)


def _is_filter(error: dict[str, Any]) -> bool:
    return any(word in str(error.get(key)).lower() for key in ("code", "type") for word in ("filter", "content_policy"))
