"""What can go wrong with a call."""

from dataclasses import dataclass
from typing import Any

import httpx

from multishot.sanitized import sanitized


@dataclass(frozen=True)
class Field:
    """A field of a request that is wrong, and why."""

    name: str
    code: str
    detail: str


class Refused(Exception):
    """The gateway says no; asking again in the same way would not help.

    `status` is that of HTTP, `kind` is for programs (e.g. `budget-exceeded`), `facts` is the whole problem.
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
        # The fields say it better than the detail, which sums them up.
        lines = [f"{self.title}: {self.detail}" if self.detail and not self.fields else self.title]
        lines += [f"  {field.name}: {field.detail}" for field in self.fields]
        super().__init__("\n".join(lines))


class NotReachable(Exception):
    """Nobody answers at the gateway's address, or only that it cannot at the moment."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"Multishot does not answer at {url}: {reason}")
        self.url = url
        self.reason = reason


def refused(answer: httpx.Response) -> Refused:
    """The no that an answer is; it is a problem (RFC 9457), unless something between us has answered."""
    try:
        facts = sanitized(answer.json())
    except ValueError:
        facts = None
    return Refused(answer.status_code, facts if isinstance(facts, dict) else {"detail": sanitized(answer.text[:200])})
