"""What the adapters of the paid providers share: an HTTP client that repeats nothing, and how errors are judged."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from scene_render.providers.base import ProviderSilent, SubmissionDeferred, SubmissionRefused

CHECK_SECONDS = 15.0
"""How long a free question may take."""
LONGEST_TOLD_PAUSE = 24 * 3600.0
MONEY = ("credit", "balance", "insufficient funds", "billing", "payment")
NO_MONEY = (
    "enough credit", "insufficient credit", "insufficient funds", "insufficient balance", "exhausted balance",
    "out of credit",
)  # fmt: skip
"""Unmistakable: a 400 may quote the prompt, and films have end credits."""
MODERATION = ("moderation", "blacklisted", "not allowed", "contains ip", "content policy", "content_policy")

PASSING = frozenset({401, 403, 408, 429})
"""What is answered whatever was asked: another time it may go well."""

NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""What happens before a byte of the request has left."""


class AnswerUnreadable(Exception):
    """A submission was answered with something that names no task."""

    def __init__(self, provider: str, answer: object) -> None:
        super().__init__(f"{provider} answered without a task: {str(answer)[:200]}")
        self.provider = provider


def http_client() -> httpx.AsyncClient:
    """A client that follows no redirects, and no proxy that happens to be in the environment."""
    return httpx.AsyncClient(timeout=httpx.Timeout(CHECK_SECONDS, connect=5.0), trust_env=False)


def not_taken(provider: str, error: httpx.HTTPError | BaseException | None) -> SubmissionDeferred | None:
    """What a failed connection means for a submission; None where the task may have been taken all the same."""
    if isinstance(error, NEVER_SENT):
        return SubmissionDeferred("outage", f"{provider} cannot be reached.")
    return None


def refused(
    provider: str, status: int, text: str, headers: Mapping[str, str], *, overloaded: frozenset[int] = frozenset()
) -> SubmissionRefused | SubmissionDeferred | None:
    """What an error status means for a submission; None where the task may have been taken all the same.

    `overloaded`: the statuses by which this provider says for sure that it has taken nothing.
    """
    said = text.lower()
    about_money = any(words in said for words in (NO_MONEY if status == 400 else MONEY))
    if status == 402 or (status in (400, 403, 429) and about_money):
        return SubmissionDeferred("credits", f"The account at {provider} has no credit left.", detail=_short(text))
    if status in (401, 403):
        return SubmissionDeferred("auth", f"{provider} does not accept the key (HTTP {status}).", detail=_short(text))
    if status == 429:
        pause = retry_after(headers)
        if pause is None and "daily" in said:
            pause = 1800.0
        return SubmissionDeferred("rate_limit", f"{provider} wants fewer requests.", pause, detail=_short(text))
    if status in overloaded:
        return SubmissionDeferred("outage", f"{provider} is overloaded (HTTP {status}).", retry_after(headers))
    if status in (408, 409) or status >= 500:
        return None
    if any(word in said for word in MODERATION):
        return SubmissionRefused("moderation", f"{provider} does not want to show this: {_short(text)}")
    return SubmissionRefused("invalid_request", f"{provider} does not take this order (HTTP {status}): {_short(text)}")


def refuses(error: Exception) -> bool:
    """Whether this answer to a free question is a no, and not one about the key, the pace or a fault of the server."""
    status = getattr(error, "status_code", None)
    return isinstance(status, int) and 400 <= status < 500 and status not in PASSING


def silent(provider: str, error: BaseException) -> ProviderSilent:
    """A free question had no good answer: it can be asked again. What the answer says is for the log only."""
    status = getattr(error, "status_code", None)
    return ProviderSilent(f"{provider}: {type(error).__name__}" + (f" (HTTP {status})" if status else ""))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The pause a provider asks for, in seconds, whether it says how long or until when."""
    told = headers.get("retry-after", "")
    try:
        seconds = float(told)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.0), LONGEST_TOLD_PAUSE)


def sentence(body: Any) -> str:  # noqa: ANN401 - whatever a provider sends
    """What an error body says, as a person would read it."""
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
