"""What stands before the API, whichever face is called: bounds of each call, and pages of other origins."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Scope

from gateway.access.dependencies import admit
from gateway.http.errors import Refusal, kind_of, refusal
from gateway.http.preconditions import wait_of
from gateway.http.problems import problem
from gateway.http.request_context import Cors, Guarded
from gateway.http.request_limits import Bounded
from gateway.settings import Settings
from shared.process.probes import METRICS_PATH

NOT_FOR_THIS_PAGE = kind_of(400, "not-for-this-page", "Not for this page")


def behind_front(app: ASGIApp, settings: Settings, careful: tuple[str, ...] = ()) -> ASGIApp:
    """The app, with bounds around it and, where pages elsewhere may call, what lets them.

    What is below the paths of `careful` has bounds of its own.
    """
    longer = {"/api/v1/storyboards": settings.storyboard_wait_seconds}
    bounded = Bounded(app, settings.call_seconds, longer, wait_of, careful, refuse)
    return Cors(bounded, settings.cors_origins, _no_preflight) if settings.cors_origins else bounded


def guarded(route: BaseRoute) -> BaseRoute:
    """A route of the process. Its metrics are for callers who may read; its probes are for anybody."""

    async def read(request: Request) -> None:
        await admit(request, "read")

    if isinstance(route, Route) and route.path == METRICS_PATH:
        return Route(METRICS_PATH, Guarded(route.app, read), include_in_schema=False)
    return route


def refuse(error: Exception, scope: Scope) -> Response:
    """The answer to a call that one of our own errors ended."""
    said = refusal(error)
    assert said is not None  # noqa: S101 - one of ours
    return problem(said, scope)


def _no_preflight(why: str) -> Response:
    return problem(Refusal(*NOT_FOR_THIS_PAGE, why))
