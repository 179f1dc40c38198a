"""The REST API of sessions, for browsers, and of tokens, for clients that cannot send headers."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr
from pydantic.alias_generators import to_camel

from gateway.access.dependencies import Reader
from gateway.access.keys import Scope
from gateway.access.service import SESSION_COOKIE, SESSION_SECONDS, Access, Caller
from gateway.http.json_body import json_only


class SignIn(BaseModel):
    """A request for a session."""

    model_config = ConfigDict(extra="forbid")

    key: Annotated[SecretStr, Field(max_length=200, description="An API key")]


class SessionResource(BaseModel):
    """The caller and its permissions."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    owner: str
    scopes: list[Scope]
    expires_at: AwareDatetime | None = Field(None, description="When the session that was just opened ends")


class TokenResource(BaseModel):
    """A read-only token that stands for a key: `?token=` of any GET, or `auth: {token}` of a socket."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    token: str
    expires_at: AwareDatetime


def routes(access: Access, public_url: str) -> APIRouter:
    """Return the routes of sessions and tokens."""
    router = APIRouter(tags=["access"])

    @router.post("/api/v1/session", dependencies=[Depends(json_only)])
    async def open_session(sign_in: SignIn, request: Request, response: Response) -> SessionResource:
        """Exchange a key for a session cookie, which scripts cannot read. It is valid for twelve hours."""
        session = await access.open_session(sign_in.key.get_secret_value())
        if session.cookie is not None:
            response.set_cookie(
                SESSION_COOKIE,
                session.cookie,
                max_age=SESSION_SECONDS,
                secure=is_secure(request),
                httponly=True,
                samesite="lax",
            )
        response.headers["Cache-Control"] = "no-store"
        return _resource(session.caller, session.end)

    @router.get("/api/v1/session")
    async def get_session(caller: Reader, response: Response) -> SessionResource:
        """Get the caller, identified by a key or a session."""
        response.headers["Cache-Control"] = "no-store"
        return _resource(caller)

    @router.delete("/api/v1/session", status_code=204)
    async def end_session(request: Request, response: Response) -> None:
        """End the session of this browser. It takes effect everywhere within five seconds."""
        await access.end_session(request.cookies.get(SESSION_COOKIE))
        response.delete_cookie(SESSION_COOKIE, secure=is_secure(request), httponly=True, samesite="lax")

    @router.post("/api/v1/token")
    async def make_token(caller: Reader, response: Response) -> TokenResource:
        """Get a token for clients that can send neither headers nor cookies. It is valid for five minutes."""
        token, end = access.token(caller)
        response.headers["Cache-Control"] = "no-store"
        return TokenResource(token=token, expires_at=datetime.fromtimestamp(end, UTC))

    def is_secure(request: Request) -> bool:
        return request.url.scheme == "https" or public_url.startswith("https:")

    return router


def _resource(caller: Caller, end: int | None = None) -> SessionResource:
    return SessionResource(
        owner=caller.owner,
        scopes=sorted(caller.scopes),
        expires_at=None if end is None else datetime.fromtimestamp(end, UTC),
    )
