"""Any application on fal.ai, through its queue API. Source: fal.ai/docs, fal-client 1.0.

Over plain HTTP: fal's own client retries submissions, and offers no way to turn that off.
"""

import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx

from scene_render.clips.download import Downloader
from scene_render.providers import order_fields, prompt_builder, provider_http
from scene_render.providers.base import (
    Absent,
    ClipUnusable,
    Ended,
    Failed,
    Found,
    Lost,
    NotYet,
    Order,
    ProviderSilent,
    Running,
    Shot,
    Succeeded,
    Unknowable,
)
from scene_render.providers.callbacks import Callbacks
from scene_render.providers.provider_http import AnswerUnreadable
from shared.catalogue.models import PriceUnknown, ProviderModels
from shared.money.prices import FREE

FIRST_APP = "fal-ai/pika"
"""The application of tasks whose id names none."""
APP = re.compile(r"^[A-Za-z0-9_-][A-Za-z0-9._-]*/[A-Za-z0-9_-][A-Za-z0-9._-]*$")
CALLBACK_SECONDS = 900.0
"""How long a callback may still arrive for a submission without an answer; it is sent when the task ends."""
PLATFORM_FAILURES = ("runner_", "request_timeout", "startup_timeout", "internal_error", "client_disconnected")
HEADERS = {"X-Fal-No-Retry": "1", "x-app-fal-disable-fallback": "true"}
"""Keep fal from retrying a request and from falling back to another model."""
ENDED_STATUS: Mapping[str, int] = {"/cancel": 400, "": 422}
"""The status, by path, with which fal says that a request has ended already, or that its model has made nothing."""


class Fal(provider_http.ProviderAdapter):
    """The providers `fal` and `pika`: the same API, each with its own models and key.

    The id of a task is `owner/alias:request id`: the application is a part of every later URL.
    """

    usual_seconds = 60.0
    check_seconds = 2.0
    attempt_seconds = 1200.0

    def __init__(
        self,
        name: str,
        url: str,
        key: str,
        models: ProviderModels | None,
        concurrency: int,
        submit_seconds: float,
        downloader: Downloader,
        callbacks: Callbacks,
    ) -> None:
        self.name = name
        http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Key {key}"},
            timeout=httpx.Timeout(submit_seconds, connect=5.0),
            trust_env=False,
        )
        super().__init__(models, concurrency, submit_seconds, downloader, http)
        self.callbacks = callbacks

    @property
    def can_reconcile(self) -> bool:
        """See `Provider.can_reconcile`."""
        return self.callbacks.enabled

    async def submit(self, attempt_id: str, order: Order) -> str:
        """See `Provider.submit`. The attempt's id is part of the callback URL, if callbacks are enabled."""
        path, body = request_of(order, attempt_id)
        callback = {"fal_webhook": self.callbacks.address(self.name, attempt_id)} if self.callbacks.enabled else {}
        try:
            answer = await self._http.post(path, json=body, params=callback, headers=HEADERS)
        except httpx.HTTPError as error:
            raise provider_http.not_taken(self.name, error) or error from error
        if not answer.is_success:
            said = provider_http.sentence(provider_http.body_of(answer))
            outcome = provider_http.refused(self.name, answer.status_code, said, answer.headers)
            raise outcome or AnswerUnreadable(self.name, said)
        try:
            return f"{_app_of(path)}:{UUID(answer.json()['request_id'])}"
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise AnswerUnreadable(self.name, answer.text) from error

    async def find(self, _attempt_id: str, age: float) -> Found | Absent | NotYet | Unknowable:
        """Wait for the callback: fal has no list of requests."""
        if self.callbacks.enabled and age < CALLBACK_SECONDS:
            return NotYet(CALLBACK_SECONDS / 15, CALLBACK_SECONDS)
        return Unknowable()

    async def check(self, task_id: str) -> Running | Succeeded | Failed | Lost:
        """See `Provider.check`. A failed request is `COMPLETED` too."""
        status = await self._ask("GET", task_id, "/status")
        if status is None:
            return Lost()
        return status_of(status)

    async def fetch(self, task_id: str, target: Path) -> None:
        """See `Provider.fetch`. fal makes no new links: an expired one stays expired."""

        async def link() -> str:
            result = await self._ask("GET", task_id, "") or {}
            file = result.get("video") or next(iter(result.get("images") or ()), None) or {}
            if not file.get("url"):
                raise ClipUnusable("fal has no result of this request.")
            return str(file["url"])

        await self.downloader.fetch(link, target)

    async def cancel(self, task_id: str) -> Ended | None:
        """Ask fal to cancel a request, and check whether it did."""
        before = await self.check(task_id)
        await self._ask("PUT", task_id, "/cancel")
        after = await self.check(task_id)
        if isinstance(after, Failed) and after.kind == "cancelled":
            waiting = isinstance(before, Running) and before.queued
            return Ended(cost=FREE if waiting else None)
        return None

    async def cancel_if_free(self, task_id: str) -> Ended | None:
        """Cancel a request that is still queued."""
        try:
            status = await self.check(task_id)
            return await self.cancel(task_id) if isinstance(status, Running) and status.queued else None
        except ProviderSilent:
            return None

    def task_of_callback(self, body: Mapping[str, Any]) -> str | None:
        """Return the request id that a callback names."""
        request_id = body.get("request_id")
        return request_id if isinstance(request_id, str) else None

    def task_id_of(self, said: str, model: str | None) -> str:
        """Return the request id with the application of its model."""
        if ":" in said or self.models is None or model is None:
            return said
        try:
            return f"{_app_of(self.models.model(model).name)}:{said}"
        except PriceUnknown:
            return said

    async def _ask(self, method: str, task_id: str, what: str) -> dict[str, Any] | None:
        """Make a free request about a task, at our own URL, not at one that an answer names."""
        app, _, request_id = task_id.rpartition(":")
        if app and not APP.match(app):
            return None
        url = f"{app or FIRST_APP}/requests/{quote(request_id, safe='')}{what}"
        try:
            answer = await self._http.request(method, url, timeout=provider_http.CHECK_SECONDS)
            body = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise provider_http.silent(self.name, error) from error
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if not (answer.is_success or answer.status_code == ENDED_STATUS.get(what)) or not isinstance(body, dict):
            raise ProviderSilent(f"fal answered with HTTP {answer.status_code}.")
        return body


def request_of(order: Order, attempt_id: str) -> tuple[str, dict[str, Any]]:
    """Return the path and the input for an order. Raises `SubmissionRefused` if fal cannot render it."""
    model = order_fields.model_of(order)
    body: dict[str, Any] = dict(order_fields.seed_of(order, attempt_id))
    if model.negative_prompt:
        body["negative_prompt"] = prompt_builder.NEGATIVE_PROMPT
    ratio = order_fields.ratio_of(order)
    if isinstance(order, Shot):
        body |= {"prompt": prompt_builder.clip_prompt(order), "duration": order_fields.length_of(order)}
        body |= order_fields.sound_of(order)
        if model.resolution is not None:
            body["resolution"] = model.resolution
        if ratio is not None:
            body["aspect_ratio"] = ratio
        if order.first_frame is not None:
            body[model.picture_field] = order_fields.data_uri(order.first_frame)
    else:
        numbers = {reference: number for number, reference in enumerate(order.references, start=1)}
        body["prompt"] = prompt_builder.picture_prompt(order, lambda one: prompt_builder.numbered(numbers[one], one))
        if ratio is not None:
            body["image_size"] = ratio
        if order.references:
            body["image_urls"] = [order_fields.data_uri(reference.picture) for reference in order.references]
    return f"{model.name}/{order_fields.endpoint_of(order)}", body


def _app_of(path: str) -> str:
    """Return the owner and the alias of an application: the rest of its path selects a model."""
    return "/".join(path.split("/")[:2])


def status_of(status: Mapping[str, Any]) -> Running | Succeeded | Failed:
    """Return the state of a request; unknown states count as running."""
    match status.get("status"):
        case "COMPLETED":
            if status.get("error") or status.get("error_type"):
                return _failure(status)
            return Succeeded(cost=None)
        case "IN_QUEUE":
            return Running(queued=True)
        case _:
            return Running()


def _failure(status: Mapping[str, Any]) -> Failed:
    """Return what an `error_type` means. Failures of the platform are free; those of the model may not be."""
    kind, said = str(status.get("error_type") or ""), str(status.get("error") or "no reason given")
    worked = bool((status.get("metrics") or {}).get("inference_time"))
    cost: Decimal | None = None if worked else FREE
    if kind == "client_cancelled":
        return Failed("cancelled", "The request was cancelled at fal.", cost, again=True)
    if kind.startswith(PLATFORM_FAILURES):
        return Failed("transient", f"fal failed: {said}", FREE, again=True)
    if kind == "content_policy_violation" or "content_policy" in said:
        return Failed("moderation", f"fal's moderation rejected it: {said}", cost, again=False)
    if kind == "no_media_generated" or not kind:
        return Failed("job_failed", f"fal made nothing: {said}", cost, again=True)
    return Failed("invalid_request", f"fal rejected the request: {said}", cost, again=False)
