"""Wraps the API in its request limits and, where pages of other origins may call, in CORS."""

from starlette.responses import Response
from starlette.types import ASGIApp

from gateway.http.cors import CorsMiddleware
from gateway.http.errors import Problem, register
from gateway.http.preconditions import wait_of
from gateway.http.problems import error_response, problem_response
from gateway.http.request_limits import RequestLimitMiddleware
from gateway.settings import Settings

UPLOADS_PATH = "/api/v1/uploads"
LARGEST_UPLOAD = 210_000_000
"""More than any upload may have: the route refuses with the limit of the file's type."""
UPLOAD_SECONDS = 600
NOT_FOR_THIS_PAGE = register(400, "not-for-this-page", "Not for this page")


def with_middleware(app: ASGIApp, settings: Settings, exempt: tuple[str, ...] = ()) -> ASGIApp:
    """Return the app with its limits and CORS. Paths that begin with one of `exempt` have limits of their own."""
    extra = {"/api/v1/storyboards": settings.storyboard_wait_seconds, UPLOADS_PATH: UPLOAD_SECONDS}
    larger = {UPLOADS_PATH: LARGEST_UPLOAD}
    limited = RequestLimitMiddleware(app, settings.call_seconds, extra, wait_of, exempt, error_response, larger)
    return CorsMiddleware(limited, settings.cors_origins, _refuse_preflight) if settings.cors_origins else limited


def _refuse_preflight(why: str) -> Response:
    return problem_response(Problem(*NOT_FOR_THIS_PAGE, why))
