"""How the API says no: `application/problem+json` (RFC 9457), naming each field that is wrong."""

from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from gateway.videos import VideoAlreadyEnded, VideoNotFound
from shared.database import is_outage
from shared.errors import RequestConflicts
from shared.storage import LinkInvalid, ObjectMissing

log = structlog.get_logger()

RETRY_AFTER_SECONDS = "2"


class NotJson(Exception):
    """The body of a request is not JSON, or does not say that it is."""

    def __init__(self, content_type: str) -> None:
        super().__init__(f"The content type must be application/json, not {content_type or 'nothing'}.")


def problem(
    status: int, title: str, detail: str | None = None, *, headers: dict[str, str] | None = None, **more: object
) -> JSONResponse:
    """An answer that says what is wrong."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail, **more}
    shown = {key: value for key, value in jsonable_encoder(body).items() if value is not None}
    return JSONResponse(shown, status, headers, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Have every error of the API answered as a problem."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(NotJson, lambda _, error: problem(415, "Unsupported media type", str(error)))
    app.add_exception_handler(VideoNotFound, lambda _, error: problem(404, "Video not found", str(error)))
    app.add_exception_handler(ObjectMissing, lambda _, _error: problem(404, "Not there", "There is no such media."))
    app.add_exception_handler(LinkInvalid, lambda _, _error: problem(403, "Link invalid", "Ask for a new link."))
    app.add_exception_handler(VideoAlreadyEnded, lambda _, error: problem(409, "Video already ended", str(error)))
    app.add_exception_handler(RequestConflicts, lambda _, error: problem(409, "Id already used", str(error)))
    app.add_exception_handler(Exception, _unexpected)


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it alone
    if any(e["type"] == "json_invalid" for e in error.errors()):
        return problem(400, "Malformed JSON", "The body is not valid JSON.")
    errors = [_field(e) for e in error.errors()]
    names = ", ".join(e["field"] for e in errors)
    return problem(422, "Invalid request", f"Not valid: {names}.", errors=errors)


def _field(error: dict[str, Any]) -> dict[str, Any]:
    place = [str(part) for part in error["loc"]]
    where, path = place[0], place[1:]
    field = ".".join(path) or where
    pointer = "/" + "/".join(path) if where == "body" else None
    return {"field": field, "in": where, "pointer": pointer, "code": error["type"], "detail": error["msg"]}


async def _http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it alone
    return problem(error.status_code, str(error.detail), headers=dict(error.headers or {}))


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    if is_outage(error):
        log.warning("api.unavailable", path=request.url.path, error=str(error))
        detail = "The database does not answer. Nothing was accepted; try again."
        return problem(503, "Unavailable", detail, headers={"Retry-After": RETRY_AFTER_SECONDS})
    log.error("api.failed", path=request.url.path, exc_info=error)
    return problem(500, "Internal server error")
