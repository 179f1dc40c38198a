"""Errors that callers see. Each class declares its HTTP status, problem type and title.

REST shows them as problems (RFC 9457); tRPC derives its codes from the same attributes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from shared.messaging.errors import RequestConflicts
from shared.money.budget import BudgetExceeded
from shared.persistence.database import is_outage
from shared.storage.errors import LinkInvalid, ObjectMissing

RETRY_AFTER_SECONDS = "2"
MAX_FIELD_ERRORS = 50
MAX_FIELD_NAME = 100
"""Characters of a field's name that are shown; a request can name its fields anything."""

PROBLEM_TYPES: dict[str, tuple[int, str]] = {}
"""The HTTP status and title of every problem type, listed for people at `/problems`."""


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field. `path` begins with the part of the request: body, query, path or header."""

    path: tuple[str, ...]
    code: str
    text: str


@dataclass(frozen=True)
class Problem:
    """A refusal as callers see it: `problem_type` for programs, `title` and `detail` for people.

    `extra` members go into the body of the answer, `headers` beside it.
    """

    status: int
    problem_type: str
    title: str
    detail: str | None = None
    field_errors: tuple[FieldError, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


def register(status: int, problem_type: str, title: str) -> tuple[int, str, str]:
    """Register a problem type, and return the first arguments of its `Problem`."""
    PROBLEM_TYPES[problem_type] = (status, title)
    return status, problem_type, title


class ApiError(Exception):
    """The base of all errors whose text is meant for the caller."""

    http_status: int
    problem_type: str
    title: str

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "problem_type" in cls.__dict__:
            register(cls.http_status, cls.problem_type, cls.title)

    def problem(self) -> Problem:
        """Return the problem that this error is shown as."""
        return Problem(self.http_status, self.problem_type, self.title, str(self))


class InvalidRequest(ApiError):
    """Fields of a request are wrong."""

    http_status, problem_type, title = 422, "invalid-request", "Invalid request"

    def __init__(self, why: str, field_errors: tuple[FieldError, ...] = ()) -> None:
        super().__init__(why)
        self.field_errors = field_errors

    def problem(self) -> Problem:
        """Return the problem, which names the first `MAX_FIELD_ERRORS` wrong fields."""
        shown = tuple(
            replace(one, path=tuple(part[:MAX_FIELD_NAME] for part in one.path))
            for one in self.field_errors[:MAX_FIELD_ERRORS]
        )
        names = ", ".join(".".join(one.path[1:]) or one.path[0] for one in shown)
        left_out = len(self.field_errors) - len(shown)
        more = f" and {left_out} more" if left_out else ""
        return replace(super().problem(), detail=f"Not valid: {names}{more}. {self}".rstrip(), field_errors=shown)


UNAVAILABLE = register(503, "unavailable", "Unavailable")
BUDGET_EXCEEDED = register(402, "budget-exceeded", "Budget exceeded")
ID_ALREADY_USED = register(409, "id-already-used", "Id already used")
MEDIA_NOT_FOUND = register(404, "media-not-found", "Not there")
LINK_INVALID = register(403, "link-invalid", "Link invalid")


def problem_of(error: Exception) -> Problem | None:
    """Return the problem that an error is shown as; None for internal errors, whose text must not leave the server."""
    if is_outage(error):
        detail = "The database does not answer. Nothing was accepted; try again."
        return Problem(*UNAVAILABLE, detail, headers={"Retry-After": RETRY_AFTER_SECONDS})
    if isinstance(error, ApiError):
        return error.problem()
    translate = next((SHARED_ERRORS[kind] for kind in type(error).__mro__ if kind in SHARED_ERRORS), None)
    return translate(error) if translate is not None else None


def _budget_exceeded(error: BudgetExceeded) -> Problem:
    figures = {"budget": error.budget.name, "estimateUsd": error.wanted, "usedUsd": error.used}
    figures["capUsd"] = error.budget.cap
    return Problem(*BUDGET_EXCEEDED, f"{error} Nothing was accepted.", extra=figures)


SHARED_ERRORS: dict[type[Exception], Callable[[Any], Problem]] = {
    BudgetExceeded: _budget_exceeded,
    RequestConflicts: lambda error: Problem(*ID_ALREADY_USED, str(error)),
    ObjectMissing: lambda _: Problem(*MEDIA_NOT_FOUND, "There is no such media."),
    LinkInvalid: lambda _: Problem(*LINK_INVALID, "Ask for a new link."),
}
"""Errors of the shared library, which knows nothing of HTTP."""
