"""The OpenAPI 3.1 document at `/openapi.json`, and its page at `/docs`, which loads nothing from other hosts."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.routing import BaseRoute

from gateway.http.problems import MEDIA_TYPE

DESCRIPTION = """Makes short films from prompts. Request a video, follow its events, download the film.

Every error is `application/problem+json` (RFC 9457); its `type` links to the list of problem types."""

TAGS = [
    {"name": "videos", "description": "Request videos, follow, cancel, rate and delete them"},
    {"name": "storyboards", "description": "Storyboards, without the cost of a video"},
    {"name": "media", "description": "Films, thumbnails and clips"},
    {"name": "money", "description": "Costs and budgets"},
    {"name": "figures", "description": "Statistics"},
]

PROBLEM: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "Why a request failed",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "description": "The type of the problem"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong with this request"},
        "instance": {"type": "string", "format": "uri-reference", "description": "The path of the request"},
        "request_id": {"type": "string", "description": "Identifies the request in the logs"},
        "errors": {
            "type": "array",
            "description": "Each invalid field",
            "items": {
                "type": "object",
                "required": ["field", "in", "code", "detail"],
                "properties": {
                    "field": {"type": "string"},
                    "in": {"type": "string", "description": "body, query, path or header"},
                    "pointer": {"type": ["string", "null"], "description": "A JSON pointer into the body"},
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
    "examples": [
        {
            "type": "/problems#invalid-request",
            "title": "Invalid request",
            "status": 422,
            "detail": "Not valid: sceneCount.",
            "instance": "/api/v1/videos",
            "errors": [
                {
                    "field": "sceneCount",
                    "in": "body",
                    "pointer": "/sceneCount",
                    "code": "less_than_equal",
                    "detail": "Input should be less than or equal to 5",
                }
            ],
        }
    ],
}


def app(lifespan: Any, routes: list[BaseRoute]) -> FastAPI:  # noqa: ANN401 - Starlette's lifespan has many forms
    """Return an app that serves its own documentation."""
    made = FastAPIOffline(
        redoc_url=None,
        # Redirects would go to the host that the caller names.
        redirect_slashes=False,
        title="Multishot",
        version="1",
        description=DESCRIPTION,
        openapi_tags=TAGS,
        lifespan=lifespan,
        routes=routes,
        generate_unique_id_function=_operation_id,
    )
    made.openapi = lambda: _described(made)  # type: ignore[method-assign]  # the documented way
    return made


def _operation_id(route: APIRoute) -> str:
    first, *others = route.name.split("_")
    return first + "".join(map(str.capitalize, others))


def _described(made: FastAPI) -> dict[str, Any]:
    if made.openapi_schema is None:
        document = get_openapi(
            title=made.title,
            version=made.version,
            description=made.description,
            tags=made.openapi_tags,
            routes=made.routes,
            webhooks=made.webhooks.routes,
        )
        for operations in document["paths"].values():
            for operation in operations.values():
                _describe_errors(operation)
        for operations in document.get("webhooks", {}).values():
            for operation in operations.values():
                # Receivers may refuse a webhook with any status: all but 2xx are retried.
                operation["responses"].pop("422", None)
        schemas = document["components"]["schemas"]
        schemas["Problem"] = PROBLEM
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        made.openapi_schema = document
    return made.openapi_schema


def _describe_errors(operation: dict[str, Any]) -> None:
    """Document the errors of an operation: those that its route names, and those of its kind of operation."""
    answers = operation["responses"]
    statuses = {429, 503}
    if "requestBody" in operation:
        # The request may conflict with the current state.
        statuses |= {409}
    parameters = operation.get("parameters", [])
    if operation.get("security"):
        statuses |= {401, 403}
    if any(parameter["in"] == "path" for parameter in parameters):
        statuses |= {404}
    if parameters or "requestBody" in operation:
        statuses |= {422}
    if "requestBody" in operation:
        statuses |= {400, 413, 415}
    if any(parameter["name"] == "Idempotency-Key" for parameter in parameters):
        statuses |= {400, 409}
    statuses |= {int(status) for status in answers if status.isdecimal() and int(status) >= HTTPStatus.BAD_REQUEST}
    for status in sorted(statuses):
        described = answers.get(str(status), {}).get("description", "")
        phrase = HTTPStatus(status).phrase
        is_default = described in ("", phrase, "Validation Error")
        answers[str(status)] = {
            "description": phrase if is_default else described,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
