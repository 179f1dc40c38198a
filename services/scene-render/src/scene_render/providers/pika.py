"""Pika, through fal.ai's queue API. Source: fal.ai/docs, fal-client 1.0.

Over plain HTTP: fal's own client retries submissions, and offers no way to turn that off.
"""

import base64
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote
from uuid import UUID

import httpx

from scene_render.clips.download import Downloader
from scene_render.providers import prompt_builder, provider_http
from scene_render.providers.base import (
    Absent,
    ClipUnusable,
    Ended,
    Failed,
    Found,
    Lost,
    NotYet,
    ProviderSilent,
    Running,
    Shot,
    Succeeded,
    Unknowable,
)
from scene_render.providers.callbacks import Callbacks
from scene_render.providers.provider_http import AnswerUnreadable
from shared.money.prices import FREE, Tariff

LONGEST_PROMPT = 2000
CALLBACK_SECONDS = 900.0
"""How long a callback may still arrive for a submission without an answer; it is sent when the task ends."""
PLATFORM_FAILURES = ("runner_", "request_timeout", "startup_timeout", "internal_error", "client_disconnected")
HEADERS = {"X-Fal-No-Retry": "1", "x-app-fal-disable-fallback": "true"}
"""Keep fal from retrying a request and from falling back to another model."""
ENDED_STATUS: Mapping[str, int] = {"/cancel": 400, "": 422}
"""The status, by path, with which fal says that a request has ended already, or that its model has made nothing."""


class Pika:
    """The provider `pika`."""

    name = "pika"
    usual_seconds = 60.0
    check_seconds = 2.0
    attempt_seconds = 1200.0

    def __init__(
        self,
        url: str,
        key: str,
        model: str,
        resolution: str,
        tariff: Tariff,
        concurrency: int,
        submit_seconds: float,
        downloader: Downloader,
        callbacks: Callbacks,
    ) -> None:
        self.model = f"pika-{model.removeprefix('v')}"
        self.app = f"fal-ai/pika/{model}"
        self.resolution = resolution
        self.tariff: Tariff | None = tariff
        self.concurrency = concurrency
        self.submit_seconds = submit_seconds
        self.downloader = downloader
        self.callbacks = callbacks
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Key {key}"},
            timeout=httpx.Timeout(submit_seconds, connect=5.0),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        """Return itself; the first call connects."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect."""
        await self._http.aclose()

    @property
    def can_reconcile(self) -> bool:
        """See `Provider.can_reconcile`."""
        return self.callbacks.enabled

    async def submit(self, attempt_id: str, shot: Shot) -> str:
        """See `Provider.submit`. The attempt's id is part of the callback URL, if callbacks are enabled."""
        path, order = order_of(shot, self.resolution)
        callback = {"fal_webhook": self.callbacks.address(self.name, attempt_id)} if self.callbacks.enabled else {}
        try:
            answer = await self._http.post(f"{self.app}/{path}", json=order, params=callback, headers=HEADERS)
        except httpx.HTTPError as error:
            raise provider_http.not_taken(self.name, error) or error from error
        if not answer.is_success:
            said = provider_http.sentence(provider_http.body_of(answer))
            outcome = provider_http.refused(self.name, answer.status_code, said, answer.headers)
            raise outcome or AnswerUnreadable(self.name, said)
        try:
            return str(UUID(answer.json()["request_id"]))
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
            video = (await self._ask("GET", task_id, "") or {}).get("video") or {}
            if not video.get("url"):
                raise ClipUnusable("fal has no clip of this request.")
            return str(video["url"])

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

    async def _ask(self, method: str, task_id: str, what: str) -> dict[str, Any] | None:
        """Make a free request about a task, at our own URL, not at one that an answer names."""
        owner, alias, *_ = self.app.split("/")
        url = f"{owner}/{alias}/requests/{quote(task_id, safe='')}{what}"
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


def order_of(shot: Shot, resolution: str) -> tuple[str, dict[str, Any]]:
    """Return the end of the path and the input for a shot."""
    request = shot.request
    order: dict[str, Any] = {
        "prompt": prompt_builder.prompt(request, LONGEST_PROMPT),
        "resolution": resolution,
        "duration": shot.seconds,
    }
    if shot.first_frame is None:
        return "text-to-video", {**order, "aspect_ratio": request.aspect_ratio}
    data = base64.b64encode(shot.first_frame.path.read_bytes()).decode()
    return "image-to-video", {**order, "image_url": f"data:{shot.first_frame.content_type};base64,{data}"}


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
        return Failed("moderation", f"Pika's moderation rejected it: {said}", cost, again=False)
    if kind == "no_media_generated" or not kind:
        return Failed("job_failed", f"Pika failed: {said}", cost, again=True)
    return Failed("invalid_request", f"Pika rejected the request: {said}", cost, again=False)
