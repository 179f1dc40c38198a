"""How the REST API says no: `application/problem+json` (RFC 9457), naming each field that is wrong."""

import html
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import structlog
from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.access.dependencies import MalformedJson, NotJson
from gateway.http.errors import KINDS, REFUSALS, Fault, Refusal, invalid, kind_of, refusal

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
PAGE = "/problems"

MALFORMED = kind_of(400, "malformed-json", "Malformed JSON")
NOT_JSON = kind_of(415, "unsupported-media-type", "Unsupported media type")
INTERNAL = kind_of(500, "internal", "Internal server error")
BY_STATUS = {
    status: kind_of(status, kind, HTTPStatus(status).phrase.capitalize())
    for status, kind in (
        (400, "bad-request"),
        (404, "no-such-path"),
        (405, "method-not-allowed"),
        (413, "too-large"),
        (416, "range-not-satisfiable"),
        (431, "header-too-large"),
    )
}
"""What the framework says no to by itself."""


def problem(said: Refusal, scope: Scope | None = None) -> Response:
    """An answer that says what is wrong. `scope`: of the call, which it then names."""
    body: dict[str, Any] = {"type": f"{PAGE}#{said.kind}", "title": said.title, "status": said.status}
    body |= {"detail": said.detail, **said.more}
    if scope is not None:
        app = scope.get("app")  # none yet, for what is refused at the front
        body["type"] = f"{app.state.public_url if app else ''}{body['type']}"
        body["instance"] = quote(scope["path"])
        body["request_id"] = scope.get("state", {}).get("request_id")
    if said.faults:
        body["errors"] = [_field(fault) for fault in said.faults]
    shown = {key: value for key, value in jsonable_encoder(body).items() if value is not None}
    # What was sent may come back in it, half surrogate pairs too, which no encoding has.
    content = json.dumps(shown, ensure_ascii=False).encode(errors="replace")
    return Response(content, said.status, said.headers, media_type=MEDIA_TYPE)


def _field(fault: Fault) -> dict[str, Any]:
    where, path = fault.place[0], fault.place[1:]
    pointer = "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in path) if where == "body" else None
    return {
        "field": ".".join(path) or where,
        "in": where,
        "pointer": pointer,
        "code": fault.code,
        "detail": fault.text,
    }


def install(app: FastAPI, public_url: str = "") -> None:
    """Have every error of the API answered as a problem, and their kinds listed for people."""
    app.state.public_url = public_url
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(NotJson, _not_json)
    app.add_exception_handler(MalformedJson, _malformed)
    for kind in REFUSALS:
        app.add_exception_handler(kind, _refused)
    app.add_exception_handler(Exception, _unexpected)
    app.add_middleware(PlainErrors)

    @app.get(PAGE, include_in_schema=False)
    async def list_problems() -> HTMLResponse:
        rows = "".join(
            f'<tr id="{kind}"><td><code>{kind}</code><td>{status}<td>{html.escape(title)}'
            for kind, (status, title) in sorted(KINDS.items())
        )
        style = "<style>body{font:16px sans-serif;margin:2em}td{padding:.2em 1em}:target{background:#fe8}</style>"
        return HTMLResponse(f"<!doctype html><title>Problems</title>{style}<h1>Problems</h1><table>{rows}</table>")


class PlainErrors:
    """Makes problems of the errors that the framework answers in plain text, such as of a range beyond the end."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        replaced = False

        async def sending(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] >= HTTPStatus.BAD_REQUEST:
                headers = Headers(raw=message["headers"])
                if "content-type" not in headers or headers["content-type"].startswith("text/plain"):
                    replaced = True
                    kept = {name: headers[name] for name in ("content-range", "allow") if name in headers}
                    await by_status(message["status"], None, kept, scope)(scope, receive, send)
            if not replaced:
                await send(message)

        await self.app(scope, receive, sending)


def by_status(status: int, detail: str | None, headers: Mapping[str, str], scope: Scope) -> Response:
    """A problem of which nothing but its HTTP status is known."""
    known = BY_STATUS.get(status) or (status, "http", HTTPStatus(status).phrase)
    return problem(Refusal(*known, detail, headers=dict(headers)), scope)


async def _refused(request: Request, error: Exception) -> Response:
    said = refusal(error)
    assert said is not None  # noqa: S101 - registered for these alone
    return problem(said, request.scope)


async def _not_json(request: Request, error: Exception) -> Response:
    return problem(Refusal(*NOT_JSON, str(error)), request.scope)


async def _malformed(request: Request, error: Exception) -> Response:
    return problem(Refusal(*MALFORMED, str(error)), request.scope)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it alone
    if any(e["type"] == "json_invalid" for e in error.errors()):
        return problem(Refusal(*MALFORMED, "The body is not valid JSON."), request.scope)
    faults = (Fault(tuple(str(part) for part in e["loc"]), e["type"], e["msg"]) for e in error.errors())
    return problem(invalid(tuple(faults)), request.scope)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it alone
    phrase = HTTPStatus(error.status_code).phrase
    detail = error.detail if error.detail != phrase else None
    return by_status(error.status_code, detail, error.headers or {}, request.scope)


async def _unexpected(request: Request, error: Exception) -> Response:
    said = refusal(error)
    if said is not None:
        log.warning("api.unavailable", path=request.url.path, error=str(error))
        return problem(said, request.scope)
    log.error("api.failed", path=request.url.path, exc_info=error)
    return problem(Refusal(*INTERNAL), request.scope)
