"""How the REST API speaks of idempotency keys."""

import json
from typing import Annotated

from fastapi import Header, Request, Response

from gateway.access.service import Access, Caller
from gateway.http.idempotency import Answer, Key

LOOK_AGAIN_SECONDS = "2"

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="A key of your own, bare or quoted, kept for 24 hours: the same call with it is done once",
    ),
]


def key_of(request: Request, caller: Caller, header: str | None) -> Key | None:
    """The key of a call. Raises `KeyInvalid`."""
    access: Access = request.app.state.access
    return Key.read(caller.owner, f"{request.method} {request.url.path}", header, access.tokens.secret)


def accepted(answer: Answer) -> Response:
    """Says that a video was accepted, or was before."""
    headers = {"Location": answer.body["links"]["self"], "Retry-After": LOOK_AGAIN_SECONDS}
    return Response(json.dumps(answer.body), 202, headers | replayed(answer), "application/json")


def replayed(answer: Answer) -> dict[str, str]:
    """The header of an answer that was given before."""
    return {"Idempotent-Replayed": "true"} if answer.replayed else {}
