"""The client of a language model at any OpenAI-compatible endpoint."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from decimal import ROUND_UP, Decimal
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
import structlog

from shared.messaging.errors import StepFailed, TryAgainLater
from shared.money.prices import STORYBOARD_TOKENS, UNIT, TokenPrices
from storyboard.answers import Answer
from storyboard.completion import Completion, ErrorAnswered, NoCompletion, estimated_tokens, read_completion
from storyboard.draft import DRAFT_SCHEMA
from storyboard.drafts import read_draft

log = structlog.get_logger()

FREE_OF_CHARGE = TokenPrices()
LONGEST_ANSWER = 100_000
LARGEST_BODY = 5_000_000
CONNECT_SECONDS = 10.0

Form = Literal["tool", "json_schema", "json"]
NAME, ABOUT = "storyboard", "Hand in the whole storyboard."
FORMS: dict[Form, Mapping[str, Any]] = {
    "tool": {
        "tools": [
            {"type": "function", "function": {"name": NAME, "description": ABOUT, "parameters": DRAFT_SCHEMA}},
        ],
        "tool_choice": "required",
    },
    "json_schema": {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": NAME, "description": ABOUT, "schema": DRAFT_SCHEMA, "strict": True},
        },
    },
    "json": {},
}
"""The ways to request a structured answer. The last one works with every endpoint."""
IN_WORDS = f"Answer with one JSON object of this schema, and with nothing else:\n{json.dumps(DRAFT_SCHEMA)}"

Message = dict[str, str]
"""A chat message: its `role` and its `content`."""

FORM_MAY_BE_WHY = {400, 404, 405, 413, 415, 422, 501}
KEY_REFUSED = {401, 403}
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""Errors that happen before the first byte of the request is sent."""


class LanguageModelAway(TryAgainLater):
    """The language model could not be reached, or its answer did not arrive. A retry may succeed.

    `may_have_cost`: the request was sent, so it may be charged.
    """

    def __init__(self, reason: str, *, may_have_cost: bool = False) -> None:
        super().__init__(f"The language model did not answer ({reason})")
        self.may_have_cost = may_have_cost


class LanguageModelUnusable(StepFailed):
    """The endpoint rejects all requests until an operator changes the configuration."""

    def __init__(self, reason: str) -> None:
        super().__init__("storyboard", f"The language model cannot be used: {reason}.")


class FormRejected(Exception):
    """The endpoint rejected the request; it may accept another response format."""


def http_client() -> httpx.AsyncClient:
    """Return a client that follows no redirects and ignores proxies of the environment."""
    return httpx.AsyncClient(timeout=httpx.Timeout(None, connect=CONNECT_SECONDS), trust_env=False)


class Endpoint:
    """A model, asked in one response format or in the first one that works.

    Nothing is retried here: a failed message comes back on the schedule of all messages, and what a second schedule
    below that one paid would not be seen.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        key: str | None,
        model: str,
        *,
        form: Form | None = None,
        prices: TokenPrices = FREE_OF_CHARGE,
        seconds: float = 120,
    ) -> None:
        self.client = client
        # A URL without a path means the usual one.
        self.url = f"{url.rstrip('/')}{'' if urlsplit(url).path.strip('/') else '/v1'}/chat/completions"
        self.headers = {"authorization": f"Bearer {key}"} if key else {}
        self.model = model
        self.forms: list[Form] = [form] if form else list(FORMS)
        self.prices = prices
        self.seconds = seconds

    def remember(self, form: Form) -> None:
        """Start with this response format from now on."""
        self.forms.sort(key=lambda other: other != form)

    def expected_cost(self, talk: Sequence[Message]) -> Decimal:
        """Return the expected maximal cost of an answer, in USD."""
        asked = estimated_tokens("".join([IN_WORDS, *(message["content"] for message in talk)]))
        return self.prices.of(asked, STORYBOARD_TOKENS).quantize(UNIT, ROUND_UP)

    async def ask(self, talk: Sequence[Message], form: Form) -> Answer:
        """Return the model's next answer.

        Raises:
            LanguageModelAway: asking later may help.
            LanguageModelUnusable: asking later will not help.
            FormRejected: another form may help.
        """
        request = {"model": self.model, "messages": _messages(talk, form), **FORMS[form]}
        try:
            async with asyncio.timeout(self.seconds):
                status, body = await self._post(request)
            completion = read_completion(status, body)
        except ErrorAnswered as error:
            if error.filtered:
                return Answer("", ending="content_filter")
            raise _meaning(error.status) from error
        except NoCompletion as error:
            raise LanguageModelAway("its answer is not JSON", may_have_cost=True) from error
        except NEVER_SENT as error:
            raise LanguageModelAway(type(error).__name__) from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise LanguageModelAway(type(error).__name__, may_have_cost=True) from error
        answer = self._answer(completion, request)
        log.info("llm.answered", form=form, tokens=answer.output_tokens, cost_usd=float(answer.cost_usd))
        return answer

    async def _post(self, request: Mapping[str, Any]) -> tuple[int, bytes]:
        async with self.client.stream("POST", self.url, json=request, headers=self.headers) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > LARGEST_BODY:
                    raise LanguageModelAway("its answer is too long", may_have_cost=True)
            return response.status_code, bytes(body)

    def _answer(self, completion: Completion, request: Mapping[str, Any]) -> Answer:
        texts = completion.texts or ("",)
        text = completion.refusal or next((text for text in texts if read_draft(text)), texts[0])
        asked, answered = completion.input_tokens, completion.output_tokens
        if asked is None:
            asked = estimated_tokens(json.dumps(request, ensure_ascii=False))
        if answered is None:
            answered = estimated_tokens("".join(completion.texts))
        return Answer(
            text=text[:LONGEST_ANSWER],
            refused=bool(completion.refusal),
            ending=completion.ending,
            input_tokens=asked,
            output_tokens=answered,
            cost_usd=self.prices.of(asked, answered),
        )


def _messages(talk: Sequence[Message], form: Form) -> list[Message]:
    if form != "json":
        return list(talk)
    system, *others = talk
    return [{**system, "content": f"{system['content']}\n\n{IN_WORDS}"}, *others]


def _meaning(status: int) -> Exception:
    """Return the error of a status, without the endpoint's message, which may contain a part of our key."""
    reason = f"HTTP {status}"
    if status in KEY_REFUSED:
        return LanguageModelUnusable(f"its endpoint refuses the key ({reason}); check LLM_API_KEY")
    if status == 402:
        return LanguageModelUnusable(f"the account has no credit left ({reason})")
    if 300 <= status < 400:
        return LanguageModelUnusable(f"its endpoint redirects elsewhere ({reason}); check LLM_API_URL")
    return FormRejected(reason) if status in FORM_MAY_BE_WHY else LanguageModelAway(reason)
