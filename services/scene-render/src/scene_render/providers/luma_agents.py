"""Luma Agents, through its SDK with retries turned off. Source: luma-agents 0.5 and docs.agents.lumalabs.ai."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import luma_agents

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
    Picture,
    ProviderSilent,
    Running,
    Shot,
    Succeeded,
    Unknowable,
)
from scene_render.providers.provider_http import AnswerUnreadable
from shared.catalogue.models import ProviderModels
from shared.money.prices import FREE

OVERLOADED = frozenset({502, 503})
"""Documented as temporary: nothing was accepted."""
INPUT_FAULTS = frozenset({"image_too_large", "unsupported_format", "corrupt_input", "invalid_request"})


class LumaAgents(provider_http.ProviderAdapter):
    """The provider `luma-agents`. It has no list of tasks, no cancellation and no callbacks."""

    name = "luma-agents"
    usual_seconds = 60.0
    check_seconds = 3.0
    attempt_seconds = 1200.0

    def __init__(
        self,
        url: str,
        key: str,
        models: ProviderModels | None,
        concurrency: int,
        submit_seconds: float,
        downloader: Downloader,
    ) -> None:
        super().__init__(models, concurrency, submit_seconds, downloader, provider_http.http_client())
        self.client = luma_agents.AsyncLuma(
            auth_token=key, base_url=url, max_retries=0, timeout=submit_seconds, http_client=self._http
        )

    @property
    def can_reconcile(self) -> bool:
        """See `Provider.can_reconcile`."""
        return False

    async def submit(self, _attempt_id: str, order: Order) -> str:
        """See `Provider.submit`. The tasks cannot be marked with the attempt's id."""
        body = request_of(order)
        try:
            answer = await self.client.generations.create(**body)
        except luma_agents.APIStatusError as error:
            said = provider_http.sentence(error.body)
            outcome = provider_http.refused(
                self.name, error.status_code, said, error.response.headers, overloaded=OVERLOADED
            )
            raise outcome or error from error
        except luma_agents.APIConnectionError as error:
            raise provider_http.not_taken(self.name, error.__cause__) or error from error
        task_id = getattr(answer, "id", None)
        if not isinstance(task_id, str) or not task_id:
            raise AnswerUnreadable(self.name, answer)
        return task_id

    async def find(self, _attempt_id: str, _age: float) -> Found | Absent | NotYet | Unknowable:
        """Return that it cannot be known: there is no list of tasks."""
        return Unknowable()

    async def check(self, task_id: str) -> Running | Succeeded | Failed | Lost:
        """See `Provider.check`."""
        task = await self._task(task_id)
        return Lost() if task is None else status_of(task)

    async def fetch(self, task_id: str, target: Path) -> None:
        """See `Provider.fetch`. A link is valid for an hour; each read of the task makes a new one."""

        async def fresh_link() -> str:
            outputs = (await self._task(task_id) or {}).get("output") or []
            if not outputs or not outputs[0].get("url"):
                raise ClipUnusable("Luma has no result of this task.")
            return str(outputs[0]["url"])

        await self.downloader.fetch(fresh_link, target)

    async def cancel(self, _task_id: str) -> Ended | None:
        """Return None: tasks cannot be cancelled."""
        return None

    async def cancel_if_free(self, _task_id: str) -> Ended | None:
        """Return None: tasks cannot be cancelled."""
        return None

    async def _task(self, task_id: str) -> dict[str, Any] | None:
        try:
            answer = await self.client.generations.with_raw_response.get(task_id, timeout=provider_http.CHECK_SECONDS)
            task = answer.http_response.json()
        except luma_agents.NotFoundError:
            return None
        except (luma_agents.APIError, ValueError) as error:
            raise provider_http.silent(self.name, error) from error
        if not isinstance(task, dict) or "state" not in task:
            raise ProviderSilent(f"Luma answered without a task: {str(task)[:100]}")
        return task


def request_of(order: Order) -> dict[str, Any]:
    """Return the request for an order. Raises `SubmissionRefused` if it cannot be rendered."""
    order_fields.endpoint_of(order)
    model = order_fields.model_of(order)
    body: dict[str, Any] = {"model": model.name, "aspect_ratio": order_fields.ratio_of(order)}
    if isinstance(order, Shot):
        video: dict[str, Any] = {"resolution": model.resolution, "duration": order_fields.length_of(order)}
        if order.first_frame is not None:
            video["start_frame"] = _source(order.first_frame)
        return body | {"type": "video", "prompt": prompt_builder.clip_prompt(order), "video": video}
    numbers = {reference: number for number, reference in enumerate(order.references, start=1)}
    prompt = prompt_builder.picture_prompt(order, lambda one: prompt_builder.numbered(numbers[one], one))
    body |= {"type": "image", "prompt": prompt, "output_format": "jpeg"}
    if order.references:
        body["image_ref"] = [_source(reference.picture) for reference in order.references]
    return body


def status_of(task: Mapping[str, Any]) -> Running | Succeeded | Failed:
    """Return the state of a task; unknown states count as running."""
    match task["state"]:
        case "completed":
            return Succeeded(cost=None)
        case "failed":
            return _failure(str(task.get("failure_code") or ""), str(task.get("failure_reason") or "no reason given"))
        case "queued":
            return Running(queued=True)
        case _:
            return Running()


def _failure(code: str, said: str) -> Failed:
    """Return what a `failure_code` means. It is not documented whether failed tasks are free, as at Dream Machine."""
    if code == "content_moderated":
        return Failed("moderation", f"Luma's moderation rejected it: {said}", FREE, again=False)
    if code in INPUT_FAULTS:
        return Failed("invalid_request", f"Luma could not use the order: {said}", FREE, again=False)
    if code == "budget_exhausted":
        return Failed("credits", "The account at luma-agents has no credit left.", FREE, again=False)
    if code == "rate_limited":
        return Failed("transient", "Luma limits the rate of tasks.", FREE, again=True)
    return Failed("job_failed", f"Luma failed: {said}", FREE, again=True)


def _source(picture: Picture) -> dict[str, str]:
    return {"data": order_fields.base64_of(picture), "media_type": picture.content_type}
