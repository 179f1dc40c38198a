"""Answers errors of the REST API as `application/problem+json` (RFC 9457), naming each field that is wrong."""

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

from gateway.http.errors import (
    PROBLEM_TYPES,
    SHARED_ERRORS,
    ApiError,
    FieldError,
    InvalidRequest,
    Problem,
    problem_of,
    register,
)
from gateway.http.json_body import MalformedJson

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
PAGE = "/problems"

INTERNAL = register(500, "internal", "Internal server error")
BY_STATUS = {
    status: register(status, kind, HTTPStatus(status).phrase.capitalize())
    for status, kind in (
        (400, "bad-request"),
        (404, "no-such-path"),
        (405, "method-not-allowed"),
        (413, "too-large"),
        (416, "range-not-satisfiable"),
        (431, "header-too-large"),
    )
}
"""Refusals that come from the framework."""


def problem_response(problem: Problem, scope: Scope | None = None) -> Response:
    """Return the response that shows a problem; with `scope`, it names the path and id of the request."""
    body: dict[str, Any] = {
        "type": f"{PAGE}#{problem.problem_type}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        **problem.extra,
    }
    if scope is not None:
        app = scope.get("app")  # none yet where a middleware refuses
        body["type"] = f"{app.state.public_url if app else ''}{body['type']}"
        body["instance"] = quote(scope["path"])
        body["request_id"] = scope.get("state", {}).get("request_id")
    if problem.field_errors:
        body["errors"] = [_field(one) for one in problem.field_errors]
    shown = {key: value for key, value in jsonable_encoder(body).items() if value is not None}
    # Text of the request may come back in it, with lone surrogates, which UTF-8 cannot encode.
    content = json.dumps(shown, ensure_ascii=False).encode(errors="replace")
    return Response(content, problem.status, problem.headers, media_type=MEDIA_TYPE)


def error_response(error: Exception, scope: Scope) -> Response:
    """Return the response to a call that an `ApiError` ended before it reached the application."""
    problem = problem_of(error)
    assert problem is not None  # noqa: S101 - one of ours
    return problem_response(problem, scope)


def _field(error: FieldError) -> dict[str, Any]:
    where, path = error.path[0], error.path[1:]
    pointer = "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in path) if where == "body" else None
    return {
        "field": ".".join(path) or where,
        "in": where,
        "pointer": pointer,
        "code": error.code,
        "detail": error.text,
    }


def install(app: FastAPI, public_url: str = "") -> None:
    """Answer every error of the API as a problem, and list the problem types for people."""
    app.state.public_url = public_url
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    kinds: tuple[type[Exception], ...] = (ApiError, *SHARED_ERRORS)
    for kind in kinds:
        app.add_exception_handler(kind, _refused)
    app.add_exception_handler(Exception, _unexpected)
    app.add_middleware(PlainTextErrorMiddleware)

    @app.get(PAGE, include_in_schema=False)
    async def list_problems() -> HTMLResponse:
        rows = "".join(
            f'<tr id="{kind}"><td><code>{kind}</code><td>{status}<td>{html.escape(title)}'
            for kind, (status, title) in sorted(PROBLEM_TYPES.items())
        )
        style = "<style>body{font:16px sans-serif;margin:2em}td{padding:.2em 1em}:target{background:#fe8}</style>"
        return HTMLResponse(f"<!doctype html><title>Problems</title>{style}<h1>Problems</h1><table>{rows}</table>")


class PlainTextErrorMiddleware:
    """Replaces the framework's plain-text errors, such as of a range beyond the end, by problems."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI call."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        replaced = False

        async def send_problem(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] >= HTTPStatus.BAD_REQUEST:
                headers = Headers(raw=message["headers"])
                if "content-type" not in headers or headers["content-type"].startswith("text/plain"):
                    replaced = True
                    kept = {name: headers[name] for name in ("content-range", "allow") if name in headers}
                    await by_status(message["status"], None, kept, scope)(scope, receive, send)
            if not replaced:
                await send(message)

        await self.app(scope, receive, send_problem)


def by_status(status: int, detail: str | None, headers: Mapping[str, str], scope: Scope) -> Response:
    """Return a problem of which only the HTTP status is known."""
    known = BY_STATUS.get(status) or (status, "http", HTTPStatus(status).phrase)
    return problem_response(Problem(*known, detail, headers=dict(headers)), scope)


async def _refused(request: Request, error: Exception) -> Response:
    return error_response(error, request.scope)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it alone
    if any(e["type"] == "json_invalid" for e in error.errors()):
        return error_response(MalformedJson("The body is not valid JSON."), request.scope)
    errors = (FieldError(tuple(str(part) for part in e["loc"]), e["type"], e["msg"]) for e in error.errors())
    return error_response(InvalidRequest("", tuple(errors)), request.scope)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it alone
    phrase = HTTPStatus(error.status_code).phrase
    detail = error.detail if error.detail != phrase else None
    return by_status(error.status_code, detail, error.headers or {}, request.scope)


async def _unexpected(request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    if problem is not None:
        log.warning("api.unavailable", path=request.url.path, error=str(error))
        return problem_response(problem, request.scope)
    log.error("api.failed", path=request.url.path, exc_info=error)
    return problem_response(Problem(*INTERNAL), request.scope)
