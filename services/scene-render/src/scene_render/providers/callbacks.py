"""Callbacks of providers: a secret URL for each attempt, and the route that receives them.

Their content is not trusted: a callback only triggers a check of the task at the provider.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from scene_render.internal_messages import CallbackReceived
from scene_render.models import Attempt
from scene_render.providers.base import Provider
from shared.persistence.database import Database
from shared.persistence.unit_of_work import transaction

PLACEHOLDER_URL = "https://callbacks.invalid"
"""Used where callbacks are disabled: the URL still marks a task with its attempt."""
LARGEST_BODY = 65_536


@dataclass(frozen=True)
class Callbacks:
    """The callback URLs of this deployment. `url` is the public address of our `/callbacks`; empty: disabled."""

    url: str
    secret: bytes

    @property
    def enabled(self) -> bool:
        """Whether providers can reach this deployment."""
        return bool(self.url)

    def address(self, provider: str, attempt_id: str) -> str:
        """Return the callback URL of an attempt, which cannot be guessed."""
        return f"{self._base}/callbacks/{provider}/{attempt_id}/{self._token(attempt_id)}"

    def check(self, attempt_id: str, token: str) -> bool:
        """Return whether `token` belongs to this attempt."""
        return hmac.compare_digest(self._token(attempt_id).encode(), token.encode(errors="replace"))

    @property
    def _base(self) -> str:
        return self.url.rstrip("/") or PLACEHOLDER_URL

    def _token(self, attempt_id: str) -> str:
        return hmac.new(self.secret, f"callback {attempt_id}".encode(), hashlib.sha256).hexdigest()[:32]


def route(callbacks: Callbacks, providers: Mapping[str, Provider], database: Database) -> Route:
    """Return the route of callbacks: 204 for the URL of an attempt, 404 for any other."""

    async def receive(request: Request) -> Response:
        name, attempt_id = request.path_params["provider"], str(request.path_params["attempt_id"])
        provider = providers.get(name)
        if provider is None or not callbacks.check(attempt_id, request.path_params["token"]):
            return Response(status_code=404)
        body = bytearray()
        async for block in request.stream():
            body += block
            if len(body) > LARGEST_BODY:
                return Response(status_code=413)
        try:
            said = from_json(bytes(body))
        except ValueError:
            return Response(status_code=400)
        task_id = provider.task_of_callback(said) if isinstance(said, Mapping) else None
        async with transaction(database) as work:
            attempt = await work.session.get(Attempt, attempt_id)
            if attempt is None or attempt.provider != name:
                return Response(status_code=404)
            if task_id is not None:
                task_id = provider.task_id_of(task_id, attempt.model)[:255]
            heard = CallbackReceived(video_id=UUID(attempt.video_id), attempt_id=UUID(attempt_id), task_id=task_id)
            await work.emit(heard)
        return Response(status_code=204)

    return Route("/callbacks/{provider}/{attempt_id:uuid}/{token}", receive, methods=["POST"])
