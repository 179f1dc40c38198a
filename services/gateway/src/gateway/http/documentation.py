"""What the API says of itself: OpenAPI 3.1 at `/openapi.json`, and a page of it at `/docs` that needs no other host."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.routing import BaseRoute

from gateway.http.problems import MEDIA_TYPE

DESCRIPTION = """A topic goes in, a short film comes out. Ask for a video, follow it, fetch the film.

Every error is `application/problem+json` (RFC 9457); its `type` leads to the list of kinds."""

TAGS = [
    {"name": "videos", "description": "Ask for videos, follow them, cancel, rate and delete them"},
    {"name": "storyboards", "description": "Look first, spend later"},
    {"name": "media", "description": "Films, thumbnails and clips"},
    {"name": "money", "description": "What videos cost"},
    {"name": "figures", "description": "How well it goes"},
]

PROBLEM: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "Why a request was refused",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference", "description": "The kind of the problem"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong this time"},
        "instance": {"type": "string", "format": "uri-reference", "description": "What was asked for"},
        "request_id": {"type": "string", "description": "Names this call in the logs"},
        "errors": {
            "type": "array",
            "description": "Each field that is wrong",
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
    """An app that describes itself."""
    made = FastAPIOffline(
        redoc_url=None,
        # Its redirects would lead to whatever host the caller names.
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
                # How a receiver refuses a webhook is its own affair: anything but 2xx is tried again.
                operation["responses"].pop("422", None)
        schemas = document["components"]["schemas"]
        schemas["Problem"] = PROBLEM
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        made.openapi_schema = document
    return made.openapi_schema


def _describe_errors(operation: dict[str, Any]) -> None:
    """Say how a call may be refused: as its route says, and as all of its form may."""
    answers = operation["responses"]
    may = {429, 503}
    if "requestBody" in operation:
        # What is asked may not fit what is there.
        may |= {409}
    parameters = operation.get("parameters", [])
    if operation.get("security"):
        may |= {401, 403}
    if any(parameter["in"] == "path" for parameter in parameters):
        may |= {404}
    if parameters or "requestBody" in operation:
        may |= {422}
    if "requestBody" in operation:
        may |= {400, 413, 415}
    if any(parameter["name"] == "Idempotency-Key" for parameter in parameters):
        may |= {400, 409}
    may |= {int(status) for status in answers if status.isdecimal() and int(status) >= HTTPStatus.BAD_REQUEST}
    for status in sorted(may):
        said = answers.get(str(status), {}).get("description", "")
        phrase = HTTPStatus(status).phrase
        plain = said in ("", phrase, "Validation Error")
        answers[str(status)] = {
            "description": phrase if plain else said,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
