"""The headers of idempotent REST calls."""

import json
from typing import Annotated

from fastapi import Header, Request, Response

from gateway.http.idempotency import Answer, Key

LOOK_AGAIN_SECONDS = "2"

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="A key of your own, bare or quoted. Repeats of the call within 24 hours return the first answer",
    ),
]


def key_of(request: Request, owner: str, header: str | None) -> Key | None:
    """Read the key of an owner's call. Raises `IdempotencyKeyInvalid`."""
    secret: bytes = request.app.state.idempotency_secret
    return Key.read(owner, f"{request.method} {request.url.path}", header, secret)


def accepted(answer: Answer) -> Response:
    """Return the response that a video was accepted, now or by an earlier call with the same key."""
    headers = {"Location": answer.body["links"]["self"], "Retry-After": LOOK_AGAIN_SECONDS}
    return Response(json.dumps(answer.body), 202, headers | replayed(answer), "application/json")


def replayed(answer: Answer) -> dict[str, str]:
    """Return the header that marks a replayed answer."""
    return {"Idempotent-Replayed": "true"} if answer.replayed else {}
