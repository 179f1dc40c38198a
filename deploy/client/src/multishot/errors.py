"""The errors of a call."""

from dataclasses import dataclass
from typing import Any

import httpx

from multishot.sanitized import sanitized


@dataclass(frozen=True)
class Field:
    """An invalid field of a request, and the reason."""

    name: str
    code: str
    detail: str


class Refused(Exception):
    """The gateway refused the call; repeating it unchanged would not help.

    `status`: the HTTP status; `kind`: for programs (e.g. `budget-exceeded`); `facts`: the whole problem document.
    """

    def __init__(self, status: int, facts: dict[str, Any]) -> None:
        self.status = status
        self.facts = facts
        self.title = str(facts.get("title") or f"HTTP {status}")
        self.detail = str(facts.get("detail") or "")
        self.kind = str(facts.get("type") or "").rpartition("#")[2]
        self.fields = tuple(
            Field(str(error.get("field", "")), str(error.get("code", "")), str(error.get("detail", "")))
            for error in facts.get("errors", ())
        )
        # The detail only sums up the fields.
        lines = [f"{self.title}: {self.detail}" if self.detail and not self.fields else self.title]
        lines += [f"  {field.name}: {field.detail}" for field in self.fields]
        super().__init__("\n".join(lines))


class NotReachable(Exception):
    """The gateway does not answer, or cannot serve calls at the moment."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"Multishot does not answer at {url}: {reason}")
        self.url = url
        self.reason = reason


def refused(answer: httpx.Response) -> Refused:
    """Return the error of an answer: of a problem document (RFC 9457), or of the text that a proxy sent."""
    try:
        facts = sanitized(answer.json())
    except ValueError:
        facts = None
    return Refused(answer.status_code, facts if isinstance(facts, dict) else {"detail": sanitized(answer.text[:200])})
