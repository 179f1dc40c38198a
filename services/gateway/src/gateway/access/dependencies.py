"""What every route asks first: who calls, may they, and is the body JSON."""

import re
from collections.abc import Awaitable, Callable
from math import isinf
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic_core import from_json

from gateway.access.service import Access, Caller, Scope, is_json

BEARER = HTTPBearer(auto_error=False, description="An API key, where the gateway asks for one")


NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
LARGEST_INTEGER = 2**63 - 1


class NotJson(Exception):
    """The body of a request is not JSON, or does not say that it is."""

    def __init__(self, content_type: str) -> None:
        super().__init__(f"The content type must be application/json, not {content_type or 'nothing'}.")


class MalformedJson(Exception):
    """The body of a request is no JSON that can be kept and passed on."""


async def json_or_nothing(request: Request) -> None:
    """Take JSON as `json_only` does, or no body at all. Raises `NotJson`, `MalformedJson`.

    A page elsewhere can send nothing too, but its browser says where it is from.
    """
    headers = request.headers
    if "content-type" in headers or "origin" in headers or await request.body():
        await json_only(request)


async def json_only(request: Request) -> None:
    """Take JSON alone, which no form of a page elsewhere can send. Raises `NotJson`, `MalformedJson`.

    Strictly: no NaN or infinite number, no half of a surrogate pair, nothing nested without end, no U+0000; databases
    and programs further on refuse these.
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
    if _has_endless_number(value):
        raise MalformedJson("The body holds a number too large to be kept.")


def _has_endless_number(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_has_endless_number, value.values()))
    if isinstance(value, list):
        return any(map(_has_endless_number, value))
    return (isinstance(value, int) and abs(value) > LARGEST_INTEGER) or (isinstance(value, float) and isinf(value))


def _allowed(scope: Scope) -> Callable[..., Awaitable[Caller]]:
    async def caller(
        request: Request, _key: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)]
    ) -> Caller:
        return await admit(request, scope)

    return caller


async def admit(request: Request, scope: Scope) -> Caller:
    """Whoever makes this call, if they may, and counted. Raises `NotSignedIn`, `NotAllowed`, `TooManyCalls`."""
    access: Access = request.app.state.access
    caller = await access.identify(request)
    caller.require(scope)
    request.state.allowance = await access.count(caller)
    return caller


Reader = Annotated[Caller, Depends(_allowed("read"))]
Writer = Annotated[Caller, Depends(_allowed("write"))]
Admin = Annotated[Caller, Depends(_allowed("admin"))]
