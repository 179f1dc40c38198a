"""FastAPI dependencies that authenticate, authorize and count the caller of a route."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from gateway.access.service import Access, Caller, Scope

BEARER = HTTPBearer(auto_error=False, description="An API key, where the gateway requires one")


async def authorize(request: Request, scope: Scope) -> Caller:
    """Return the caller, and count the call. Raises `NotSignedIn`, `NotAllowed`, `TooManyCalls`."""
    access: Access = request.app.state.access
    caller = await access.identify(request)
    caller.require(scope)
    request.state.allowance = await access.count(caller)
    return caller


def _with_scope(scope: Scope) -> Callable[..., Awaitable[Caller]]:
    async def caller(
        request: Request, _key: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)]
    ) -> Caller:
        return await authorize(request, scope)

    return caller


Reader = Annotated[Caller, Depends(_with_scope("read"))]
Writer = Annotated[Caller, Depends(_with_scope("write"))]
Admin = Annotated[Caller, Depends(_with_scope("admin"))]
