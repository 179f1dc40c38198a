"""The door to a language model, at any OpenAI-compatible endpoint."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal
from urllib.parse import urlsplit

import structlog
from httpx2 import AsyncClient
from pydantic_ai.direct import model_request
from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelAuthenticationError,
    ModelHTTPError,
    ModelQuotaExceededError,
    ModelRequestRejectedError,
    UnexpectedModelBehavior,
)
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from shared.errors import StepFailed, TryAgainLater
from storyboard.answers import Answer
from storyboard.draft import DRAFT_SCHEMA

log = structlog.get_logger()

LONGEST_ANSWER = 100_000
MOST_TOKENS = 10_000_000
"""More is not believed."""

FILTERED = {"content_filter", "content_policy_violation"}

Form = Literal["tool", "json_schema", "json"]
NAME, ABOUT = "storyboard", "Hand in the whole storyboard."
FORMS: dict[Form, ModelRequestParameters] = {
    "tool": ModelRequestParameters(
        output_mode="tool",
        output_tools=[ToolDefinition(name=NAME, parameters_json_schema=DRAFT_SCHEMA, description=ABOUT, kind="output")],
        allow_text_output=False,
    ),
    "json_schema": ModelRequestParameters(
        output_mode="native", output_object=OutputObjectDefinition(DRAFT_SCHEMA, NAME, ABOUT, strict=True)
    ),
    "json": ModelRequestParameters(
        output_mode="prompted", output_object=OutputObjectDefinition(DRAFT_SCHEMA, NAME, ABOUT)
    ),
}
"""The ways to ask for an answer in form. The last one asks nothing of an endpoint that any of them lacks."""


class LanguageModelAway(TryAgainLater):
    """The language model could not be asked, or its answer did not arrive. Asking later may help."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the language model did not answer ({reason})")


class LanguageModelUnusable(StepFailed):
    """The endpoint will not answer us, now or later, until an operator changes something."""

    def __init__(self, reason: str) -> None:
        super().__init__("storyboard", f"The language model cannot be used: {reason}.")


class FormRejected(Exception):
    """The endpoint does not take the request as it is; it may take another form of it."""


@dataclass(frozen=True)
class Prices:
    """What a model costs, in USD for a million tokens."""

    input_usd: Decimal = Decimal(0)
    output_usd: Decimal = Decimal(0)

    def of(self, input_tokens: int, output_tokens: int) -> Decimal:
        """What so many tokens cost, as exactly as it is kept."""
        cost = (self.input_usd * input_tokens + self.output_usd * output_tokens) / 1_000_000
        return cost.quantize(Decimal("0.000001"))


def language_model(url: str, key: str | None, name: str, client: AsyncClient | None = None) -> OpenAIChatModel:
    """The model behind an endpoint. A URL without a path means the usual one, `/v1`."""
    base_url = url.rstrip("/") if urlsplit(url).path.strip("/") else f"{url.rstrip('/')}/v1"
    # What an endpoint can do is found out by asking: the model's name does not tell.
    profile = OpenAIModelProfile(
        supports_tools=True,
        supports_json_schema_output=True,
        supports_json_object_output=False,
        openai_chat_supports_multiple_system_messages=False,
    )
    provider = OpenAICompatibleProvider("llm", base_url=base_url, api_key=key, http_client=client, profile=profile)
    return OpenAIChatModel(name, provider=provider)


class Endpoint:
    """A model that can be asked, in one form or in the first one that works."""

    def __init__(self, model: Model, form: Form | None, prices: Prices, seconds: float) -> None:
        self.model = model
        self.forms: list[Form] = [form] if form else list(FORMS)
        self.prices = prices
        # No retries here: the frame's ladder retries, and what a second one below it pays would not be seen.
        self.settings = ModelSettings(max_retries=0, request_timeout=seconds)

    def remember(self, form: Form) -> None:
        """Begin with this form from now on: it works."""
        self.forms.sort(key=lambda other: other != form)

    async def ask(self, talk: Sequence[ModelMessage], form: Form) -> Answer:
        """The model's next word.

        Raises:
            LanguageModelAway: asking later may help.
            LanguageModelUnusable: asking later will not help.
            FormRejected: another form may help.
        """
        try:
            response = await model_request(
                self.model, talk, model_settings=self.settings, model_request_parameters=FORMS[form]
            )
        except (ModelAuthenticationError, ModelQuotaExceededError) as error:
            raise LanguageModelUnusable(_status(error)) from error
        except ModelRequestRejectedError as error:
            if error.provider_error_code in FILTERED:
                return Answer("", refused=True)
            raise FormRejected(_status(error)) from error
        # An IndexError is an answer without choices.
        except (ModelAPIError, UnexpectedModelBehavior, IndexError) as error:
            raise LanguageModelAway(_status(error)) from error
        answer = self._answer(response)
        log.info("llm.answered", form=form, tokens=answer.output_tokens, cost_usd=float(answer.cost_usd))
        return answer

    def _answer(self, response: ModelResponse) -> Answer:
        usage = response.usage
        asked, answered = (min(max(tokens, 0), MOST_TOKENS) for tokens in (usage.input_tokens, usage.output_tokens))
        refusal = (response.provider_details or {}).get("refusal")
        return Answer(
            text=_storable(refusal if isinstance(refusal, str) else _words(response)),
            refused=response.finish_reason == "content_filter",
            input_tokens=asked,
            output_tokens=answered,
            cost_usd=self.prices.of(asked, answered),
        )


def _status(error: Exception) -> str:
    """What is known of a failure without repeating what the endpoint said: that may hold a part of our key."""
    return f"HTTP {error.status_code}" if isinstance(error, ModelHTTPError) else type(error).__name__


def _words(response: ModelResponse) -> str:
    """What the model handed in, or else what it said."""
    for part in response.parts:
        if isinstance(part, ToolCallPart):
            return part.args if isinstance(part.args, str) else json.dumps(part.args)
    return "".join(part.content for part in response.parts if isinstance(part, TextPart))


def _storable(text: str) -> str:
    """As a database takes it: valid Unicode, not endless."""
    return text[:LONGEST_ANSWER].encode("utf-8", "replace").decode()
