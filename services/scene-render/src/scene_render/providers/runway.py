"""Runway, through its SDK with retries turned off. Source: runwayml 5.24 and docs.dev.runwayml.com."""

import base64
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import runwayml

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
    SubmissionRefused,
    Succeeded,
    Unknowable,
)
from scene_render.providers.provider_http import AnswerUnreadable
from shared.money.prices import Tariff

LONGEST_PROMPT = 1000
LARGEST_DATA_URI = 5 * 2**20
OVERLOADED = frozenset({502, 503})
"""Runway documents these as load shedding: nothing was accepted."""


class Runway:
    """The provider `runway`."""

    name = "runway"
    usual_seconds = 70.0
    check_seconds = 5.0
    attempt_seconds = 1200.0

    def __init__(
        self,
        url: str,
        key: str,
        model: str,
        tariff: Tariff,
        concurrency: int,
        submit_seconds: float,
        downloader: Downloader,
    ) -> None:
        self.model = model
        self.tariff: Tariff | None = tariff
        self.concurrency = concurrency
        self.submit_seconds = submit_seconds
        self.downloader = downloader
        self._http = provider_http.http_client()
        self.client = runwayml.AsyncRunwayML(
            api_key=key, base_url=url, max_retries=0, timeout=submit_seconds, http_client=self._http
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
        return False

    async def submit(self, _attempt_id: str, shot: Shot) -> str:
        """See `Provider.submit`. Runway tasks cannot be marked with the attempt's id."""
        order = order_of(shot, self.model)
        create = self.client.image_to_video.create if "prompt_image" in order else self.client.text_to_video.create
        try:
            answer = await create(**order)
        except runwayml.APIStatusError as error:
            said = provider_http.sentence(error.body)
            outcome = provider_http.refused(
                self.name, error.status_code, said, error.response.headers, overloaded=OVERLOADED
            )
            raise outcome or error from error
        except runwayml.APIConnectionError as error:
            raise provider_http.not_taken(self.name, error.__cause__) or error from error
        try:
            return str(UUID(answer.id))
        except (AttributeError, ValueError, TypeError) as error:
            raise AnswerUnreadable(self.name, answer) from error

    async def find(self, _attempt_id: str, _age: float) -> Found | Absent | NotYet | Unknowable:
        """Runway lists no tasks."""
        return Unknowable()

    async def check(self, task_id: str) -> Running | Succeeded | Failed | Lost:
        """See `Provider.check`."""
        task = await self._task(task_id)
        if task is None:
            return Lost()
        return status_of(task)

    async def fetch(self, task_id: str, target: Path) -> None:
        """See `Provider.fetch`. Each read of the task makes a new link."""

        async def fresh_link() -> str:
            task = await self._task(task_id)
            outputs = (task or {}).get("output") or []
            if not outputs:
                raise ClipUnusable("Runway has no clip of this task.")
            return str(outputs[0])

        await self.downloader.fetch(fresh_link, target)

    async def cancel(self, task_id: str) -> Ended | None:
        """Delete the task. Runway does not report the cost, and refunds nothing once work has started."""
        waiting = isinstance(status := await self.check(task_id), Running) and status.queued
        if not isinstance(status, Running):
            return None
        try:
            await self.client.tasks.delete(task_id)
        except runwayml.APIError as error:
            if provider_http.refuses(error):
                return None
            raise provider_http.silent(self.name, error) from error
        return Ended(cost=Decimal(0) if waiting else None)

    async def cancel_if_free(self, task_id: str) -> Ended | None:
        """Delete the task if work has not started."""
        try:
            status = await self.check(task_id)
            return await self.cancel(task_id) if isinstance(status, Running) and status.queued else None
        except ProviderSilent:
            return None

    def task_of_callback(self, _body: Mapping[str, Any]) -> str | None:
        """Return None: Runway has no callbacks."""
        return None

    async def _task(self, task_id: str) -> dict[str, Any] | None:
        """Return the raw JSON of a task: the SDK's classes drop unknown fields."""
        try:
            answer = await self.client.tasks.with_raw_response.retrieve(task_id, timeout=provider_http.CHECK_SECONDS)
            task = answer.http_response.json()
        except runwayml.NotFoundError:
            return None
        except (runwayml.APIError, ValueError) as error:
            raise provider_http.silent(self.name, error) from error
        if not isinstance(task, dict) or not isinstance(task.get("status"), str):
            raise ProviderSilent(f"Runway answered without a task: {str(task)[:100]}")
        return task


def order_of(shot: Shot, model: str) -> dict[str, Any]:
    """Return the request for a shot. Raises `SubmissionRefused` if Runway cannot render it."""
    request = shot.request
    order: dict[str, Any] = {
        "model": model,
        "prompt_text": prompt_builder.prompt(request, LONGEST_PROMPT),
        "ratio": prompt_builder.RUNWAY_TEXT_RATIOS[request.aspect_ratio],
        "duration": shot.seconds,
    }
    if shot.first_frame is not None:
        data = base64.b64encode(shot.first_frame.path.read_bytes()).decode()
        order["prompt_image"] = f"data:{shot.first_frame.content_type};base64,{data}"
        order["ratio"] = prompt_builder.RUNWAY_IMAGE_RATIOS[request.aspect_ratio]
        if len(order["prompt_image"]) > LARGEST_DATA_URI:
            reason = "The first frame is too large for Runway (5 MB)."
            raise SubmissionRefused("invalid_request", reason, asked=False)
    return order


def status_of(task: Mapping[str, Any]) -> Running | Succeeded | Failed:
    """Return the state of a task; unknown states count as running."""
    match task["status"]:
        case "SUCCEEDED":
            return Succeeded(cost=_cost(task))
        case "FAILED":
            return _failure(str(task.get("failureCode") or ""), str(task.get("failure") or ""), _cost(task))
        case "CANCELLED":
            return Failed("cancelled", "The task was cancelled at Runway.", _cost(task), again=True)
        case "RUNNING":
            progress = task.get("progress")
            return Running(percent=100 * progress if isinstance(progress, int | float) else None)
        case "PENDING" | "THROTTLED":
            return Running(queued=True)
        case _:
            return Running()


def _failure(code: str, said: str, cost: Decimal | None) -> Failed:
    """Return what a `failureCode` means, by its prefix: the third part is not meant to be shown."""
    if code.startswith(("SAFETY.", "INPUT_PREPROCESSING.SAFETY")):
        where = "the result" if code.startswith("SAFETY.OUTPUT") else "the prompt"
        return Failed("moderation", f"Runway's moderation rejected {where}.", cost, again=False)
    if code.startswith("ASSET.INVALID"):
        return Failed("invalid_request", "Runway could not use the first frame.", cost, again=False)
    if code.startswith("INTERNAL.BAD_OUTPUT"):
        return Failed("bad_output", "Runway rejected its own result.", cost, again=True)
    if code.startswith("THIRD_PARTY"):
        return Failed("transient", "A partner of Runway was not available.", cost, again=True)
    return Failed("transient", f"Runway failed: {said or 'no reason given'}", cost, again=True)


def _cost(task: Mapping[str, Any]) -> Decimal | None:
    """Return the reported cost in USD: a credit is a cent."""
    credits_taken = (task.get("cost") or {}).get("credits")
    return Decimal(str(credits_taken)) / 100 if isinstance(credits_taken, int | float) else None
