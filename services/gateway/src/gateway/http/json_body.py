"""Accepts JSON bodies only, and only such JSON as databases and the services behind can store."""

import re
from math import isinf

from fastapi import Request
from pydantic_core import from_json

from gateway.http.errors import ApiError

NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
LARGEST_INTEGER = 2**63 - 1


class NotJson(ApiError):
    """The content type of a body is not JSON."""

    http_status, problem_type, title = 415, "unsupported-media-type", "Unsupported media type"

    def __init__(self, content_type: str) -> None:
        super().__init__(f"The content type must be application/json, not {content_type or 'nothing'}.")


class MalformedJson(ApiError):
    """A body is not JSON, or holds values that cannot be stored."""

    http_status, problem_type, title = 400, "malformed-json", "Malformed JSON"


def is_json(content_type: str) -> bool:
    """Return whether a content type is JSON, which no HTML form of another site can send."""
    return content_type.partition(";")[0].strip().lower() == "application/json"


async def json_or_nothing(request: Request) -> None:
    """Require JSON as `json_only` does, or no body at all. Raises `NotJson`, `MalformedJson`.

    Another site's page can also send an empty body, but then its browser sends the `Origin` header.
    """
    headers = request.headers
    if "content-type" in headers or "origin" in headers or await request.body():
        await json_only(request)


async def json_only(request: Request) -> None:
    """Require a JSON body, which no HTML form of another site can send. Raises `NotJson`, `MalformedJson`.

    Strict: no NaN or infinity, no lone surrogate, no U+0000. Databases and the services behind refuse these.
    """
    content_type = request.headers.get("content-type", "")
    if not is_json(content_type):
        raise NotJson(content_type)
    body = await request.body()
    try:
        value = from_json(body, allow_inf_nan=False) if body else None
    except ValueError as error:
        raise MalformedJson(f"The body is not valid JSON: {error}.") from error
    if NUL.search(body):
        raise MalformedJson("The body holds the character U+0000.")
    if _has_huge_number(value):
        raise MalformedJson("The body holds a number that is too large to store.")


def _has_huge_number(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_has_huge_number, value.values()))
    if isinstance(value, list):
        return any(map(_has_huge_number, value))
    return (isinstance(value, int) and abs(value) > LARGEST_INTEGER) or (isinstance(value, float) and isinf(value))
