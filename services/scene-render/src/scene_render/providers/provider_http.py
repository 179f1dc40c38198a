"""What the adapters of the paid providers share: an HTTP client without retries, and the meaning of errors."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self

import httpx

from scene_render.clips.download import Downloader
from scene_render.providers.base import ProviderSilent, SubmissionDeferred, SubmissionRefused
from shared.catalogue.models import ProviderModels

CHECK_SECONDS = 15.0
"""The time limit of a free request."""
LONGEST_RETRY_AFTER = 24 * 3600.0
MONEY = ("credit", "balance", "insufficient funds", "billing", "payment")
NO_MONEY = (
    "enough credit", "insufficient credit", "insufficient funds", "insufficient balance", "exhausted balance",
    "out of credit",
)  # fmt: skip
"""Unambiguous phrases: a 400 may quote the prompt, and films have end credits."""
MODERATION = ("moderation", "blacklisted", "not allowed", "contains ip", "content policy", "content_policy")

TRANSIENT = frozenset({401, 403, 408, 429})
"""Statuses that do not depend on the request: a retry may succeed."""

NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""Errors that happen before the first byte of the request is sent."""


class AnswerUnreadable(Exception):
    """The answer to a submission names no task."""

    def __init__(self, provider: str, answer: object) -> None:
        super().__init__(f"{provider} answered without a task: {str(answer)[:200]}")
        self.provider = provider


class ProviderAdapter:
    """The base of the adapters of paid providers: the limits of the account, and the HTTP client."""

    def __init__(
        self,
        models: ProviderModels | None,
        concurrency: int,
        submit_seconds: float,
        downloader: Downloader,
        http: httpx.AsyncClient,
    ) -> None:
        self.models = models
        self.concurrency = concurrency
        self.submit_seconds = submit_seconds
        self.downloader = downloader
        self._http = http

    async def __aenter__(self) -> Self:
        """Return itself; the first call connects."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect."""
        await self._http.aclose()

    def task_of_callback(self, _body: Mapping[str, Any]) -> str | None:
        """Return None: there are no callbacks."""
        return None

    def task_id_of(self, said: str, _model: str | None) -> str:
        """Return the id as it is."""
        return said


def http_client() -> httpx.AsyncClient:
    """Return a client that follows no redirects and ignores proxies of the environment."""
    return httpx.AsyncClient(timeout=httpx.Timeout(CHECK_SECONDS, connect=5.0), trust_env=False)


def not_taken(provider: str, error: httpx.HTTPError | BaseException | None) -> SubmissionDeferred | None:
    """Return what a connection error means for a submission; None if the task may have been accepted."""
    if isinstance(error, NEVER_SENT):
        return SubmissionDeferred("outage", f"{provider} cannot be reached.")
    return None


def refused(
    provider: str, status: int, text: str, headers: Mapping[str, str], *, overloaded: frozenset[int] = frozenset()
) -> SubmissionRefused | SubmissionDeferred | None:
    """Return what an error status means for a submission; None if the task may have been accepted.

    `overloaded`: the statuses with which this provider certainly accepted nothing.
    """
    said = text.lower()
    about_money = any(words in said for words in (NO_MONEY if status == 400 else MONEY))
    if status == 402 or (status in (400, 403, 429) and about_money):
        return SubmissionDeferred("credits", f"The account at {provider} has no credit left.", detail=_short(text))
    if status in (401, 403):
        return SubmissionDeferred("auth", f"{provider} rejected the API key (HTTP {status}).", detail=_short(text))
    if status == 429:
        pause = retry_after(headers)
        if pause is None and "daily" in said:
            pause = 1800.0
        return SubmissionDeferred("rate_limit", f"{provider} limits the rate of requests.", pause, detail=_short(text))
    if status in overloaded:
        return SubmissionDeferred("outage", f"{provider} is overloaded (HTTP {status}).", retry_after(headers))
    if status in (408, 409) or status >= 500:
        return None
    if any(word in said for word in MODERATION):
        return SubmissionRefused("moderation", f"{provider} refused the prompt: {_short(text)}")
    return SubmissionRefused("invalid_request", f"{provider} rejected the request (HTTP {status}): {_short(text)}")


def refuses(error: Exception) -> bool:
    """Return whether a free request was refused for its content, and not for the key, the rate or a server error."""
    status = getattr(error, "status_code", None)
    return isinstance(status, int) and 400 <= status < 500 and status not in TRANSIENT


def silent(provider: str, error: BaseException) -> ProviderSilent:
    """Return the error of a free request that can be repeated, without the text of the answer."""
    status = getattr(error, "status_code", None)
    return ProviderSilent(f"{provider}: {type(error).__name__}" + (f" (HTTP {status})" if status else ""))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the delay of a `Retry-After` header, given in seconds or as a date, in seconds."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER)


def sentence(body: Any) -> str:  # noqa: ANN401 - whatever a provider sends
    """Return the message of an error body as readable text."""
    if isinstance(body, Mapping):
        text = next((body[key] for key in ("error", "detail", "message") if body.get(key)), body)
        issues = body.get("issues")
        if isinstance(issues, list):
            text = f"{text} {'; '.join(_issue(issue) for issue in issues)}"
        return sentence(text) if isinstance(text, Mapping | list) and text is not body else str(text)
    if isinstance(body, list):
        return "; ".join(_issue(one) for one in body)
    return str(body)


def body_of(answer: httpx.Response) -> Any:  # noqa: ANN401 - whatever a provider sends
    """Return the JSON of an answer, or its text if it is not JSON."""
    try:
        return answer.json()
    except ValueError:
        return answer.text


def _issue(issue: Any) -> str:  # noqa: ANN401 - as above
    if not isinstance(issue, Mapping):
        return str(issue)
    place = ".".join(map(str, issue.get("path") or issue.get("loc") or ()))
    said = " ".join(str(issue[key]) for key in ("type", "message", "msg") if issue.get(key))
    return f"{place}: {said}" if place else said


def _short(text: str) -> str:
    return " ".join(text.split())[:300]
